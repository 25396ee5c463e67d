"""A sandbox that runs nothing and answers by a function: for tests of what stands before a sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .closing import Closing
from .contract import STATES, ExecResult, Limits, check_request
from .errors import Lost, RequestError

Answer = Callable[[str, Mapping[str, bytes], Limits], ExecResult]


class ScriptedSandbox(Closing):
    """A `Sandbox` that calls `answer(code, files, limits)`; what that raises is raised. It isolates nothing, as it runs
    nothing. `leases` and `ended` count."""

    def __init__(self, answer: Answer, isolation: Mapping[str, str] | None = None) -> None:
        self._answer = answer
        self._isolation = {"backend": "scripted"} if isolation is None else dict(isolation)
        self.closed, self.leases, self.ended = False, 0, 0

    def exec(
        self, code: str, files: Mapping[str, bytes], limits: Limits, *, outputs: Sequence[str] = ("*",)
    ) -> ExecResult:
        """The scripted answer to a request that any sandbox would take."""
        check_request(code, files, outputs)
        if self.closed:
            raise Lost("this sandbox is closed; open another")
        return self._answer(code, files, limits)

    def lease(self, state: str = "files") -> ScriptedSession:
        """A lease, in which answers are the same."""
        if state not in STATES:
            raise RequestError(f"state must be one of {', '.join(STATES)}; got {state!r:.100}")
        self.leases += 1
        return ScriptedSession(self)

    def isolation(self) -> Mapping[str, str]:
        """As it was scripted."""
        return dict(self._isolation)

    def stats(self) -> dict[str, int]:
        """leases (begun), ended."""
        return {"leases": self.leases, "ended": self.ended}

    def close(self) -> None:
        """From now on every call raises Lost."""
        self.closed = True


class ScriptedSession(Closing):
    """A lease of a `ScriptedSandbox`."""

    def __init__(self, sandbox: ScriptedSandbox) -> None:
        self._sandbox, self._over = sandbox, False

    def exec(
        self, code: str, files: Mapping[str, bytes], limits: Limits, *, outputs: Sequence[str] = ("*",)
    ) -> ExecResult:
        """The scripted answer."""
        if self._over:
            raise Lost("this lease is over")
        return self._sandbox.exec(code, files, limits, outputs=outputs)

    def close(self) -> None:
        """End the lease."""
        self._sandbox.ended += not self._over
        self._over = True
