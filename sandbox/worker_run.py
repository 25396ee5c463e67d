"""One program from its first instruction to a verdict: watch it, stop it with all it started, judge how it ended."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from . import frames
from .worker_blame import Seen, Standing, blame
from .worker_janitor import Janitor
from .worker_nursery import Nursery
from .worker_program import DONE, DONE_FORM, NO_MEMORY, STARTED, STARTED_FORM

TICK = 0.25  # seconds; how long the worker sleeps at most, so that it notices when it was not woken
STALL = 0.25  # seconds late for a tick that count as being stalled
ALIVE_SECONDS = 2.0  # how often a client is told that its program still runs
SETUP_SECONDS = 30.0  # from the fork to the program's first instruction
KILL_SECONDS = 10.0
WIPE_SECONDS = 10.0
DRAINED = 16  # output beyond the cap is read and dropped up to this many caps, or
DRAINED_AT_LEAST = 1 << 20  # this many bytes


class ClientGoneError(Exception):
    """The client closed the connection while its program ran."""


class Ground(Protocol):
    """What a lease stands on: `worker_place.OwnPlace` or `worker_janitor.Janitor`."""

    folder: str

    def lay_out(self, inputs: Mapping[str, bytes]) -> None: ...
    def collect(
        self, patterns: Sequence[str], files: int, total: int
    ) -> tuple[dict[str, bytes], list[tuple[str, str]]]: ...
    def kill(self, pid: int) -> None: ...
    def clear(self, seconds: float) -> bool: ...


@dataclass(frozen=True)
class Setup:
    """What stays the same from lease to lease. user: the programs', None for the worker's own. janitor: None where the
    worker itself may kill, collect and wipe."""

    scratch: str
    user: int | None
    nursery: Nursery
    janitor: Janitor | None = None


@dataclass
class Stream:
    """What came out of one pipe: the first `cap` bytes, and how many more."""

    fd: int
    cap: int
    kept: bytearray = field(default_factory=bytearray)
    dropped: int = 0

    def read(self) -> bool:
        """Take what is there. False at its end."""
        try:
            data = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return True
        room = self.cap - len(self.kept)
        self.kept += data[:room]
        self.dropped += max(len(data) - room, 0)
        return bool(data)

    def drain(self) -> None:
        """Take what is left of it, when the program has ended."""
        for _ in range(1 << 12):  # a pipe that a surviving process still fills must not keep us
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                return
            room = self.cap - len(self.kept)
            self.kept += data[:room]
            self.dropped += max(len(data) - room, 0)

    @property
    def flooded(self) -> bool:
        """Whether so much was dropped that the program must be stopped."""
        return self.dropped > max(DRAINED * self.cap, DRAINED_AT_LEAST)


@dataclass
class Process:
    """A program's process and our ends of its pipes.

    lasting: it runs one program after the other, and reports the end of each. pending: what is still to be written to
    orders. used: whether a program ran in it before.
    """

    pid: int
    pidfd: int
    stdout: int
    stderr: int
    report: int
    orders: int
    lasting: bool
    pending: bytes = b""
    used: bool = False

    def write(self) -> None:
        """Hand over as much of what is pending as is taken. One that does not read or died is found out elsewhere."""
        try:
            if self.pending:
                self.pending = self.pending[os.write(self.orders, self.pending[: 1 << 16]) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self.pending = b""

    def close(self) -> None:
        """Close our ends."""
        for fd in (self.pidfd, self.stdout, self.stderr, self.report, self.orders):
            os.close(fd)


@dataclass
class Watched:
    """What was seen of a program: how its process ended, or why the worker stopped it, if it did."""

    verdict: str = ""  # "", "done", "timeout", "cpu", "output_limit", "setup" or "stalled"
    detail: str = ""
    report: bytes = b""
    started: float = 0.0
    ended: float = 0.0
    status: int = 0
    exit_code: int = 0  # as it was reported, with the verdict "done"
    cpu: float = 0.0
    peak: int = 0
    evidence: Seen | None = None  # taken at a time-out


def processor_seconds(pid: int) -> float:
    """Processor time of a living process and its threads; 0 if it is gone."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid makes it
    except OSError:
        return 0.0


