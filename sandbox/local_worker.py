"""One worker process of this machine: starting it, ending it, and what it can be said to isolate."""

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
from collections.abc import Mapping
from typing import Any

from .errors import Lost
from .lane import Lane
from .worker_run import KILL_SECONDS


class LocalWorker(Lane):
    """A worker process, and our end of its socket.

    scratch: an existing folder, handed over: the worker deletes it when it ends.
    cut: cut the network and IPC off, as far as possible. wrap: start it in bubblewrap.

    Raises:
        Lost: it did not start; the message has the end of what it printed.
    """

    def __init__(self, scratch: str, *, cut: bool, wrap: bool) -> None:
        self._scratch = scratch
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-s", "-P", "-m", "sandbox.worker", "--fd", str(theirs.fileno())]
        command += ["--scratch", scratch, "--uid", "auto"] + ([] if cut else ["--sockets", "any"])
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
            try:
                super().__init__(ours, exclusive=True)
            except Lost as error:
                self.stop()
                log.seek(0)
                said = log.read().decode("utf-8", "replace").strip()[-600:]
                raise Lost(f"a worker did not start: {said or error}") from None
        if wrap:
            parts = ["files", "host name", "ipc", "processes"] + (["network"] if cut else [])
            self.hello["isolation"]["cut"] = parts

    @property
    def alive(self) -> bool:
        """Whether its process runs and has nothing to say."""
        return self._process.poll() is None and super().alive

    def stop(self) -> None:
        """Wait until it has cleared up and ended, as its connection is closed; kill it if it does not."""
        try:
            self._process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        # In bubblewrap it cannot remove what is mounted; one that was killed could not clear up.
        shutil.rmtree(self._scratch, ignore_errors=True)

    def let_go(self) -> None:
        """In a forked child: close the copy of our end and forget the process."""
        super().let_go()
        self._process.returncode = 0


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
    return [shutil.which("bwrap") or "bwrap", "--as-pid-1", *own, *mounts, "--chdir", scratch, "--"]


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
        net = "NOT cut: this kernel or container gives this user no network namespace" + (
            ", but programs may not make sockets" if facts["filter"] else "; programs reach what you reach"
        )
    return {
        "backend": "local" + (" in bubblewrap" if wrapped else ""),
        "hostile code": "NOT held: "
        + (
            "the kernel's interface is open but for the most dangerous system calls"
            if facts["filter"]
            else "the kernel's whole interface is open, no system call is filtered"
        ),
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
