"""A circuit breaker: what fails again and again is left alone for a while, and callers hear so at once."""

from __future__ import annotations

import time
from collections.abc import Callable


class Breaker:
    """Counts failures in a row. After `failures` of them it is open: for `first` seconds, then one trial is due
    (half-open), and each trial that fails doubles the time, up to `most`. A success closes it.

    Not for several threads at once; its owner has a lock.
    """

    def __init__(
        self,
        *,
        failures: int = 3,
        first: float = 2.0,
        most: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures, self._first, self._most, self._clock = failures, first, most, clock
        self._row = 0
        self._due = 0.0
        self.why = ""

    @property
    def open(self) -> bool:
        """Whether callers should be told at once that it does not work."""
        return self._row >= self._failures

    @property
    def wait(self) -> float:
        """Seconds until the next trial is due; 0 if one may be made now."""
        return max(0.0, self._due - self._clock())

    def failed(self, why: str) -> None:
        """A trial failed."""
        self._row += 1
        self.why = why
        beyond = self._row - self._failures
        # Before it opens, trials follow each other quickly; and never at once.
        pause = self._first / 4 if beyond < 0 else min(self._first * 2.0 ** min(beyond, 30), self._most)
        self._due = self._clock() + pause

    def worked(self) -> None:
        """A trial succeeded."""
        self._row, self._due, self.why = 0, 0.0, ""
