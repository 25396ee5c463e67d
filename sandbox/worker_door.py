"""The socket of a container's worker: where it is, how it is made and taken away, and whether anybody is behind it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
import time

from . import frames

BACKLOG = 64
ASK_SECONDS = 2.5  # for all of `ask`: a health check has three
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class NoPlaceError(Exception):
    """There is no place for a socket; the message says why."""


def place_of(wanted: str) -> str:
    """The path of a lane's socket. A folder, or what ends in "/", stands for the socket in it that bears the name of
    this container, HOSTNAME.sock: so that every one of several containers with one command line has its own.

    Raises:
        NoPlaceError: there is no such folder, or the host's name is no plain name.
    """
    if not (wanted.endswith("/") or os.path.isdir(wanted)):
        return wanted
    if not os.path.isdir(wanted):
        raise NoPlaceError(f"there is no folder {wanted}: mount one there, which all lanes and their clients share")
    name = socket.gethostname()
    if not _NAME.fullmatch(name):
        raise NoPlaceError(
            f"a socket in {wanted} would be named after this host, whose name must be up to 64 letters, digits, dots, "
            f"underscores and hyphens; it is {name!r:.80}. Name the socket itself: {wanted.rstrip('/')}/NAME.sock"
        )
    return os.path.join(wanted, f"{name}.sock")


class Door:
    """The socket at `path`, of this process and nobody else. path: as `place_of` gave it."""

    def __init__(self, path: str) -> None:
        self.path, self._beside, self._why = path, f"{path}.new", f"{path}.why"
        self._pid = os.getpid()
        self._made: tuple[int, int] | None = None  # device and inode

    def open(self) -> socket.socket:
        """A Unix socket for this process's group; one that was left there by a process that died is replaced.

        Raises:
            OSError: it cannot be made; or another worker answers there.
        """
        if _somebody_listens(self.path):
            raise OSError(errno.EADDRINUSE, f"another worker listens at {self.path}: give each host its own name")
        _unlink(self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        # Under another name first: who sees it may connect to it.
        _unlink(self._beside)
        listener.bind(self._beside)
        os.chmod(self._beside, 0o660)
        listener.listen(BACKLOG)
        self._made = _identity(self._beside)
        os.rename(self._beside, self.path)
        _unlink(self._why)
        return listener

    def shut_folder(self) -> None:
        """Let nobody into the folder but its owner and this process's group. A volume of Compose comes open to all, and
        programs have no business in it. A folder of somebody else's is his, and one for everybody (/tmp) stays so."""
        folder = os.path.dirname(self.path) or "."
        with contextlib.suppress(OSError):
            found = os.stat(folder)
            if found.st_uid == os.geteuid() and not found.st_mode & stat.S_ISVTX:
                os.chown(folder, -1, os.getegid())
                os.chmod(folder, 0o750)

    def explain(self, why: str) -> None:
        """Write beside the socket, where clients look for it, why there is none."""
        with contextlib.suppress(OSError), open(self._why, "w") as file:
            os.chmod(file.fileno(), 0o660)
            file.write(why)

    def close(self) -> None:
        """Take away what this process made, so that nobody counts a lane that is gone. Does nothing in a child, and
        nothing to a socket that another process made there since."""
        if self._pid != os.getpid() or self._made is None:
            return
        for path in (self.path, self._beside):
            with contextlib.suppress(OSError):
                if _identity(path) == self._made:
                    os.unlink(path)
        _unlink(self._why)


def ask(wanted: str) -> str:
    """Whether a worker is behind a socket: empty if it says hello, or else, in a line, why not. wanted: see `place_of`.

    Every client is told hello at once, whoever has the lease. No lease is asked for, and the connection is closed
    before this returns: the worker forgets it when it sees so.
    """
    deadline = time.monotonic() + ASK_SECONDS
    try:
        path = place_of(wanted)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            connection.settimeout(ASK_SECONDS)
            connection.connect(path)
            hello, _ = frames.receive(connection, deadline)
    except NoPlaceError as error:
        return str(error)
    except TimeoutError:
        return f"the worker behind {path} said nothing for {ASK_SECONDS:g} s"
    except frames.ClosedError:
        return f"the worker behind {path} hung up at once: it is about to end, or has as many clients as it takes"
    except (OSError, frames.BrokenFrameError) as error:
        return f"no worker answers at {path}: {getattr(error, 'strerror', None) or error}"
    if hello.get("hello") != frames.PROTOCOL:
        return f"what answers at {path} is no worker of protocol {frames.PROTOCOL}: it says {hello!r:.80}"
    return ""


def _somebody_listens(path: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            probe.connect(path)
    except OSError:
        return False
    return True


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
