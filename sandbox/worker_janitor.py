"""Who kills, collects and wipes, in a container: a process with the program's own rights, and out of its reach.

The worker there is root without the rights that make root almighty: it can neither signal a program of another user,
nor enter its folders. So a child becomes that user, in effect only: its real and saved users are another one, whom
nobody else is. By the kernel's rules it may signal the program's processes and may touch its files, and they may
neither signal nor trace it. It has no capability; nothing that a program puts in its way can make it do more than the
program could have done itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from . import frames
from .worker_kernel import die_with_parent, drop_capabilities, gain_nothing
from .worker_place import Place

ANSWER_SECONDS = 30.0


class JanitorLostError(Exception):
    """The janitor died or does not answer: nothing that it guards may be used again."""


class Janitor:
    """A `Place` in a process of its own, which also kills. One for all leases of a worker, one after the other.

    user: the program's user and group. keeper: a user that nobody else is. scratch, also: see `Place`.

    Raises:
        JanitorLostError: it could not be started.
    """

    def __init__(self, user: int, keeper: int, scratch: str, also: Sequence[str]) -> None:
        self._socket, theirs = socket.socketpair()
        if os.fork() == 0:
            try:
                _become(user, keeper, theirs)
                _serve(theirs, scratch, also)
            except BaseException:
                traceback.print_exc()  # into the container's log
            finally:
                os._exit(1)
        theirs.close()
        self.folder = ""
        self._receive(ANSWER_SECONDS)

    def begin(self) -> None:
        """Make the folder of a new lease. Raises OSError."""
        answer, _ = self._ask({"do": "begin"})
        _check(answer)
        self.folder = str(answer["folder"])

    def lay_out(self, inputs: Mapping[str, bytes]) -> None:
        """See `Place.lay_out`. Raises OSError, with the janitor's error number."""
        answer, _ = self._ask({"do": "lay out", "names": list(inputs)}, list(inputs.values()))
        _check(answer)

    def collect(
        self, patterns: Sequence[str], files: int, total: int
    ) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
        """See `Place.collect`."""
        answer, blobs = self._ask({"do": "collect", "patterns": list(patterns), "files": files, "total": total})
        _check(answer)
        return dict(zip(answer["names"], blobs, strict=True)), [(path, why) for path, why in answer["left_out"]]

    def kill(self, pid: int) -> None:
        """Kill every process of the program's user, at one stroke; `pid` is one of them."""
        self._ask({"do": "kill"})

    def clear(self, seconds: float) -> bool:
        """See `Place.clear`; also False if any process of the program's user is there. Kill and reap them before."""
        return bool(self._ask({"do": "clear", "seconds": seconds}, seconds=seconds)[0].get("clean"))

    def let_go(self) -> None:
        """Leave it to another process, which has a copy of our end. When the last is closed, it ends."""
        self._socket.close()

    def _ask(
        self, request: dict[str, Any], blobs: Sequence[bytes] = (), seconds: float = 0.0
    ) -> tuple[dict[str, Any], list[bytes]]:
        try:
            self._socket.settimeout(ANSWER_SECONDS)
            frames.send(self._socket, request, blobs)
        except OSError as error:
            raise JanitorLostError(f"the janitor cannot be asked: {error}") from None
        return self._receive(seconds + ANSWER_SECONDS)

    def _receive(self, seconds: float) -> tuple[dict[str, Any], list[bytes]]:
        try:
            return frames.receive(self._socket, time.monotonic() + seconds)
        except (frames.ClosedError, frames.BrokenFrameError, OSError) as error:
            raise JanitorLostError(f"the janitor does not answer: {error}") from None


def _check(answer: Mapping[str, Any]) -> None:
    if answer["errno"]:
        raise OSError(answer["errno"], os.strerror(answer["errno"]))


def _become(user: int, keeper: int, channel: socket.socket) -> None:
    os.closerange(3, channel.fileno())
    os.closerange(channel.fileno() + 1, 65536)
    os.setgroups([])
    os.setresgid(keeper, user, keeper)
    os.setresuid(keeper, user, keeper)
    gain_nothing()
    drop_capabilities()
    die_with_parent(signal.SIGKILL)
    os.umask(0o077)


def _serve(channel: socket.socket, scratch: str, also: Sequence[str]) -> None:
    frames.send(channel, {"ready": 1})
    place: Place | None = None
    while True:
        try:
            request, blobs = frames.receive(channel)
        except frames.ClosedError:
            os._exit(0)
        do = request["do"]
        answer: dict[str, Any] = {"errno": 0}
        contents: Sequence[bytes] = ()
        try:
            if do == "begin":
                place = Place(scratch, None, also)
                answer["folder"] = place.folder
            elif do == "kill":
                kill_all()
            elif place is None:
                raise ValueError(f"{do!r} outside of a lease")
            elif do == "lay out":
                place.lay_out(dict(zip(request["names"], blobs, strict=True)))
            elif do == "collect":
                files, left_out = place.collect(request["patterns"], request["files"], request["total"])
                answer |= {"names": list(files), "left_out": left_out}
                contents = list(files.values())
            elif do == "clear":
                answer["clean"] = place.clear(request["seconds"]) and not somebody_is_left()
        except OSError as error:
            answer["errno"] = error.errno or errno.EIO
        frames.send(channel, answer, contents)
        del request, blobs, contents


def kill_all() -> None:
    """Kill every process that the caller may signal, itself excepted: in one system call, which no fork can outrun."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(-1, signal.SIGKILL)


def somebody_is_left() -> bool:
    """Whether there is a process that the caller may signal, besides itself. A dead one that nobody reaped counts."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                os.kill(int(entry), 0)
            except (ProcessLookupError, PermissionError):
                continue
            return True
    return False
