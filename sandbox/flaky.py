"""A sandbox that fails on purpose: for rehearsing what a run does when its infrastructure fails.

    FlakySandbox(LocalSandbox(), share(0.2))                      one call in five
    FlakySandbox(LocalSandbox(), lambda call: 40 <= call < 90)    an outage of fifty calls

No name opens it. A service in front of it (`service.background.serving`) makes it `sandbox: http://..` for a recipe.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence

from .closing import Closing
from .contract import ExecResult, Limits, Sandbox, Session
from .errors import Lost

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


class FlakySandbox(Closing):
    """A `Sandbox` in front of another one. Calls for which `fails` holds raise Lost, and their programs do not run."""

    def __init__(self, sandbox: Sandbox, fails: Fails) -> None:
        self._sandbox, self.faults = sandbox, Faults(fails)

    def exec(
        self, code: str, files: Mapping[str, bytes], limits: Limits, *, outputs: Sequence[str] = ("*",)
    ) -> ExecResult:
        """The other sandbox's result, or Lost."""
        if why := self.faults.next():
            raise Lost(why)
        return self._sandbox.exec(code, files, limits, outputs=outputs)

    def lease(self, state: str = "files") -> Session:
        """The other sandbox's lease; its programs are calls like any other. Beginning it never fails."""
        return _FlakySession(self._sandbox.lease(state), self.faults)

    def isolation(self) -> Mapping[str, str]:
        """That of the other sandbox, and that there are faults."""
        return {**self._sandbox.isolation(), "faults": "NOT RELIABLE: calls fail on purpose"}

    def close(self) -> None:
        """Close the other sandbox."""
        self._sandbox.close()


class _FlakySession(Closing):
    def __init__(self, session: Session, faults: Faults) -> None:
        self._session, self._faults = session, faults

    def exec(
        self, code: str, files: Mapping[str, bytes], limits: Limits, *, outputs: Sequence[str] = ("*",)
    ) -> ExecResult:
        if why := self._faults.next():
            self._session.close()  # after Lost a lease is over
            raise Lost(why)
        return self._session.exec(code, files, limits, outputs=outputs)

    def close(self) -> None:
        self._session.close()
