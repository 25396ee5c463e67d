"""What a server's error means: not now, never, or a context that is too long."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import AgentError, ConfigError, ContextOverflow
from .words import labels, said

LATER = (408, 409, 425, 429)
NOT_IMPLEMENTED = (501, 505)  # the 5xx that another try does not change
# Every server has words of its own. These are about prompts, not about answers that are asked to be too long.
_OVERFLOW = re.compile(
    r"context[ _]?(length|window|size)|maximum (context|model) length|max_model_len|max_seq_len|prompt (is )?too long"
    r"|too many (input |prompt )?tokens|input (token count|is too long|length)|longer than the model"
    r"|exceeds? the (model|maximum number of tokens|available context)|`?inputs`? tokens"
    r"|reduce the length of the (messages|prompt|input)",
    re.I,
)
_OVERFLOW_CODES = ("context_length_exceeded", "exceed_context_size_error")
_BLIND = re.compile(
    r"image input is not supported|not support(ing)? (image|vision|multi-?modal)|not a multi-?modal model"
    r"|image_url is only supported|at most 0 image|does not accept image|no endpoints found that support image",
    re.I,
)
_ABOUT_PICTURES = re.compile(r"\bimages?\b|image_url|vision|multi-?modal", re.I)
# Not any word of quota or billing: limits by the minute are told with them too.
_NO_CREDIT = re.compile(r"insufficient[ _](quota|balance|credits?|funds)|credit balance is too low", re.I)


class Passing(Exception):
    """No answer came, but one may. `pause`: seconds that the server asks for."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


class Unreadable(Passing):
    """What came is no answer. `page`: it looks like a web page."""

    def __init__(self, reason: str, page: bool = False) -> None:
        super().__init__(reason)
        self.page = page


class Refused(Exception):
    """An answer that another try would not change: what the server said, and how it labelled it."""

    def __init__(self, status: int, text: str) -> None:
        self.status, self.said, self.labels = status, said(text), labels(text)
        super().__init__(f"{status}: {self.said}")

    @property
    def overflow(self) -> bool:
        return (
            self.labels.get("code") in _OVERFLOW_CODES
            or self.labels.get("type") in _OVERFLOW_CODES
            or bool(self.status != 429 and _OVERFLOW.search(self.said))
        )

    @property
    def blind(self) -> bool:
        return bool(_BLIND.search(self.said))

    @property
    def no_credit(self) -> bool:
        kinds = (self.labels.get("code"), self.labels.get("type"))
        return self.status == 402 or "insufficient_quota" in kinds or bool(_NO_CREDIT.search(self.said))


def judged(status: int, text: str, pause: float | None) -> Passing | Refused:
    """The meaning of an error. Some servers say with a status that means "later" what will never change."""
    refused = Refused(status, text)
    if refused.no_credit or refused.overflow or refused.blind:
        return refused
    if status in LATER or (status >= 500 and status not in NOT_IMPLEMENTED):
        return Passing(f"{status}: {refused.said}", pause)
    return refused


@dataclass(frozen=True)
class Asked:
    """What was asked, as far as an explanation needs it. `served`: models that the server lists."""

    url: str
    model: str
    key_variable: str
    has_key: bool
    served: Sequence[str] = ()
    pictures: int = 0


def explained(refused: Refused, asked: Asked) -> AgentError:
    """The error for the person who started the evaluation, or for whoever plays the episode (ContextOverflow)."""
    told = f"{refused.status}: {refused.said}"
    if refused.no_credit:
        return ConfigError(
            f"the account behind {asked.url} has no credit left ({told}): add some, or use another key "
            "(--server.api_key_env)"
        )
    if refused.status in (401, 403):
        if not asked.has_key:
            where = (
                f"put it into the environment variable {asked.key_variable}"
                if asked.key_variable
                else ("name the environment variable that holds it: --server.api_key_env NAME")
            )
            return ConfigError(f"{asked.url} wants a key ({told}): {where}")
        return ConfigError(
            f"{asked.url} refuses the key in the environment variable {asked.key_variable}, or what is asked with it "
            f"({told}). --server.api_key_env names another variable"
        )
    if refused.blind or (asked.pictures and not refused.overflow and _ABOUT_PICTURES.search(refused.said)):
        return ConfigError(
            f"{asked.url} does not take the pictures of a conversation (it was shown {asked.pictures}): {told}. "
            f"Is {asked.model!r} a model that sees, and may a prompt hold so many (--limit-mm-per-prompt of vLLM)?"
        )
    if refused.overflow:
        return ContextOverflow(f"the conversation does not fit into the context of {asked.model!r} ({told})")
    if refused.status == 404:
        has = f"it serves: {', '.join(asked.served)}" if asked.served else "it does not list its models"
        return ConfigError(
            f"{asked.url} has no chat with a model {asked.model!r} ({told}); {has}. --server.model names another one; "
            "the address mostly ends in /v1"
        )
    if 300 <= refused.status < 400:
        return ConfigError(f"{asked.url} sends elsewhere ({told}); give the address that answers itself")
    return ConfigError(f"{asked.url} refused a request ({told}). --server.extra adds fields to requests")
