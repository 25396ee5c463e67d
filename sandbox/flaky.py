"""A sandbox that fails on purpose: for rehearsing what a run does when its infrastructure fails.

    FlakySandbox(LocalSandbox(), share(0.2))                      one call in five
    FlakySandbox(LocalSandbox(), lambda call: 40 <= call < 90)    an outage of fifty calls

No name opens it. A service in front of it (`service.background.serving`) makes it `sandbox: http://..` for a recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .closing import Closing
from .contract import ExecResult, Limits, Sandbox, Session
from .errors import Lost
from .faults import Fails, Faults


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
