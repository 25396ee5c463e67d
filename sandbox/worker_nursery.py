"""Where programs' processes come from: forks of one that has NumPy, Pillow and OpenCV loaded.

Loading them takes a tenth of a second or more; forking a process that has them takes milliseconds. In a container that
process, the zygote, does nothing else. It never learns what programs and files are: a fork is a copy of all that its
parent remembers, and no program may find traces of another in its own memory.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NoReturn, Protocol

from . import frames
from .worker_identity import Cell
from .worker_kernel import adopt_orphans, die_with_parent
from .worker_program import become

ANSWER_SECONDS = 30.0
_FORK, _REAP = b"f", b"r"


class ZygoteLostError(Exception):
    """The zygote died or does not answer: no program can be started any more."""


@dataclass(frozen=True)
class Reaped:
    """Processes that are dead and gone: the wait status of the one that was asked for (None if it is not among them),
    its processor seconds, those of all others, and the largest resident size in bytes. nobody_left: no other lives."""

    status: int | None
    own_cpu: float
    other_cpu: float
    peak: int
    nobody_left: bool


class Nursery(Protocol):
    """Who makes the processes of programs, and buries them."""

    pid: int  # whose scheduling they inherit

    def bear(self, folder: str, limits: Mapping[str, Any], lasting: bool, fds: Sequence[int]) -> int:
        """A new process that waits for its first program; see `worker_program.become`. Its number stays its own until
        it is reaped. fds: stdout, stderr, report, orders."""
        ...

    def reap(self, pid: int, seconds: float) -> Reaped:
        """Bury the dead, until nobody is left or the time is over."""
        ...


class OwnNursery:
    """The calling process itself, which has the libraries."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.pid = os.getpid()

    def bear(self, folder: str, limits: Mapping[str, Any], lasting: bool, fds: Sequence[int]) -> int:
        """See `Nursery`."""
        pid = os.fork()
        if pid == 0:
            become(folder, limits, self._cell, lasting, fds)
        return pid

    def reap(self, pid: int, seconds: float) -> Reaped:
        """See `Nursery`."""
        deadline, pause = time.monotonic() + seconds, 0.0001
        status, own, others, peak = None, 0.0, 0.0, 0
        while True:
            try:
                gone, found, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return Reaped(status, own, others, peak, True)
            if gone:
                peak = max(peak, usage.ru_maxrss * 1024)
                if gone == pid:
                    status, own = found, usage.ru_utime + usage.ru_stime
                else:
                    others += usage.ru_utime + usage.ru_stime
            elif time.monotonic() > deadline:
                return Reaped(status, own, others, peak, False)
            else:
                time.sleep(pause)
                pause = min(2 * pause, 0.01)


class Zygote:
    """A nursery in a process of its own, forked from the caller, which must have loaded next to nothing.

    Raises:
        ZygoteLostError: it did not come up.
    """

    def __init__(self, cell: Cell) -> None:
        self._socket, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
            _be_zygote(theirs, cell)
        theirs.close()
        self.modules = {str(name): str(version) for name, version in self._answer(60.0)["modules"].items()}

    def bear(self, folder: str, limits: Mapping[str, Any], lasting: bool, fds: Sequence[int]) -> int:
        """See `Nursery`."""
        try:
            self._socket.settimeout(ANSWER_SECONDS)
            socket.send_fds(self._socket, [_FORK], list(fds))
            frames.send(self._socket, {"folder": folder, "limits": dict(limits), "lasting": lasting})
        except OSError as error:
            raise ZygoteLostError(f"the zygote cannot be asked: {error}") from None
        return int(self._answer(ANSWER_SECONDS)["pid"])

    def reap(self, pid: int, seconds: float) -> Reaped:
        """See `Nursery`."""
        try:
            self._socket.settimeout(ANSWER_SECONDS)
            self._socket.sendall(_REAP)
            frames.send(self._socket, {"pid": pid, "seconds": seconds})
        except OSError as error:
            raise ZygoteLostError(f"the zygote cannot be asked: {error}") from None
        return Reaped(**self._answer(seconds + ANSWER_SECONDS))

    def let_go(self) -> None:
        """Leave it to another process, which has a copy of our end. When the last is closed, it ends."""
        self._socket.close()

    def _answer(self, seconds: float) -> dict[str, Any]:
        try:
            return frames.receive(self._socket, time.monotonic() + seconds)[0]
        except (frames.ClosedError, frames.BrokenFrameError, OSError) as error:
            raise ZygoteLostError(f"the zygote does not answer: {error}") from None


def _be_zygote(channel: socket.socket, cell: Cell) -> NoReturn:
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with_parent(signal.SIGKILL)
        adopt_orphans()
        os.closerange(3, channel.fileno())
        os.closerange(channel.fileno() + 1, 65536)
        modules = load_libraries()
        settle()
        frames.send(channel, {"modules": modules})
        own = OwnNursery(cell)
        while True:
            kind, fds, _, _ = socket.recv_fds(channel, 1, 4)
            if not kind:
                os._exit(0)
            request, _ = frames.receive(channel)
            if kind == _FORK:
                frames.send(channel, {"pid": own.bear(request["folder"], request["limits"], request["lasting"], fds)})
                for fd in fds:
                    os.close(fd)
            else:
                frames.send(channel, asdict(own.reap(request["pid"], request["seconds"])))
    except BaseException as error:
        with contextlib.suppress(OSError):
            print(f"the zygote failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(1)


def load_libraries() -> dict[str, str]:
    """Import what programs use and return the versions; a library that is not installed is left out."""
    modules = {}
    for name in ("numpy", "PIL", "cv2"):
        try:
            modules[name] = str(getattr(__import__(name), "__version__", "?"))
        except ImportError:
            continue
    if "numpy" in modules:
        import numpy.random  # NumPy itself loads its parts when they are first used, and that would be in every child

        numpy.random.seed(0)
    if "PIL" in modules:
        from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps  # noqa: F401

        Image.init()  # every format's decoder, which would otherwise be loaded by the first picture of each program
    if "cv2" in modules:
        import cv2

        cv2.setNumThreads(0)  # threads do not survive a fork
    return {"python": sys.version.split()[0], **modules}


def settle() -> None:
    """Before the first fork: what is there by now is there for good."""
    gc.collect()
    gc.freeze()  # or every collection in a child would copy the pages that it shares with us