def watch(
    process: Process, parent: int, stdout: Stream, stderr: Stream, client: socket.socket, limits: Mapping[str, Any]
) -> Watched:
    """Wait until the program ends, or reports its end, or must be stopped. Stops nothing. parent: who forked it.

    Raises:
        ClientGoneError: the client closed the connection.
    """
    seen, wall = Watched(), float(limits["wall_seconds"])
    standing = Standing(process.pid, parent)
    poll = select.poll()
    for fd in (process.pidfd, stdout.fd, stderr.fd, process.report):
        poll.register(fd, select.POLLIN)
    poll.register(client, select.POLLRDHUP | select.POLLHUP)
    used = processor_seconds(process.pid) if process.lasting else 0.0
    process.write()
    if process.pending:
        poll.register(process.orders, select.POLLOUT)
    begun, late = time.monotonic(), 0.0
    told = begun
    first_look = 0.0
    if process.used:  # whatever holds it up now is an earlier program's doing
        seen.report = STARTED_FORM.pack(STARTED, begun)
        first_look = min(TICK, wall / 8)  # most programs are done by then, and looking costs more than they do
    while True:
        now = time.monotonic()
        running = has_started(seen.report)
        wait = max(0.0, min(first_look or TICK, _deadline(begun, wall if running else SETUP_SECONDS, late) - now))
        events = dict(poll.poll(wait * 1000))
        overslept = time.monotonic() - now - wait
        late += overslept if overslept > STALL else 0.0
        if client.fileno() in events:
            raise ClientGoneError
        for stream in (stdout, stderr):
            if stream.fd in events and not stream.read():
                poll.unregister(stream.fd)
        if process.report in events:
            news = read_report(process.report)
            if not news:
                poll.unregister(process.report)
            seen.report = (seen.report + news)[:1024]
            if not running and has_started(seen.report):
                begun, late = time.monotonic(), 0.0
        if process.orders in events:
            process.write()
            if not process.pending:
                poll.unregister(process.orders)
        if process.lasting and _done(seen.report) is not None:
            seen.verdict = "done"
            break
        if process.pidfd in events:
            break
        if stdout.flooded or stderr.flooded:
            seen.verdict = "output_limit"
            break
        now = time.monotonic()
        if now >= _deadline(begun, wall if running else SETUP_SECONDS, late):
            seen.verdict = "timeout" if running else "setup"
            if late > wall:
                seen.verdict, seen.detail = "stalled", f"the worker itself was not woken for {late:.1f} s"
            break
        if process.lasting and processor_seconds(process.pid) - used > limits["cpu_seconds"] + 1:
            seen.verdict = "cpu"  # it moved its own limit
            break
        if first_look:
            standing.begin()
            first_look = 0.0
        if now - told > ALIVE_SECONDS:
            told = now
            frames.nudge(client)
    seen.ended = time.monotonic()
    seen.report += read_report(process.report)  # reported before it died, perhaps, and not read yet
    seen.started = STARTED_FORM.unpack_from(seen.report)[1] if has_started(seen.report) else begun
    if process.lasting:
        seen.cpu = max(processor_seconds(process.pid) - used, 0.0)
    if seen.verdict == "done":
        seen.exit_code, seen.peak = _done(seen.report) or (0, 0)
    if seen.verdict == "timeout":
        seen.evidence = standing.take()
    return seen


def _deadline(begun: float, seconds: float, late: float) -> float:
    """A worker that was not woken in time gives the time back, up to as much again: it cannot know whether the program
    was stopped with it."""
    return begun + seconds + min(late, seconds)


def has_started(report: bytes) -> bool:
    """Whether the program's first instruction was reached."""
    return report.startswith(STARTED) and len(report) >= STARTED_FORM.size


def _done(report: bytes) -> tuple[int, int] | None:
    """The exit code and the largest resident size in bytes, if the program's end was reported."""
    end = report[STARTED_FORM.size :].lstrip(NO_MEMORY)
    if not has_started(report) or len(end) < DONE_FORM.size or not end.startswith(DONE):
        return None
    _, exit_code, peak = DONE_FORM.unpack_from(end)
    return exit_code & 0xFF, max(peak, 0)


def read_report(fd: int) -> bytes:
    """What is there of it."""
    try:
        return os.read(fd, 1024)
    except BlockingIOError:
        return b""


def end_all(ground: Ground, nursery: Nursery, process: Process, seen: Watched, wall: float) -> bool:
    """Kill a program and everything that it started, and have it buried. False if something would not die.

    With all processor time known, a time-out gets its verdict: the program's fault or the machine's.
    """
    deadline = time.monotonic() + KILL_SECONDS
    while True:
        ground.kill(process.pid)
        found = nursery.reap(process.pid, 0.1)
        seen.peak = max(seen.peak, found.peak)
        # Of a process that ran several programs, this one's part is known already.
        seen.cpu += found.other_cpu + (0.0 if process.lasting else found.own_cpu)
        if found.status is not None:
            seen.status = found.status
        if found.nobody_left:
            break
        if time.monotonic() > deadline:
            return False
    if seen.evidence is not None and (fault := blame(wall, seen.cpu, seen.evidence)):
        seen.verdict, seen.detail = "stalled", fault
    return True
