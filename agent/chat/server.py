"""The client: conversations in, answers out."""

from __future__ import annotations

from collections.abc import Sequence
from threading import BoundedSemaphore, Event
from typing import Any

from ..errors import ConfigError
from .dialect import Dialect
from .messages import ChatMessage, ChatReply, estimated_tokens, to_json
from .options import COMPLETIONS, ChatOptions, api_key, check_options, checked_url
from .pace import Pace
from .pictures import PictureUrls
from .reading import Said, read_answer
from .refusals import Asked, Refused, Unreadable, explained


class ChatServer:
    """A served model. Any number of threads may ask at once.

    A request is sent again only when no answer came: what was answered is never asked for twice.

    Args:
        url: `http://host:port/v1`.
        options: Which of its models, and how it is asked.

    Attributes:
        model: The served model's name.
        max_model_len: Tokens of its context, or None where the server does not say.

    Raises:
        ConfigError: an option is not acceptable, no such server is there, it wants a key, or it serves several models
            and none is named.
        OutageError: it does not answer.
    """

    def __init__(self, url: str, options: ChatOptions) -> None:
        try:  # its library belongs to an extra
            from .http import Http, Patience
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"asking a chat server needs {error.name}, which is not installed: pip install 'rllava-gym[remote]'"
            ) from error
        check_options(options)
        self.url = checked_url(url)
        self._options = options
        key = api_key(options)
        self._has_key = bool(key)
        self._closed = Event()
        self._patience = Patience(self.url, options.retries, self._closed)
        self._places = BoundedSemaphore(options.concurrency)
        self._requests = Pace(options.requests_per_minute, sleep=self._patience.nap)
        self._tokens = Pace(options.tokens_per_minute, sleep=self._patience.nap)
        self._urls = PictureUrls()
        self._http = Http(self.url, key, options.timeout, options.concurrency)
        self.model = options.model
        self.max_model_len: int | None = None
        self._served: tuple[str, ...] = ()
        try:
            self._dialect = self._find()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"ChatServer({self.url!r}, model={self.model!r})"

    def ask(self, messages: Sequence[ChatMessage], *, temperature: float, max_tokens: int, seed: int) -> ChatReply:
        """The next turn of a conversation.

        Args:
            messages: So far; the last one is a user's.
            temperature: 0 decodes greedily.
            max_tokens: Tokens that the turn may have.
            seed: Of sampling, where the server takes one.

        Raises:
            ContextOverflow: they do not fit into the model's context.
            ConfigError: the server refuses what it is asked, and would do so again.
            OutageError: it did not answer, and trying again did not help.
            ObservationError: a picture is none.
        """
        if self.max_model_len is not None and max_tokens >= self.max_model_len:
            raise ConfigError(
                f"answers of {max_tokens} tokens leave no room for a prompt in the {self.max_model_len} tokens that "
                f"{self.model!r} has at {self.url}: allow fewer tokens a turn"
            )
        told = to_json(messages, self._urls)
        expected = estimated_tokens(messages) + max_tokens
        body: dict[str, Any] = {}
        tries = 0

        def once() -> Said:
            nonlocal body, tries
            body = self._dialect.body(self.model, told, temperature, max_tokens, seed)
            tries += 1
            return self._once(body, expected)

        while True:
            try:
                said = self._patience.ask(once, "POST")
                break
            except Refused as refused:
                if not self._dialect.adapts(body, refused):
                    pictures = sum(len(message.images) for message in messages)
                    raise explained(refused, self._asked(pictures)) from None
        text = self._dialect.turn(said.text, said.stop_reason == "stop")
        return ChatReply(text, said.stop_reason, said.prompt_tokens, said.completion_tokens, tries)

    def close(self) -> None:
        """Close the connections. Whoever still waits for an answer gets an OutageError."""
        self._closed.set()
        self._http.close()

    def _once(self, body: dict[str, Any], expected: int) -> Said:
        with self._places:
            self._requests.take(1)
            self._tokens.take(expected)
            said = read_answer(self._http.send("POST", COMPLETIONS, body))
        used = said.prompt_tokens + said.completion_tokens
        if used:
            self._tokens.correct(expected, used)
        return said

    def _asked(self, pictures: int = 0) -> Asked:
        return Asked(self.url, self.model, self._options.api_key_env, self._has_key, self._served, pictures)

    def _find(self) -> Dialect:
        """Ask which models there are."""
        listed = self._list()
        if listed is None:  # some hosted servers list none
            if not self.model:
                raise ConfigError(f"{self.url} does not list its models: name one with --server.model")
            return Dialect("", self._options.extra)
        self._served = tuple(str(entry["id"]) for entry in listed)
        if not self.model:
            if len(self._served) != 1:
                raise ConfigError(
                    f"{self.url} serves {len(self._served)} models: {', '.join(self._served) or 'none'}. Name one: "
                    "--server.model NAME"
                )
            self.model = self._served[0]
        entry = next((entry for entry in listed if entry["id"] == self.model), {})
        length = entry.get("max_model_len")
        self.max_model_len = length if isinstance(length, int) else None
        return Dialect(str(entry.get("owned_by") or ""), self._options.extra)

    def _list(self) -> list[dict[str, Any]] | None:
        """The server's models; None where it has no list of them.

        Raises:
            ConfigError: there is no chat server, or it is at another address, or wants a key.
        """
        try:
            answer = self._patience.ask(lambda: self._models(""), "GET")
        except Refused as refused:
            if refused.status not in (404, 405):
                raise explained(refused, self._asked()) from None
            if not self.url.endswith("/v1") and self._under_v1():
                raise ConfigError(f"{self.url} has its chat under /v1: give {self.url}/v1") from None
            return None
        entries = answer.get("data")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) and "id" in entry for entry in entries):
            raise ConfigError(f"{self.url}/models is no list of models: is that a chat server? Mostly it ends in /v1")
        return entries

    def _models(self, prefix: str) -> dict[str, Any]:
        try:
            return self._http.send("GET", f"{prefix}/models")
        except Unreadable as error:
            if error.page:
                raise Refused(404, "a web page") from None
            raise

    def _under_v1(self) -> bool:
        try:
            return "data" in self._patience.ask(lambda: self._models("/v1"), "GET")
        except Refused:
            return False
