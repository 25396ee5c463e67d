"""One worker process of this machine: starting it, asking it, and what it can be said to isolate."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from . import frames
from .contract import STATUSES, ExecResult, Limits
from .errors import Lost, Stalled
from .worker_run import KILL_SECONDS, SETUP_SECONDS, WIPE_SECONDS

START_SECONDS = 60.0
# The worker keeps to the program's time itself. This is for one that does not answer at all.
PATIENCE = SETUP_SECONDS + KILL_SECONDS + WIPE_SECONDS + 20.0


class LocalWorker:
    """A worker process with our end of its socket. One caller at a time.

    scratch: an existing folder, handed over: the worker deletes it when it ends.
    cut: cut the network and IPC off, as far as possible. wrap: start it in bubblewrap.

    Raises:
        Lost: it did not start; the message has the end of what it printed.
    """

    def __init__(self, scratch: str, *, cut: bool, wrap: bool) -> None:
        self._scratch = scratch
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-s", "-P", "-m", "sandbox.worker", "--fd", str(theirs.fileno())]
        command += ["--scratch", scratch, "--uid", "auto"]
        if not wrap:
            command += ["--enclose"] + (["--unshare"] if cut else [])
        with tempfile.TemporaryFile() as log:
            try:
                self._process = subprocess.Popen(
                    (_bubblewrap(scratch, cut) if wrap else []) + command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=_environment(),
                    pass_fds=(theirs.fileno(),),
                    cwd=scratch,
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                shutil.rmtree(scratch, ignore_errors=True)
                raise Lost(f"a worker could not be started: {error}") from None
            finally:
                theirs.close()
            self._socket = ours
            try:
                self.hello, _ = frames.receive(ours, time.monotonic() + START_SECONDS)
            except (frames.ClosedError, frames.BrokenFrameError, OSError) as error:
                self.stop()
                shutil.rmtree(scratch, ignore_errors=True)
                log.seek(0)
                said = log.read().decode("utf-8", "replace").strip()[-600:]
                raise Lost(f"a worker did not start: {said or error}") from None
        if wrap:
            parts = ["files", "host name", "ipc", "processes"] + (["network"] if cut else [])
            self.hello["isolation"]["cut"] = parts

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    def run(
        self, program: bytes, files: Mapping[str, bytes], limits: Limits, outputs: tuple[str, ...], queued: float
    ) -> tuple[ExecResult, bool]:
        """Run one program. Also says whether this worker may be used again.

        Raises:
            Lost: it died, did not answer, or could not start the program.
            Stalled: it showed that the program was ready to run and was not run.
        """
        request = {"limits": vars(limits), "outputs": list(outputs), "names": list(files)}
        # It may give stalled time back, up to the limit once more.
        patience = 2 * limits.wall_seconds + PATIENCE
        try:
            self._socket.settimeout(PATIENCE)
            frames.send(self._socket, request, [program, *files.values()])
            answer, blobs = frames.receive(self._socket, time.monotonic() + patience)
        except TimeoutError:
            self.stop(at_once=True)
            raise Lost(f"a worker did not answer within {patience:.0f} s and was killed") from None
        except (frames.ClosedError, frames.BrokenFrameError, OSError) as error:
            self.stop(at_once=True)
            raise Lost(f"a worker died while a program ran: {error}") from None
        if "failure" in answer:
            kind = Stalled if answer["failure"] == "stalled" else Lost
            raise kind(f"the program could not be run: {answer.get('why')!s:.300}")
        try:
            return _result(answer, blobs, queued), not answer["spent"]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            self.stop(at_once=True)
            raise Lost(f"a worker gave an answer that is none: {type(error).__name__}: {error}") from None

    def stop(self, at_once: bool = False) -> None:
        """Close our end, upon which it clears up and ends itself; kill it if it may not or does not."""
        self._socket.close()
        if at_once:
            self._kill()
        try:
            self._process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()
        if self._process.returncode:  # it did not clear up itself
            shutil.rmtree(self._scratch, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.rmdir(self._scratch)  # in bubblewrap it cannot remove what is mounted

    def let_go(self) -> None:
        """In a forked child: close the copy of our end and forget the process."""
        self._socket.close()
        self._process.returncode = 0

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _result(answer: Mapping[str, Any], blobs: list[bytes], queued: float) -> ExecResult:
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
        queue_ms=round(1000 * queued, 3),
        peak_memory=int(answer["peak_memory"]),
    )


def _environment() -> dict[str, str]:
    """What the worker starts with: nothing of ours but where the packages are."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    packages = [p for p in sys.path if p.rstrip("/").endswith("-packages")]
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join([here, *packages]),
        "PYTHONHASHSEED": "0",  # the order of a program's sets must not change from worker to worker
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",  # threads do not survive a fork
        "OMP_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    }


def _bubblewrap(scratch: str, cut: bool) -> list[str]:
    own = ["--unshare-ipc", "--unshare-pid", "--unshare-uts"] + (["--unshare-net"] if cut else [])
    mounts = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--bind", scratch, scratch]
    # As the first process of its namespace nothing inside can signal the worker.
    # Without --die-with-parent: the kernel means the thread that started it, which may well end before the trainer.
    return ["bwrap", "--as-pid-1", *own, *mounts, "--chdir", scratch, "--"]


@functools.cache
def bubblewrap_works() -> bool:
    """Whether bubblewrap is installed and this kernel lets it do what is asked of it."""
    if shutil.which("bwrap") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [*_bubblewrap(folder, True), "true"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=20,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0


def describe(hello: Mapping[str, Any], network: str, wrapped: bool) -> dict[str, str]:
    """From what the worker reports to words. What begins with "NOT" does not hold."""
    facts = hello["isolation"]
    cut, uid = facts["cut"], facts["uid"]
    if network == "host":
        net = "NOT cut: asked for by name"
    elif "network" in cut:
        net = "cut: a network namespace with nothing in it"
    else:
        net = "NOT cut: this kernel or container gives this user no network namespace; programs reach what you reach"
    return {
        "backend": "local" + (" in bubblewrap" if wrapped else ""),
        "hostile code": "NOT held: the kernel's whole interface is open, no system call is filtered",
        "network": net,
        "user": f"uid {uid}, nobody else's" if uid is not None else "NOT another: programs run as you",
        "other processes": "hidden and out of reach"
        if "processes" in cut
        else "NOT hidden" + ("" if uid is not None else ": programs may signal yours, and so end their own sandbox"),
        "files": ("read-only" if "files" in cut else "NOT read-only") + " outside the program's folder, and readable "
        "wherever its user may read",
        "processes": {
            "program": "counted for the program alone",
            "user": "counted with yours: the limit comes on top of what you had when the program started",
            "none": "NOT limited: this user is root",
        }[facts["processes"]],
        "ipc": "cut from this machine, shared from program to program of a lane"
        if "ipc" in cut
        else "NOT cut: shared memory and message queues are those of this machine",
        "disk": "NOT limited in all: each file is, the number of files is not",
        "environment": "empty but for PATH and HOME",
        "python": " ".join(f"{name} {version}" for name, version in hello["modules"].items()),
    }
