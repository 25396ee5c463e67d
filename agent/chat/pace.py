"""How fast a server may be asked: a bucket that leaks so much a minute, and into which what is asked is poured."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

LOOKS = 0.5  # seconds after which who waits looks again: an answer may have needed less than was thought


class Pace:
    """Whoever takes waits until the bucket is empty, then pours in what it takes; so what is begun in any minute is at
    most what may be, and what its last taker takes. In the order of coming; safe for threads.

    Args:
        per_minute: What leaks out in a minute; 0: there is no limit.
        clock: Seconds.
        sleep: Waits so many of them.
    """

    def __init__(
        self,
        per_minute: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = per_minute / 60.0
        self._clock, self._sleep = clock, sleep
        self._level, self._then = 0.0, clock()
        self._door, self._lock = Lock(), Lock()

    def take(self, amount: float) -> None:
        """Wait for a turn."""
        if not self._rate:
            return
        with self._door:  # the next one comes in once this one is through
            while (wait := self._poured(amount)) > 0:
                self._sleep(min(wait, LOOKS))

    def correct(self, taken: float, used: float) -> None:
        """Say what a turn really used."""
        with self._lock:
            self._leak()
            self._level = max(0.0, self._level + used - taken)

    def _poured(self, amount: float) -> float:
        """0 if it has been poured in, else the seconds until it may be."""
        with self._lock:
            self._leak()
            # Less than a millionth of a turn is rounding.
            if self._level > 1e-6:
                return self._level / self._rate
            self._level += amount
            return 0.0

    def _leak(self) -> None:
        now = self._clock()
        self._level = max(0.0, self._level - (now - self._then) * self._rate)
        self._then = now
