"""Lanes that somebody else started: every socket in a folder is one.

For containers of Compose, say, each of which makes a socket in a volume that the trainer's container mounts as well.
They are never started, stopped or removed from here. Several trainers may share them: a lane is anybody's between two
leases.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from .errors import Lost, Unavailable
from .isolation import describe_contained
from .lane import SILENCE, Lane
from .pool import QUEUE_SECONDS, LanePool

CONNECT_SECONDS = 10.0
RECHECK_SECONDS = 5.0
_LONGEST = 100  # characters of a path that fit into a socket's address


def dial(path: Path) -> socket.socket:
    """Connect to a Unix socket, however long its path is. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    folder: int | None = None
    try:
        connection.settimeout(CONNECT_SECONDS)
        if len(os.fsencode(path)) > _LONGEST:
            folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
        else:
            connection.connect(str(path))
        return connection
    except OSError:
        connection.close()
        raise
    finally:
        if folder is not None:
            os.close(folder)


class SocketSandbox(LanePool):
    """A sandbox of the lanes behind the sockets of a folder. See `sandbox.contract.Sandbox`.

    folder: where `*.sock` are. It is looked at again every few seconds: lanes that were restarted are used again.

    Raises:
        Unavailable: there is no such folder, or it may not be read.
    """

    def __init__(self, folder: str, *, queue_seconds: float = QUEUE_SECONDS, silence: float = SILENCE) -> None:
        self.folder = Path(folder)
        try:
            os.listdir(self.folder)
        except OSError as error:
            raise Unavailable(
                f'sandbox="unix:{folder}" is not available: {error.strerror}. It must be a folder in which lanes have '
                "made their sockets, and which this user may enter (its group is for that)."
            ) from None
        source = _Sockets(self.folder, silence)
        super().__init__(source, max_uses=None, queue_seconds=queue_seconds, recheck_seconds=RECHECK_SECONDS)


class _AbandonedError(Lost):
    """A socket whose worker was killed: the kernel refuses connections to it for good."""


class _SocketLane(Lane):
    """A connection to a lane that is not ours."""

    def __init__(self, path: Path, silence: float) -> None:
        self.path = path
        try:
            connection = dial(path)
        except ConnectionRefusedError as error:
            raise _AbandonedError(f"nobody answers at {path}: {error}") from None
        except OSError as error:
            raise Lost(f"nobody answers at {path}: {error}") from None
        super().__init__(connection, exclusive=False, silence=silence, hello_seconds=CONNECT_SECONDS)


class _Sockets:
    """Where the lanes come from.

    A worker that is killed leaves its socket behind, which looks like a lane. While others live it is not counted, or
    it would be missed and tried for ever, ever more seldom, and the next lane that comes would wait for its turn. A
    worker that comes back makes another socket under the old name. While none lives, all are tried.
    """

    def __init__(self, folder: Path, silence: float) -> None:
        self._folder, self._silence = folder, silence
        self.where = f"they are looked for as *.sock in {folder}"
        self._connected: set[Path] = set()
        self._abandoned: dict[Path, tuple[int, ...]] = {}

    def wanted(self) -> int:
        paths = self._paths()
        left = [path for path in paths if path in self._abandoned and self._abandoned[path] == _identity(path)]
        return len(paths) - len(left) or len(paths)

    def start(self) -> Lane:
        why: Exception = Lost(f"there is no socket in {self._folder} that is not in use")
        for path in self._paths():
            if path not in self._connected:
                seen = _identity(path)  # before, or a socket that was made meanwhile would pass for the old one
                try:
                    lane = _SocketLane(path, self._silence)
                except Lost as error:
                    why = error
                    if isinstance(error, _AbandonedError):
                        self._abandoned[path] = seen
                    continue
                self._connected.add(path)
                return lane
        raise why

    def stop(self, lane: Lane) -> None:
        assert isinstance(lane, _SocketLane)
        self._connected.discard(lane.path)

    def describe(self, hello: Mapping[str, object]) -> dict[str, str]:
        return describe_contained(hello, f"containers behind the sockets of {self._folder}")

    def close(self) -> None:
        pass

    def _paths(self) -> list[Path]:
        try:
            return sorted(self._folder.glob("*.sock"))
        except OSError:
            return []


def _identity(path: Path) -> tuple[int, ...]:
    """What tells a socket from another that had its name. A number of a file is given out again, its times are not."""
    try:
        found = path.lstat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_ctime_ns
