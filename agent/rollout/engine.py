"""The contract of a rollout engine: whoever turns token ids and pictures into sampled tokens.

`submit` hands over requests at any time, also while others still generate; `poll` returns what has finished since. An
engine may keep an episode's key-value cache between its turns, until `release`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from ..model.processor import ProcessedImage


@dataclass(frozen=True)
class SamplingParams:
    """How to draw one action. `temperature` 0 decodes greedily; `max_tokens` counts the end token; `banned_ids` get
    probability 0; `stop_ids` end the turn and are returned with it; `seed` keys the uniforms (`seeds.uniforms`)."""

    temperature: float
    max_tokens: int
    seed: int
    stop_ids: tuple[int, ...]
    banned_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.max_tokens < 1:
            raise ValueError(f"temperature >= 0 and max_tokens >= 1, got {self.temperature} and {self.max_tokens}")


@dataclass(frozen=True, eq=False)
class Request:
    """One turn to generate. `token_ids`: the row so far, one placeholder an image (`Row.collapsed`); `images`: in the
    order of the placeholders; `episode`: whose cache may be continued."""

    id: int
    episode: int
    token_ids: tuple[int, ...]
    images: tuple[ProcessedImage, ...]
    sampling: SamplingParams


@dataclass(frozen=True)
class Completion:
    """A finished turn: the sampled tokens with their log-probabilities (nats, under the distribution actually sampled),
    why it stopped, and how many weight updates the engine had seen. `logprobs` is None where somebody else than an
    engine chose the tokens (see `token_mdp`): then nothing is recorded of how they were sampled."""

    id: int
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    stop_reason: Literal["stop", "length"]
    weight_version: int


class RolloutEngine(Protocol):
    """What the episode driver needs. An in-process engine advances one step at each `poll`."""

    def submit(self, request: Request) -> None: ...

    def poll(self, timeout: float) -> list[Completion]:
        """Completions since the last call; waits at most `timeout` seconds. Raises RuntimeError while asleep."""
        ...

    def abort(self, request_id: int) -> None:
        """Forget a request that has not finished; it will not be returned. Unknown ids are ignored."""
        ...

    def release(self, episode: int) -> None:
        """Free what is kept for an episode."""
        ...

    def load_weights(self, tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Take new weights and forget every cache that the old ones made."""
        ...

    def close(self) -> None:
        """End for good, and free everything."""
        ...

    def forget(self) -> None:
        """Drop what is kept between requests: what follows depends on nothing that came before."""
        ...

    def held(self) -> dict[str, int]:
        """Bytes on the device now: "sampler weights" of its own, and "key-value cache"."""
        ...

    def sleep(self) -> None:
        """Leave the device. Raises RuntimeError while requests are generating."""
        ...

    def wake(self) -> None:
        """Be ready for requests. Raises RuntimeError if weights that sleep dropped were not loaded again."""
        ...
