"""The processes of a run as threads of one: each works out its own share, and they meet where processes would."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier, BrokenBarrierError
from typing import Any, TypeVar

import torch

from ..engine.ranks import ALONE, Ranks

T = TypeVar("T")


@dataclass(eq=False)
class _Meeting:
    barrier: Barrier
    given: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class ThreadRanks(Ranks):
    """One of several threads that stand for the processes of a run."""

    meeting: _Meeting = field(default_factory=lambda: _Meeting(Barrier(1), [None]))

    def gathered(self, value: T) -> list[T]:
        self.meeting.given[self.rank] = value
        self.meeting.barrier.wait()
        found = list(self.meeting.given)
        self.meeting.barrier.wait()  # nobody gives the next value before all have read this one
        return found

    def told(self, value: T) -> T:
        return self.gathered(value)[0]

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        first, *others = self.gathered(tensor.detach().cpu())
        summed = first.clone()
        for other in others:
            summed += other
        return summed

    def wait(self) -> None:
        self.gathered(None)


def together(size: int, work: Callable[[Ranks], T]) -> list[T]:
    """What `work` gives in each of `size` processes, by rank.

    Raises:
        What the first of them raised.
    """
    if size == 1:
        return [work(ALONE)]
    meeting = _Meeting(Barrier(size), [None] * size)

    def alone(rank: int) -> T:
        try:
            return work(ThreadRanks(rank, size, meeting))
        except BaseException:
            meeting.barrier.abort()  # the others would wait for ever
            raise

    with ThreadPoolExecutor(size) as threads:
        running = [threads.submit(alone, rank) for rank in range(size)]
    errors = [error for one in running if (error := one.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, BrokenBarrierError)):
        raise error
    return [one.result() for one in running]
