"""What may be asked for of a chat server, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigError, at_least
from .secret import secret

# What a request is made of. To set these in `extra` would be to say something twice.
OURS = ("model", "messages", "temperature", "max_tokens", "max_completion_tokens", "seed", "stream", "n")
COMPLETIONS = "/chat/completions"


@dataclass(frozen=True)
class ChatOptions:
    """A server that speaks OpenAI's chat interface.

    Args:
        model: Name of the served model; empty: the only one that the server lists.
        api_key_env: NAME of the environment variable that holds the key; or NAME_FILE holds the path of a file with it,
            as Docker's secrets are. Where neither is set, no key is sent.
        concurrency: Requests in flight at once.
        timeout: Seconds for one answer, the slowest generation included.
        retries: How often a request that got no answer is sent again. Pauses grow from half a second to 30, unless the
            server asks for another one.
        requests_per_minute: The most requests that are begun in a minute; 0: no limit.
        tokens_per_minute: The most tokens in a minute, prompts and answers; 0: no limit. A request is taken to need all
            the tokens it may write, until the server has said how many it wrote.
        extra: Further fields of each request's body, such as {chat_template_kwargs: {enable_thinking: false}}.
    """

    model: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = 64
    timeout: float = 600.0
    retries: int = 8
    requests_per_minute: float = 0.0
    tokens_per_minute: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)


def check_options(options: ChatOptions) -> None:
    """Raises ConfigError for a value that is not allowed."""
    at_least(
        ("--server.concurrency", options.concurrency, 1),
        ("--server.timeout", options.timeout, 0.001),
        ("--server.retries", options.retries, 0),
        ("--server.requests_per_minute", options.requests_per_minute, 0),
        ("--server.tokens_per_minute", options.tokens_per_minute, 0),
    )
    taken = [name for name in OURS if name in options.extra]
    if taken:
        raise ConfigError(
            f"--server.extra: {', '.join(taken)} cannot be set there: the evaluation says it in every request. Use its "
            "own options (--server.model, the temperature, the seed, the tokens of a turn)"
        )


def checked_url(url: str) -> str:
    """The address without a trailing slash.

    Raises:
        ConfigError: not http or https, no host, or with parts that do not belong there. The message does not repeat
            what could be a secret.
    """
    example = "expected http://host:port/v1"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"the chat server's address is none ({error}): {example}") from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigError(
            f"the chat server's address holds more than host, port and path: {example}. A key belongs into an "
            "environment variable, see --server.api_key_env"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigError(f"{url!r} is no address of a chat server: {example}")
    if parts.path.rstrip("/").endswith(COMPLETIONS):
        raise ConfigError(f"{url}: give the address without {COMPLETIONS}: {url.rstrip('/').removesuffix(COMPLETIONS)}")
    return url.rstrip("/")


def api_key(options: ChatOptions) -> str:
    """The key, or "" where there is none.

    Raises:
        ConfigError: see `secret`.
    """
    return secret(options.api_key_env) if options.api_key_env else ""
