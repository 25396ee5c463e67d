"""Which fields of a request a server takes: what was learned from its list of models, and from what it refused."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from .refusals import Refused

_log = logging.getLogger(__name__)

# Servers that say so take more fields than OpenAI's interface has.
OPEN_SERVERS = ("vllm", "sglang")
# Said in every request: unless told otherwise, such servers take defaults from the checkpoint's generation_config.json.
PLAIN = {
    "top_p": 1.0,
    "top_k": -1,
    "min_p": 0.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "repetition_penalty": 1.0,
}
# What ends a turn in the families that such servers serve.
END_TOKENS = (
    "<|im_end|>",
    "<|endoftext|>",
    "</s>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<|end|>",
    "<eos>",
)
_UNKNOWN = re.compile(
    r"unsupported|not supported|unrecognized|unknown|unexpected|extra|not permitted|not allowed|invalid", re.I
)


class Dialect:
    """One server's. Safe for threads.

    Args:
        owner: Of its model, as the server says.
        extra: Fields that the user adds.
    """

    def __init__(self, owner: str, extra: Mapping[str, Any]) -> None:
        self.open = owner.lower() in OPEN_SERVERS
        self._more = (PLAIN | {"skip_special_tokens": False} if self.open else {}) | dict(extra)
        self._limit = "max_tokens"
        self._seed = True
        self._lock = Lock()

    def body(
        self, model: str, messages: Sequence[Mapping[str, Any]], temperature: float, max_tokens: int, seed: int
    ) -> dict[str, Any]:
        """A request's body."""
        body = {"model": model, "messages": messages, "temperature": temperature, self._limit: max_tokens}
        if self._seed:
            body["seed"] = seed % 2**31  # what every server's integers hold
        return body | self._more

    def adapts(self, body: Mapping[str, Any], refused: Refused) -> bool:
        """Whether the request, made again, is another one: the server would not have a field that it can do without.
        Requests that were under way meanwhile find out the same."""
        if refused.status not in (400, 422) or refused.overflow:
            return False
        with self._lock:
            if "max_tokens" in body and _about(refused, "max_tokens") and "max_completion_tokens" in refused.said:
                self._limit = "max_completion_tokens"
                return True
            if "seed" in body and _about(refused, "seed"):
                if self._seed:
                    _log.warning("the chat server takes no seed, so that sampled answers cannot be repeated")
                self._seed = False
                return True
        return False

    def turn(self, text: str, stopped: bool) -> str:
        """The text of a turn without the token that ends it, which is spelled out where special tokens are kept."""
        if self.open and stopped:
            for token in END_TOKENS:
                if text.endswith(token):
                    return text.removesuffix(token)
        return text


def _about(refused: Refused, name: str) -> bool:
    """Whether the server complains of this field, and not of its value's size."""
    if refused.labels.get("param") == name:
        return refused.labels.get("code") != "integer_above_max_value"
    return bool(re.search(rf"\b{name}\b", refused.said) and _UNKNOWN.search(refused.said))
