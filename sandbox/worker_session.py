"""The process that serves leases, one after the other: each from its client's first program to its last.

It has a program started, watched, stopped and judged, and sees to it that nothing is left; it runs none itself.

    {"do": "run", "limits", "outputs", "names", "last"} + program, files ->  an answer + stdout, stderr, files
    {"do": "end"}                                                        ->  {"ended": 1, "spent"}

While a program runs, {"alive": 1} says so every two seconds.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from . import frames
from .worker_janitor import JanitorLostError
from .worker_kernel import oom_kills
from .worker_nursery import ZygoteLostError
from .worker_place import OwnPlace
from .worker_run import (
    WIPE_SECONDS,
    ClientGoneError,
    Ground,
    Process,
    Setup,
    Stream,
    Watched,
    end_all,
    read_report,
    watch,
)
from .worker_verdict import judge


def serve_lease(client: socket.socket, variables: bool, setup: Setup) -> bool:
    """Serve one lease. False if something could not be cleared away: this worker must not be used again."""
    kills = oom_kills(True)
    lease = Lease(setup, variables)
    clean = False
    try:
        while True:
            request, blobs = frames.receive(client)
            ends = request["do"] == "end" or bool(request.get("last"))
            answer: dict[str, Any] = {"ended": 1}
            contents: Sequence[bytes] = ()
            if request["do"] == "run":
                answer, contents = lease.run(request, blobs, client)
            clean = lease.close() if ends else lease.quiet
            answer["spent"] = not clean
            frames.send(client, answer, contents)
            if ends or not clean:
                break
    except (frames.ClosedError, frames.BrokenFrameError, ClientGoneError):
        pass
    except (JanitorLostError, ZygoteLostError, OSError) as error:
        print(f"a lease failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        lease.quiet = False
        with contextlib.suppress(OSError):
            frames.send(client, last_words(kills, str(error)))
    finally:
        clean = lease.close()
    return clean


def last_words(kills: int, why: str) -> dict[str, Any]:
    """What a client is told when a part of the worker died; kills: how many the kernel had killed before, in want of
    memory. Nothing in a container takes memory but the program: whom the kernel chooses then is a matter of chance."""
    if -1 < kills < oom_kills(True):
        return {"session": "oom", "why": "the program took all the memory of its container"}
    return {"session": "died", "why": why}


class Lease:
    """The state of a lease: its ground, and with `variables` the process that keeps them."""

    def __init__(self, setup: Setup, variables: bool) -> None:
        self._setup, self._variables = setup, variables
        self._contained = setup.janitor is not None
        self._ground: Ground
        if setup.janitor is not None:
            setup.janitor.begin()
            self._ground = setup.janitor
        else:
            self._ground = OwnPlace(setup.scratch, setup.user)
        self._interpreter: Process | None = None
        self._programs = 0
        self._kills = oom_kills(self._contained)
        self._closed: bool | None = None
        self.quiet = True  # whether everything that was to die has died

    def run(
        self, request: Mapping[str, Any], blobs: Sequence[bytes], client: socket.socket
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Run one program. The answer has the fields of an `ExecResult` (queueing excepted), or `failure`: what went
        wrong with the sandbox.

        Raises:
            ClientGoneError: after everything was stopped.
            JanitorLostError, ZygoteLostError: nothing is known of anything any more.
        """
        limits, inputs = request["limits"], dict(zip(request["names"], blobs[1:], strict=True))
        self._programs += 1
        lost = self._variables and not self._still_there() and self._programs > 1
        try:
            if inputs or self._interpreter is None:
                self._ground.lay_out(inputs)
        except OSError as error:
            return self._no_room(error)
        if not self._contained:  # others' count as well
            self._kills = oom_kills(False)
        process = self._interpreter or self._start(limits)
        read_report(process.report)  # forged since the last program's end
        process.pending = struct.pack("=II", len(blobs[0]), limits["cpu_seconds"]) + blobs[0]
        stdout, stderr = (Stream(fd, limits["output_bytes"]) for fd in (process.stdout, process.stderr))
        seen = Watched()
        try:
            seen = watch(process, self._setup.nursery.pid, stdout, stderr, client, limits)
            if seen.verdict == "done":
                process.used = True
            else:
                self._interpreter = None
                self._end(process, seen, limits["wall_seconds"])
        except BaseException:
            self._interpreter = None
            self._end(process, Watched(), 0.0)
            process.close()
            raise
        stdout.drain()
        stderr.drain()
        if process is not self._interpreter:
            process.close()
        files: dict[str, bytes] = {}
        left_out: list[tuple[str, str]] = []
        if request["outputs"]:
            files, left_out = self._ground.collect(request["outputs"], limits["files"], limits["files_bytes"])
        answer = judge(seen, limits, self._kills, self._contained)
        answer |= {
            "stdout_dropped": stdout.dropped,
            "stderr_dropped": stderr.dropped,
            "names": list(files),
            "files_left_out": left_out,
            "variables_lost": lost,
        }
        return answer, [bytes(stdout.kept), bytes(stderr.kept), *files.values()]

    def close(self) -> bool:
        """Stop and delete everything. False if that was not possible. Twice is allowed."""
        if self._closed is None:
            try:
                if self._interpreter is not None:
                    self._end(self._interpreter, Watched(), 0.0)
                    self._interpreter.close()
                self._closed = self._ground.clear(WIPE_SECONDS) and self.quiet
            except (JanitorLostError, ZygoteLostError, OSError):
                self._closed = False
        return self._closed

    def _no_room(self, error: OSError) -> tuple[dict[str, Any], list[bytes]]:
        """The inputs could not be laid out: the sandbox's failure, or what earlier programs of the lease came to."""
        if self._programs == 1:
            return {"failure": "lost", "why": f"the files could not be laid into the program's folder: {error}"}, []
        reason = f"The program was not started: earlier programs left no room for its files ({error.strerror})."
        return {
            "status": "error",
            "reason": reason,
            "exit_code": 1,
            "signal": None,
            "wall_ms": 0.0,
            "cpu_ms": 0.0,
            "peak_memory": 0,
            "stdout_dropped": 0,
            "stderr_dropped": 0,
            "names": [],
            "files_left_out": [],
            "variables_lost": self._variables and self._interpreter is None,
        }, [b"", b""]

    def _end(self, process: Process, seen: Watched, wall: float) -> None:
        self.quiet = end_all(self._ground, self._setup.nursery, process, seen, wall) and self.quiet

    def _still_there(self) -> bool:
        """Whether the process with the variables lives; if it does not, what it left behind is ended."""
        process = self._interpreter
        if process is None:
            return False
        if not select.select([process.pidfd], [], [], 0)[0]:
            return True
        self._interpreter = None
        self._end(process, Watched(), 0.0)
        process.close()
        return False

    def _start(self, limits: Mapping[str, Any]) -> Process:
        """A process for the program, or for all that share variables."""
        reading, writing = zip(*(os.pipe2(os.O_CLOEXEC) for _ in range(4)), strict=True)
        ours, theirs = [*reading[:3], writing[3]], [*writing[:3], reading[3]]
        try:
            pid = self._setup.nursery.bear(self._ground.folder, limits, self._variables, theirs)
        finally:
            for fd in theirs:
                os.close(fd)
        for fd in ours:
            os.set_blocking(fd, False)
        process = Process(pid, os.pidfd_open(pid), ours[0], ours[1], ours[2], ours[3], self._variables)
        self._interpreter = process if self._variables else None
        return process
