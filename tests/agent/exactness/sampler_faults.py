"""Faults of the sampler: a forward pass that errs while it generates, or somebody in front of the engine who does."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from agent.model.forward import hidden_states
from agent.model.load import VLM
from agent.rollout.engine import Request, RolloutEngine
from agent.types import Row
from tests.agent.exactness.play import Played, Wave, engine_of, play

STEP = 1e-3  # how far weights move while a cache is kept


def next_position(model: Any, ids: Tensor, mask: Tensor, positions: Tensor, images: Any, cache: Any = None) -> Tensor:
    """Sampled tokens stand one further than they should."""
    return hidden_states(model, ids, mask, positions + (ids.shape[1] == 1), images, cache)


def lost_token(model: Any, ids: Tensor, mask: Tensor, positions: Tensor, images: Any, cache: Any = None) -> Tensor:
    """Where a turn continues a cache, the last token in it cannot be seen."""
    held = mask.shape[1] - ids.shape[1]
    if held and ids.shape[1] > 1:
        mask = mask.clone()
        mask[:, held - 1] = 0
    return hidden_states(model, ids, mask, positions, images, cache)


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


def _sampled_with(vlm: VLM, wave: Wave, forward: Callable[..., Tensor]) -> Played:
    with patch("agent.rollout.hf.hidden_states", forward):
        return play(vlm, wave)


def _several_turns(row: Row) -> bool:
    return sum(1 for _ in row.actions) > 1


def _several_tokens(row: Row) -> bool:
    return any(len(action.token_ids) > 1 for action in row.actions)


# How to play with the fault, and in which rows it can occur.
SAMPLER_FAULTS: dict[str, tuple[Callable[[VLM, Wave], Played], Callable[[Row], bool]]] = {
    "next position one further": (lambda vlm, wave: _sampled_with(vlm, wave, next_position), _several_tokens),
    "cache lacks its last token": (lambda vlm, wave: _sampled_with(vlm, wave, lost_token), _several_turns),
    "sampler forgets banned tokens": (unbanned, lambda row: True),
}
