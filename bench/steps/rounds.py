"""Several ways of the same thing, each in a process of its own, in rounds in which they take turns: what slows the
machine for a while slows all of them, and ratios are of neighbours in time."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .job import Job
from .worker import measured


@dataclass(frozen=True)
class Measured:
    """One way, round by round."""

    rounds: tuple[dict[str, Any], ...]

    @property
    def last(self) -> dict[str, Any]:
        return self.rounds[-1]

    def by_round(self, name: str = "cpu") -> list[float]:
        """The median of each round's laps."""
        return [statistics.median(of[name]) for of in self.rounds]

    @property
    def seconds(self) -> float:
        """Of processor time: the median of the rounds' medians."""
        return statistics.median(self.by_round())

    @property
    def wall(self) -> float:
        """On the clock of the wall."""
        return statistics.median(self.by_round("wall"))

    @property
    def peak(self) -> float:
        """MiB above what was there when everything was loaded."""
        return statistics.median(of["peak"] for of in self.rounds)


@dataclass(frozen=True)
class Effort:
    """How much is measured. `models`: a folder in which checkpoints are kept between processes; "": none is. `tell`: is
    told of every process before it starts."""

    rounds: int = 3
    quick: bool = False
    device: str = "cpu"
    models: str = ""
    tell: Callable[[str], None] = print
    run: Callable[[Job], dict[str, Any]] = measured

    def of(self, job: Job) -> Job:
        """As long as it should be."""
        job = replace(job, device=self.device, models=self.models)
        return replace(job, warm=1, measured=2) if self.quick else job

    def interleaved(self, jobs: Mapping[str, Job]) -> dict[str, Measured]:
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in jobs}
        for number in range(1 if self.quick else self.rounds):
            for name, job in jobs.items():
                self.tell(f"round {number + 1}: {name}")
                found[name].append(self.run(self.of(job)))
        return {name: Measured(tuple(rounds)) for name, rounds in found.items()}


def ratios(ours: Measured, theirs: Measured) -> list[float]:
    """How many times less processor time ours takes, round by round; least and most."""
    each = [there / here for here, there in zip(ours.by_round(), theirs.by_round(), strict=True)]
    return [round(min(each), 3), round(max(each), 3)]
