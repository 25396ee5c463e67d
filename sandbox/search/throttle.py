"""How often something may be asked: a token bucket that any number of threads share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class TokenBucket:
    """At most `per_second` takes a second in the long run, and at most `burst` at once.

    Who comes too early waits for a turn, in the order of coming. One process has one bucket: two processes that ask
    the same service together ask twice as often.
    """

    def __init__(
        self,
        per_second: float,
        burst: int = 1,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval = 1.0 / per_second
        self._saved = (burst - 1) * self._interval
        self._clock, self._sleep = clock, sleep
        self._next = clock()  # when the next turn is, had nothing been saved
        self._lock = threading.Lock()

    def take(self) -> float:
        """Wait for a turn. Returns the seconds waited."""
        with self._lock:
            now = self._clock()
            turn = max(self._next, now - self._saved)
            self._next = turn + self._interval
        wait = max(0.0, turn - now)
        if wait > 0:
            self._sleep(wait)
        return wait

    def hold(self, seconds: float) -> None:
        """Give nobody a turn for so long: the service has asked for a pause. Turns already given are kept."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)
