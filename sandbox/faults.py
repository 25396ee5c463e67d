"""Which calls fail on purpose, for `flaky` and `search.flaky`. The search image has it: it imports nothing of ours."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

Fails = Callable[[int], bool]  # whether the call with this number, counted from 0, fails


def share(part: float, seed: int = 0) -> Fails:
    """Each call fails with this probability, 0 to 1, by itself: which ones do depends on the seed and their number."""
    if not 0.0 <= part <= 1.0:
        raise ValueError(f"part must be a share from 0 to 1; got {part!r}")
    return lambda call: random.Random(f"{seed}/{call}").random() < part


class Faults:
    """Counts calls, of any thread, and says which fail. `calls` and `failed` are how many there were so far."""

    def __init__(self, fails: Fails) -> None:
        self._fails, self._lock = fails, threading.Lock()
        self.calls, self.failed = 0, 0

    def next(self) -> str:
        """The next call: what went wrong, or nothing."""
        with self._lock:
            number, self.calls = self.calls, self.calls + 1
            if not self._fails(number):
                return ""
            self.failed += 1
        return f"call {number} fails on purpose"
