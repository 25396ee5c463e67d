"""From a server's answer to what a model said."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ConfigError
from .refusals import Unreadable

_log = logging.getLogger(__name__)

STOPS = ("stop", "eos", "eos_token", "stop_sequence", "end_turn")
LENGTHS = ("length", "max_tokens", "MAX_TOKENS")
GIVEN_UP = ("abort", "error", "cancelled")  # no answer came
TAKEN_APART = ("tool_calls", "function_call")
WITHHELD = "content_filter"


@dataclass(frozen=True)
class Said:
    """The first choice of an answer. Tokens: 0 where the server does not say."""

    text: str
    stop_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int


def read_answer(answer: dict[str, Any]) -> Said:
    """What was said. Thoughts that the server's reasoning parser took out are put back where they were, between
    <think> and </think>: an environment reads the whole turn. An answer that the provider withheld is what there is of
    it, mostly "": its model said nothing else.

    Raises:
        Unreadable: a part is missing, or the server gave the request up.
        ConfigError: the server's tool parser took the text apart.
    """
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Unreadable(f"its answer has no choices: {f'{answer}'[:200]}")
    message, reason = choices[0].get("message"), choices[0].get("finish_reason")
    if not isinstance(message, dict):
        raise Unreadable(f"its answer has no message: {f'{answer}'[:200]}")
    if reason in TAKEN_APART or message.get("tool_calls"):
        raise ConfigError(
            "the chat server took an answer for a call of tools and cut it up (finish_reason "
            f"{reason!r}): the model's text is lost. Start the server without a tool parser, such as vLLM's "
            "--enable-auto-tool-choice"
        )
    if reason == WITHHELD:
        _log.warning("the chat server's filter withheld an answer; what is left of it counts as the model's turn")
    elif reason is None or reason in GIVEN_UP:
        raise Unreadable(f"it gave the request up (finish_reason {reason!r})")
    elif reason not in STOPS + LENGTHS:
        raise ConfigError(f"the chat server ended an answer for a reason that is not known here: {reason!r}")
    usage = answer.get("usage")
    return Said(
        text=_text(message, cut=reason in LENGTHS),
        stop_reason="length" if reason in LENGTHS else "stop",
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
    )


def _text(message: dict[str, Any], cut: bool) -> str:
    content = _joined(message.get("content"), "text")
    # vLLM renamed the field; parts of the kind "thinking" are Mistral's.
    thoughts = _joined(message.get("reasoning_content") or message.get("reasoning"), "text")
    thoughts = thoughts or _joined(message.get("content"), "thinking")
    if not thoughts:
        return content
    if cut and not content:
        return f"<think>{thoughts}"  # the model never came to close it
    return f"<think>{thoughts}</think>{content}"


def _joined(content: Any, kind: str) -> str:
    """Text that may be null, a string, or a list of parts of several kinds."""
    if content is None or isinstance(content, str):
        return content if content and kind == "text" else ""
    if not isinstance(content, list):
        raise Unreadable(f"its message has a content that is no text: {f'{content}'[:200]}")
    found = (part.get(kind) for part in content if isinstance(part, dict) and part.get("type") == kind)
    return "".join(part if isinstance(part, str) else _joined(part, "text") for part in found)


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
