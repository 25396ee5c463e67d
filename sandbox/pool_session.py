"""A lease of a pool's lane: programs one after the other, and what may be tried again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from .closing import Closing
from .contract import ExecResult, Limits
from .errors import InfrastructureError, Lost, RequestError, Stalled
from .lane import BusyError, Lane, Unanswered

_OF_A_PROCESS = ("memory_bytes", "processes", "file_bytes")


class Pool(Protocol):
    """What a session needs of its pool."""

    def check(self, code: str, files: Mapping[str, bytes], limits: Limits, outputs: Sequence[str]) -> bytes: ...
    def take(self, state: str) -> Lane: ...
    def give(self, lane: Lane) -> None: ...
    def count(self, what: str) -> None: ...


class PooledSession(Closing):
    """A lease of a pool's lane. See `sandbox.contract.Session`."""

    def __init__(self, pool: Pool, lane: Lane, state: str, queued: float) -> None:
        self._pool, self._state, self._queued = pool, state, queued
        self._lane: Lane | None = lane
        self._programs = 0
        self._bound: tuple[int, ...] | None = None
        self._replaced = False

    def exec(
        self, code: str, files: Mapping[str, bytes], limits: Limits, *, outputs: Sequence[str] = ("*",)
    ) -> ExecResult:
        """Run the next program; see `Session.exec`."""
        program = self._pool.check(code, files, limits, outputs)
        return self.run(program, files, limits, outputs, last=False)

    def run(
        self, program: bytes, files: Mapping[str, bytes], limits: Limits, outputs: Sequence[str], *, last: bool
    ) -> ExecResult:
        """Run the next program of a checked request; `last` ends the lease as well."""
        self._check_limits(limits)
        if self._lane is None:
            raise Lost("this lease is over")
        self._pool.count("programs")
        if not self._lane.fit:  # an earlier program made it unusable, and was told so by its result
            self._swap()
            self._replaced = True
        try:
            result = self._try(program, files, limits, outputs, last)
        except Stalled:
            self._programs += 1
            raise
        except InfrastructureError:
            self._pool.count("lost")
            self.close()
            raise
        result = replace(
            result,
            queue_ms=round(1000 * self._queued, 3),
            variables_lost=result.variables_lost or (self._replaced and self._state == "variables"),
            files_lost=self._replaced,
        )
        self._queued, self._replaced = 0.0, False
        self._programs += 1
        return result

    def close(self) -> None:
        """End the lease and give the lane back."""
        lane, self._lane = self._lane, None
        if lane is not None:
            if lane.fit:
                lane.end()
            self._pool.give(lane)

    def _try(
        self, program: bytes, files: Mapping[str, bytes], limits: Limits, outputs: Sequence[str], last: bool
    ) -> ExecResult:
        """Once more on another lane, where nothing is lost by it and no byte of a result came."""
        assert self._lane is not None
        try:
            return self._lane.run(program, files, limits, outputs, last=last)
        except Unanswered:
            if self._programs:
                raise
        except BusyError:  # it was leased without waiting for the answer
            pass
        self._pool.count("retried")
        self._swap()
        return self._lane.run(program, files, limits, outputs, last=last)

    def _swap(self) -> None:
        """Another lane in place of one that is lost or unfit."""
        lane, self._lane = self._lane, None
        if lane is not None:
            self._pool.give(lane)
        asked = time.monotonic()
        self._lane = self._pool.take(self._state)
        self._queued += time.monotonic() - asked

    def _check_limits(self, limits: Limits) -> None:
        if self._state != "variables":
            return
        bound = tuple(getattr(limits, name) for name in _OF_A_PROCESS)
        if self._bound not in (None, bound):
            raise RequestError(
                f"{', '.join(_OF_A_PROCESS)} must stay the same in a lease that keeps variables, as they are limits of "
                f"its process: {self._bound}; got {bound}"
            )
        self._bound = bound
