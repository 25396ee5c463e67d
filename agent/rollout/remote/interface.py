"""What a kind of generation server has to be asked, and how its answers read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...types import ImageSpan
from ..engine import Completion, Request, SamplingParams
from .connection import Connection

# Of the question that a server is asked first: tokens of its answer, and what is added to the logit of one of them.
PROBED_TOKENS = 8
BIAS = 100.0


@dataclass(frozen=True)
class Expected:
    """What servers must be able to do. `max_tokens`: the longest context, answers included; `weights`: whether they
    will be given new ones; `prompt`: some token ids; `vocabulary`: rows of the model's embedding."""

    max_tokens: int
    weights: bool
    prompt: tuple[int, ...]
    vocabulary: int


class Interface(Protocol):
    """One kind of server. It holds no connection; several servers share it."""

    generate: str  # the path that generates

    def body(self, request: Request, token_ids: Sequence[int], spans: Sequence[ImageSpan]) -> bytes:
        """A request as JSON. token_ids: expanded. spans: where each image stands among them.

        Raises:
            ConfigError: this kind of server cannot do what is asked.
        """
        ...

    def completion(
        self, request: Request, token_ids: Sequence[int], answer: Any, version: int, label: str | None
    ) -> Completion:
        """What the server made of the request. `label`: of the weights that it should have, see `load`.

        Raises:
            MismatchError: it generated from other tokens than it was sent, or with other weights.
            OutageError: it gave up.
        """
        ...

    async def check(self, server: Connection, expected: Expected) -> None:
        """Ask a server that was just found what it is.

        Raises:
            ConfigError: it lacks something; the message says how to start it.
            OutageError: it does not answer.
        """
        ...

    async def load(self, server: Connection, folder: Path, label: str) -> None:
        """Have the server take the weights of a folder, forget what the old ones made, and call them `label`."""
        ...


def stop_reason(sampling: SamplingParams, token_ids: Sequence[int]) -> Any:
    """ "stop" or "length"."""
    return "stop" if token_ids and token_ids[-1] in sampling.stop_ids else "length"
