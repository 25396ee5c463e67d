"""One program from request to answer: start it, watch it, stop it with all it started, gather what it left."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .worker_blame import Standing, blame
from .worker_collect import collect
from .worker_kernel import oom_kills
from .worker_program import FAILED, NO_MEMORY, STARTED, Identity, become_program
from .worker_wipe import wipe

TICK = 0.25  # seconds; how long the worker sleeps at most, so that it notices when it was not woken
STALL = 0.25  # seconds late for a tick that count as being stalled
SETUP_SECONDS = 30.0  # from the fork to the program's first instruction
KILL_SECONDS = 10.0
WIPE_SECONDS = 10.0
DRAINED = 16  # output beyond the cap is read and dropped up to this many caps, or
DRAINED_AT_LEAST = 1 << 20  # this many bytes


class ClientGoneError(Exception):
    """The client closed the connection while its program ran."""


@dataclass(frozen=True)
class Setup:
    """What stays the same from program to program."""

    scratch: str
    identity: Identity


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
        """Take what is left of it, when nobody is there to write more."""
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
class Watched:
    """What was seen of a program: how its main process ended, and why the worker stopped it, if it did."""

    verdict: str = ""  # "", "timeout", "output_limit", "setup" or "stalled"
    detail: str = ""
    report: bytes = b""
    started: float = 0.0
    ended: float = 0.0
    status: int = 0
    cpu: float = 0.0
    peak: int = 0


def run(
    request: Mapping[str, Any], blobs: Sequence[bytes], setup: Setup, client: socket.socket
) -> tuple[dict[str, Any], list[bytes]]:
    """Run one program. `request` has limits, outputs and the files' names; blobs are the program and the files.

    The answer has the fields of an `ExecResult` (queueing excepted), or `failure`: what went wrong with the sandbox.
    `spent` says that something could not be cleared away, and that this worker should not be used again.

    Raises:
        ClientGoneError: after everything was stopped and deleted.
    """
    limits, inputs = request["limits"], dict(zip(request["names"], blobs[1:], strict=True))
    folder = tempfile.mkdtemp(prefix="run-", dir=setup.scratch)
    pipes: list[int] = []
    try:
        _lay_out(folder, inputs, setup.identity.uid)
        for _ in range(3):
            pipes += os.pipe2(os.O_CLOEXEC)
        kills = oom_kills()
        pid = os.fork()
        if pid == 0:
            become_program(blobs[0], folder, limits, setup.identity, pipes[1], pipes[3], pipes[5])
        for writing in (5, 3, 1):
            os.close(pipes.pop(writing))
        stdout, stderr = Stream(pipes[0], limits["output_bytes"]), Stream(pipes[1], limits["output_bytes"])
        for fd in pipes:
            os.set_blocking(fd, False)
        try:
            seen, quiet = _watch(pid, stdout, stderr, pipes[2], client, limits)
        except BaseException:
            _end_all(pid, Watched())
            raise
        stdout.drain()
        stderr.drain()
        files, left_out = collect(folder, request["outputs"], inputs, limits["files"], limits["files_bytes"])
    finally:
        for fd in pipes:
            os.close(fd)
        clean = wipe(folder, WIPE_SECONDS)
    answer = _judge(seen, limits, kills)
    answer |= {
        "stdout_dropped": stdout.dropped,
        "stderr_dropped": stderr.dropped,
        "names": list(files),
        "files_left_out": left_out,
        "spent": not (quiet and clean),
    }
    return answer, [bytes(stdout.kept), bytes(stderr.kept), *files.values()]


def _lay_out(folder: str, inputs: Mapping[str, bytes], uid: int | None) -> None:
    for name, content in inputs.items():
        fd = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(fd, "wb") as file:
            file.write(content)
            if uid is not None:
                os.fchown(fd, uid, uid)
    if uid is not None:
        os.chown(folder, uid, uid)


def _watch(
    pid: int, stdout: Stream, stderr: Stream, report: int, client: socket.socket, limits: Mapping[str, Any]
) -> tuple[Watched, bool]:
    """Wait for the program's end, or stop it. Also says whether all its processes are gone."""
    seen, wall = Watched(), float(limits["wall_seconds"])
    standing = Standing(pid)
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    for fd in (pidfd, stdout.fd, stderr.fd, report):
        poll.register(fd, select.POLLIN)
    poll.register(client, select.POLLRDHUP | select.POLLHUP)
    begun, late = time.monotonic(), 0.0
    try:
        while True:
            now = time.monotonic()
            running = seen.report.startswith(STARTED)
            wait = max(0.0, min(TICK, _deadline(begun, wall if running else SETUP_SECONDS, late) - now))
            events = dict(poll.poll(wait * 1000))
            overslept = time.monotonic() - now - wait
            late += overslept if overslept > STALL else 0.0
            if client.fileno() in events:
                raise ClientGoneError
            for stream in (stdout, stderr):
                if stream.fd in events and not stream.read():
                    poll.unregister(stream.fd)
            if report in events:
                news = _read_report(report)
                if not news:
                    poll.unregister(report)
                if not running and news.startswith(STARTED):
                    begun, late = time.monotonic(), 0.0
                seen.report = (seen.report + news)[:1024]
            if pidfd in events:
                break
            if stdout.flooded or stderr.flooded:
                seen.verdict = "output_limit"
                break
            if time.monotonic() >= _deadline(begun, wall if running else SETUP_SECONDS, late):
                seen.verdict = "timeout" if running else "setup"
                if late > wall:
                    seen.verdict, seen.detail = "stalled", f"the worker itself was not woken for {late:.1f} s"
                break
        seen.ended = time.monotonic()
        evidence = standing.take() if seen.verdict == "timeout" else None
    finally:
        os.close(pidfd)
    # Reported before it died, perhaps, and not read yet.
    seen.report += _read_report(report)
    seen.started = struct.unpack_from("=d", seen.report, 1)[0] if _has_started(seen.report) else begun
    quiet = _end_all(pid, seen)
    if evidence is not None and (fault := blame(wall, seen.cpu, evidence)):
        seen.verdict, seen.detail = "stalled", fault
    return seen, quiet


