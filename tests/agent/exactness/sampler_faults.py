"""Faults of the sampler: a store that errs while it generates, or somebody in front of the engine who does."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from agent.model.load import VLM
from agent.rollout.engine import Request, RolloutEngine
from agent.rollout.hf_own import Lot
from agent.rollout.hf_shared import Kept, SharedStore
from agent.rollout.hf_trunks import Trunk
from agent.types import Row
from tests.agent.exactness.play import Played, Wave, engine_of, play

STEP = 1e-3  # how far weights move while a cache is kept
STEP_OF_STORE, PAST_OF_STORE = SharedStore.step, SharedStore.past


def next_position(store: SharedStore, ids: Tensor, positions: Tensor) -> Tensor:
    """Sampled tokens stand one further than they should."""
    return STEP_OF_STORE(store, ids, positions + 1)


def lost_token(store: SharedStore, place: int, length: int) -> Kept:
    """Where a turn continues what is held, the last token of that cannot be seen."""
    kept = PAST_OF_STORE(store, place, length)
    if kept.own.length:
        return replace(kept, own=Lot(*([each[:, :-1] for each in t] for t in (kept.own.keys, kept.own.values))))
    keys, values = ([each[:, :-1] for each in tensors] for tensors in (kept.trunk.keys, kept.trunk.values))
    return replace(kept, trunk=Trunk(keys, values, kept.trunk.logits, kept.trunk.next_position))


class Unbanned:
    """Draws banned tokens like any other."""

    def __init__(self, engine: RolloutEngine) -> None:
        self.engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def submit(self, request: Request) -> None:
        self.engine.submit(replace(request, sampling=replace(request.sampling, banned_ids=())))


class Moving:
    """Between the first and the second turn the weights move; unless `told`, caches of the old ones stay."""

    def __init__(self, vlm: VLM, told: bool) -> None:
        self.engine, self.model, self.told = engine_of(vlm), vlm.model, told
        self.begun: set[int] = set()
        self.moved = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def submit(self, request: Request) -> None:
        if request.episode in self.begun and not self.moved:
            self.moved = True
            with torch.no_grad():
                for weight in self.model.parameters():
                    weight += STEP * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
            if self.told:
                self.engine.load_weights(self.model.state_dict(keep_vars=True).items(), 1)
        self.begun.add(request.episode)
        self.engine.submit(request)


def unbanned(vlm: VLM, wave: Wave) -> Played:
    """One turn: where it drew an image token, the engine refuses the next."""
    one = replace(wave, budget=replace(wave.budget, max_turns=1))
    return play(vlm, one, Unbanned(engine_of(vlm)))  # type: ignore[arg-type]


def _sampled_with(vlm: VLM, wave: Wave, method: str, fault: Callable[..., Any]) -> Played:
    with patch.object(SharedStore, method, fault):
        return play(vlm, wave)


def _several_turns(row: Row) -> bool:
    return sum(1 for _ in row.actions) > 1


def _several_tokens(row: Row) -> bool:
    return any(len(action.token_ids) > 1 for action in row.actions)


# How to play with the fault, and in which rows it can occur.
SAMPLER_FAULTS: dict[str, tuple[Callable[[VLM, Wave], Played], Callable[[Row], bool]]] = {
    "next position one further": (lambda vlm, wave: _sampled_with(vlm, wave, "step", next_position), _several_tokens),
    "cache lacks its last token": (lambda vlm, wave: _sampled_with(vlm, wave, "past", lost_token), _several_turns),
    "sampler forgets banned tokens": (unbanned, lambda row: True),
}
