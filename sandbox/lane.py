"""Our end of a connection to a worker: leases and programs go out, results come back.

Whatever the other side is made of, what it says is not trusted: an answer that is none means that the lane is lost.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from . import frames
from .contract import STATUSES, ExecResult, Limits
from .errors import Lost, Stalled
from .worker_run import KILL_SECONDS, SETUP_SECONDS, WIPE_SECONDS

# The worker keeps to the program's time itself. This is for one that does not answer at all.
PATIENCE = SETUP_SECONDS + KILL_SECONDS + WIPE_SECONDS + 20.0
SILENCE = 60.0  # a worker says every two seconds that it lives, but not while it kills and wipes
LEASE_SECONDS = 30.0


class BusyError(Exception):
    """Somebody else has the lease of this lane."""


class Unanswered(Lost):
    """The lane was lost before the first byte of a result: another may be tried."""


class Lane:
    """A connected socket to a worker. One caller at a time.

    exclusive: nobody else connects to this worker, so that a lease is never refused.
    silence: seconds without a word from the worker, while a program runs, after which it is taken for dead.

    Raises:
        Lost: the worker did not say hello, or speaks another protocol.
    """

    def __init__(
        self, connection: socket.socket, *, exclusive: bool, silence: float = SILENCE, hello_seconds: float = 60.0
    ) -> None:
        self._socket, self._exclusive, self._silence = connection, exclusive, silence
        self.uses = 0
        self.fit = True  # whether it may be used again
        self._leased = False
        self._awaits_lease = False
        try:
            self.hello, _ = frames.receive(connection, time.monotonic() + hello_seconds)
        except (frames.ClosedError, frames.BrokenFrameError, OSError) as error:
            connection.close()
            raise Lost(f"a worker did not say hello: {error}") from None
        if self.hello.get("hello") != frames.PROTOCOL:
            connection.close()
            raise Lost(
                f"a worker speaks protocol {self.hello.get('hello')!r:.50}, and this package {frames.PROTOCOL}: build "
                "its image anew (python -m sandbox build-image)"
            )

    @property
    def alive(self) -> bool:
        """Whether an idle lane may be used: a worker that says something unasked has ended, or is about to."""
        if not self.fit:
            return False
        try:
            return not select.select([self._socket], [], [], 0)[0]
        except (OSError, ValueError):
            return False

    def lease(self, state: str) -> None:
        """Begin a lease: "files" or "variables".

        Raises:
            BusyError: another client has this lane.
            Unanswered: it is lost.
        """
        try:
            self._socket.settimeout(LEASE_SECONDS)
            frames.send(self._socket, {"do": "lease", "state": state})
            self._awaits_lease = True
            if not self._exclusive:
                self._await_lease()
        except OSError as error:
            self.close()
            raise Unanswered(f"a lane was lost before its lease: {error}") from None
        self._leased = True
        self.uses += 1

    def run(
        self, program: bytes, files: Mapping[str, bytes], limits: Limits, outputs: Sequence[str], *, last: bool
    ) -> ExecResult:
        """Run one program of the lease; `last` ends it as well, in one go.

        Raises:
            Unanswered: the worker was lost before it answered.
            Lost: it was lost while it answered, or could not start the program.
            Stalled: it showed that the program was ready to run and was not run.
        """
        header = {"do": "run", "limits": vars(limits), "outputs": list(outputs), "names": list(files), "last": last}
        answer, blobs = self._ask(header, [program, *files.values()], 2 * limits.wall_seconds + PATIENCE)
        self._leased = not last
        if answer.get("spent"):
            self.fit = False
        if answer.get("session") == "oom":  # the worker's own process went with the program
            self.fit = False
            return _out_of_memory(answer, limits)
        if "session" in answer:
            self.close()
            raise Unanswered(f"the worker lost the process that watched the program: {answer.get('why')!s:.300}")
        if "failure" in answer:
            why = f"the program could not be run: {answer.get('why')!s:.300}"
            if answer["failure"] == "stalled":
                raise Stalled(why)
            self.fit = False
            raise Unanswered(why)
        try:
            return _result(answer, blobs)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            self.close()
            raise Lost(f"a worker gave an answer that is none: {type(error).__name__}: {error}") from None

    def end(self) -> None:
        """End the lease: everything that its programs left is stopped and deleted. The lane may be unfit afterwards."""
        if not self._leased:
            return
        try:
            answer, _ = self._ask({"do": "end"}, [], PATIENCE)
            self.fit = self.fit and answer.get("ended") == 1 and answer.get("spent") is False
        except Lost:
            self.fit = False
        self._leased = False

    def close(self) -> None:
        """Close the connection, upon which the worker stops whatever runs."""
        self.fit = False
        self._socket.close()

    def let_go(self) -> None:
        """In a forked child: close the copy of our end."""
        self._socket.close()

    def _await_lease(self) -> None:
        self._awaits_lease = False
        try:
            answer, _ = frames.receive(self._socket, time.monotonic() + LEASE_SECONDS)
        except (frames.ClosedError, frames.BrokenFrameError) as error:
            raise OSError(0, str(error)) from None
        if "busy" in answer:
            raise BusyError
        if "leased" not in answer:
            raise OSError(0, f"the worker answered {answer!r:.100}")

    def _ask(
        self, header: dict[str, Any], blobs: Sequence[bytes], seconds: float
    ) -> tuple[dict[str, Any], list[bytes]]:
        deadline = time.monotonic() + seconds
        try:
            self._socket.settimeout(min(PATIENCE, self._silence))
            with contextlib.suppress(ConnectionError):  # its last words may be there all the same
                frames.send(self._socket, header, blobs)
            if self._awaits_lease:
                self._await_lease()
            while True:
                answer, contents = frames.receive(self._socket, min(deadline, time.monotonic() + self._silence))
                if "alive" not in answer:
                    return answer, contents
        except TimeoutError:
            self.close()
            raise Unanswered(f"a worker was silent for {min(seconds, self._silence):.0f} s and was given up") from None
        except frames.BrokenFrameError as error:
            self.close()
            raise Lost(f"a worker died while it answered: {error}") from None
        except (frames.ClosedError, OSError) as error:
            self.close()
            raise Unanswered(f"a worker died while a program ran: {error}") from None


def _result(answer: Mapping[str, Any], blobs: list[bytes]) -> ExecResult:
    if answer["status"] not in STATUSES:
        raise ValueError(f"status {answer['status']!r:.100}")
    stdout, stderr, *contents = blobs
    return ExecResult(
        status=answer["status"],
        reason=str(answer["reason"]),
        exit_code=None if answer["exit_code"] is None else int(answer["exit_code"]),
        signal=None if answer["signal"] is None else int(answer["signal"]),
        stdout=stdout.decode("utf-8", "replace"),
        stderr=stderr.decode("utf-8", "replace"),
        stdout_dropped=int(answer["stdout_dropped"]),
        stderr_dropped=int(answer["stderr_dropped"]),
        files={str(name): content for name, content in zip(answer["names"], contents, strict=True)},
        files_left_out=tuple((str(name), str(why)) for name, why in answer["files_left_out"]),
        wall_ms=float(answer["wall_ms"]),
        cpu_ms=float(answer["cpu_ms"]),
        peak_memory=int(answer["peak_memory"]),
        variables_lost=bool(answer["variables_lost"]),
    )


def _out_of_memory(answer: Mapping[str, Any], limits: Limits) -> ExecResult:
    return ExecResult(
        status="oom",
        reason=f"The program was stopped: {answer.get('why')!s:.200}; it may use {limits.memory_bytes >> 20} MiB.",
        signal=9,
    )