def _deadline(begun: float, seconds: float, late: float) -> float:
    """A worker that was not woken in time gives the time back, up to as much again: it cannot know whether the program
    was stopped with it."""
    return begun + seconds + min(late, seconds)


def _has_started(report: bytes) -> bool:
    return report.startswith(STARTED) and len(report) >= 1 + struct.calcsize("=d")


def _read_report(fd: int) -> bytes:
    try:
        return os.read(fd, 1024)
    except BlockingIOError:
        return b""


def _end_all(pid: int, seen: Watched) -> bool:
    """Kill the program and everything that it started, and reap it. False if something would not die.

    Its group goes first. What left the group has us as its parent as soon as its own parents are gone.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # it may not have become a group yet
    deadline = time.monotonic() + KILL_SECONDS
    pause = 0.0002
    while True:
        try:
            gone, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if gone:
            seen.cpu += usage.ru_utime + usage.ru_stime
            seen.peak = max(seen.peak, usage.ru_maxrss * 1024)
            if gone == pid:
                seen.status = status
            continue
        for child in _children():
            try:
                os.kill(child, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def _children() -> list[int]:
    me = os.getpid()
    try:
        with open(f"/proc/self/task/{me}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:  # a kernel without this list
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and _parent(entry) == me]


def _parent(entry: str) -> int:
    try:
        with open(f"/proc/{entry}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return -1


def _judge(seen: Watched, limits: Mapping[str, Any], kills: int) -> dict[str, Any]:
    """From what was seen to a status and a sentence, or to a failure of the sandbox."""
    if not _has_started(seen.report) or seen.verdict in ("setup", "stalled"):
        why = seen.report[1:].decode("utf-8", "replace") if seen.report.startswith(FAILED) else seen.detail
        return {
            "failure": "stalled" if seen.verdict == "stalled" else "lost",
            "why": why or "the program's process ended before its first instruction",
        }
    exit_code = os.WEXITSTATUS(seen.status) if os.WIFEXITED(seen.status) and not seen.verdict else None
    number = os.WTERMSIG(seen.status) if os.WIFSIGNALED(seen.status) and not seen.verdict else None
    wall, cpu = limits["wall_seconds"], limits["cpu_seconds"]
    if seen.verdict == "timeout":
        status, reason = "timeout", f"The program was stopped: it had not ended after {wall:g} seconds."
    elif seen.verdict == "output_limit":
        status, reason = (
            "output_limit",
            f"The program was stopped: it printed far more than {limits['output_bytes']} bytes.",
        )
    elif number == signal.SIGXCPU or (number == signal.SIGKILL and seen.cpu >= cpu):
        status, reason = "timeout", f"The program was stopped: it used {cpu} seconds of processor time."
    elif number == signal.SIGXFSZ:
        status, reason = "output_limit", f"The program wrote a file of more than {limits['file_bytes']} bytes."
    elif NO_MEMORY in seen.report[1 + struct.calcsize("=d") :] or (
        number == signal.SIGKILL and -1 < kills < oom_kills()
    ):
        status, reason = "oom", f"The program ran out of memory: it may use {limits['memory_bytes'] >> 20} MiB."
    elif number is not None:
        status, reason = "signal", f"The program was ended by {_signal_name(number)}."
    elif exit_code:
        status, reason = "error", f"The program ended with exit code {exit_code}."
    else:
        status, reason = "ok", ""
    return {
        "status": status,
        "reason": reason,
        "exit_code": exit_code,
        "signal": number,
        "wall_ms": round(1000 * max(seen.ended - seen.started, 0.0), 3),
        "cpu_ms": round(1000 * seen.cpu, 3),
        "peak_memory": seen.peak,
    }


def _signal_name(number: int) -> str:
    try:
        return f"the signal {signal.Signals(number).name}"
    except ValueError:
        return f"signal {number}"
