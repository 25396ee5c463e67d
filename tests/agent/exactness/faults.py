"""Faults planted between sampler and trainer, one in one row at a time: each must exceed the bound or be refused.

A fault of the trainer changes what a row's tensors say; a fault of the sampler is an engine that errs while it
generates. What cannot be built counts as refused.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from agent.agreement import compare
from agent.model.load import VLM
from agent.rollout.episode import Budget, EpisodeSpec
from agent.rollout.episodes import DriverOptions
from agent.seeds import derive_seed
from tests.agent.exactness.play import Played, Wave, play
from tests.agent.exactness.sampler_faults import SAMPLER_FAULTS, Moving
from tests.agent.exactness.tally import BOUND, trainer_logprobs
from tests.agent.exactness.trainer_faults import TRAINER_FAULTS, Case, Judged

T = TypeVar("T")
# The controls, in which nothing is wrong, and the fault of the second.
NONE, TOLD, STALE = "none", "none, weights moved between turns", "cache of weights that moved"


@dataclass(frozen=True)
class Outcome:
    """What a fault did in the rows that it can occur in: the largest gap of each (nats), and how many were refused."""

    gaps: tuple[float, ...]
    refused: int

    @property
    def noticed(self) -> int:
        return self.refused + sum(not gap <= BOUND for gap in self.gaps)

    @property
    def tried(self) -> int:
        return self.refused + len(self.gaps)


def plant(vlm: VLM, seed: int, episodes: int) -> dict[str, Outcome]:
    """Every fault, each in every row of some episodes in which it can occur; and none, as the control."""
    wave = _wave(seed, episodes)
    cases = list(_cases(play(vlm, wave)))
    found = {NONE: _outcome(cases, untouched), TOLD: _moved(vlm, wave, told=True)}
    found |= {name: _outcome(cases, fault) for name, fault in TRAINER_FAULTS.items()}
    for name, (played_with, occurs) in SAMPLER_FAULTS.items():
        cases = [case for case in _cases(played_with(vlm, wave)) if occurs(case.row)]
        found[name] = _outcome(cases, untouched)
    return found | {STALE: _moved(vlm, wave, told=False)}


def _wave(seed: int, episodes: int) -> Wave:
    """Episodes just long enough for every fault to have a place."""
    specs = [
        EpisodeSpec(None, derive_seed("fault", seed, i), derive_seed("fault sample", seed, i)) for i in range(episodes)
    ]
    return Wave(tuple(specs), Budget(1.0, 6, 4000, 5), DriverOptions(64, 1, True), 0.0)


def _cases(played: Played) -> Iterator[Case]:
    return (Case(played, index, number) for index, number in played.trained)


def _outcome(cases: Iterable[T], fault: Callable[[T], Judged | None]) -> Outcome:
    gaps: list[float] = []
    refused = 0
    for case in cases:
        try:
            judged = fault(case)
        except ValueError:
            refused += 1
            continue
        if judged is not None:
            actor, batch = judged
            gaps.append(compare(batch, trainer_logprobs(actor, batch), BOUND).largest)
    return Outcome(tuple(gaps), refused)


def untouched(case: Case) -> Judged:
    return case.actor, case.batch


def _moved(vlm: VLM, wave: Wave, told: bool) -> Outcome:
    """Rows of several turns, from the second turn on: the first was sampled by other weights, and rightly so."""
    original = {name: tensor.clone() for name, tensor in vlm.model.state_dict().items()}
    try:
        played = play(vlm, wave, Moving(vlm, told))  # type: ignore[arg-type]
        later = [
            (case.actor, replace(case.batch, action_mask=case.batch.action_mask & (case.batch.turns > 0)))
            for case in _cases(played)
            if case.number == 0 and sum(1 for _ in case.row.actions) > 1
        ]
        return _outcome(later, lambda judged: judged)
    finally:
        vlm.model.load_state_dict(original)
