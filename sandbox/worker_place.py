"""Where a program lives: its folder, and every other place where it may leave something.

All of it is done with the rights of whoever calls: the worker itself on a machine without containers, and within one
the janitor, who has no more rights than the program (`worker_janitor`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import tempfile
from collections.abc import Mapping, Sequence

from .worker_collect import Known, collect
from .worker_wipe import wipe

FOLDER = "run"  # the same for every program: what it does must not depend on a name
_TMPFS = ("tmpfs", "ramfs", "mqueue", "hugetlbfs")


class Place:
    """A folder made for one lease. `scratch`: the folder around it, of which everything is deleted in the end.

    owner: who the folder and the inputs are given to; None: who makes them. also: other folders to empty in the end.

    Raises:
        OSError: the folder could not be made.
    """

    def __init__(self, scratch: str, owner: int | None, also: Sequence[str] = ()) -> None:
        self.folder = os.path.join(scratch, FOLDER)
        self._scratch, self._owner, self._also, self._known = scratch, owner, also, Known()
        self._make()

    def _make(self) -> None:
        os.mkdir(self.folder, 0o700)
        if self._owner is not None:
            os.chown(self.folder, self._owner, self._owner)

    def _mend(self) -> None:
        """An earlier program of the lease may have moved its folder away, or shut it."""
        try:
            if stat.S_ISDIR(os.lstat(self.folder).st_mode):
                os.chmod(self.folder, 0o700)
                return
            os.unlink(self.folder)
        except FileNotFoundError:
            pass
        self._make()

    def lay_out(self, inputs: Mapping[str, bytes]) -> None:
        """Put files into the folder, in place of whatever has their names. Raises OSError (a full disk is one)."""
        self._mend()
        for name, content in inputs.items():
            # Beside it first: the name may be a link's by now, and nothing is written through a link.
            fd, beside = tempfile.mkstemp(prefix=".laid-", dir=self._scratch)
            try:
                with open(fd, "wb") as file:
                    file.write(content)
                    file.flush()
                    if self._owner is not None:
                        os.fchown(fd, self._owner, self._owner)
                path = os.path.join(self.folder, name)
                if os.path.isdir(path) and not os.path.islink(path):
                    wipe(path, None)
                os.rename(beside, path)
            except OSError:
                os.unlink(beside)
                raise
            self._known.learn(name, os.stat(path, follow_symlinks=False), content)

    def collect(
        self, patterns: Sequence[str], files: int, total: int
    ) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
        """The files that the client does not have yet, and those that it cannot have; see `worker_collect`."""
        return collect(self.folder, patterns, self._known, files, total)

    def clear(self, seconds: float) -> bool:
        """Delete everything in the end. False if something is left."""
        clean = True
        for place in (self._scratch, *self._also):
            clean = empty(place, seconds) and clean
        return clean


class OwnPlace(Place):
    """A place where the worker itself may kill: programs run as its own user, or it is an almighty root."""

    def kill(self, pid: int) -> None:
        """Kill a program's process, its group, and whatever has the caller as its parent by now."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        for child in {pid, *children()}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)


def children() -> list[int]:
    """The processes whose parent is the caller; of a process with one thread."""
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


def empty(place: str, seconds: float) -> bool:
    """Delete what is in a folder and keep the folder. False if something is left in it."""
    try:
        with os.scandir(place) as found:
            entries = list(found)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                wipe(entry.path, seconds)
            else:
                os.unlink(entry.path)
        return not os.listdir(place)
    except OSError:
        return False


def writable_places(scratch: str) -> list[str]:
    """Where the caller may leave files besides `scratch`: mounts that live in memory and can be written by it."""
    found = []
    with open("/proc/self/mountinfo") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            where, options, kind = before.split()[4], before.split()[5].split(","), after.split()[0]
            where = where.encode().decode("unicode_escape")  # a space is \040
            usable = "rw" in options and kind in _TMPFS and where != scratch
            if usable and os.access(where, os.W_OK | os.X_OK, effective_ids=True):
                found.append(where)
    return found


def root_is_writable() -> bool:
    """Whether the caller could leave files outside of mounts that live in memory."""
    return any(
        os.access(path, os.W_OK, effective_ids=True) and not _in_memory(path)
        for path in ("/", "/tmp", "/var/tmp", "/var/lock", "/run", "/home", "/mnt", "/dev")
    )


def _in_memory(path: str) -> bool:
    best, kind = "", ""
    with open("/proc/self/mountinfo") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            where = before.split()[4]
            inside = path == where or path.startswith(where.rstrip("/") + "/")
            if inside and len(where) >= len(best):
                best, kind = where, after.split()[0]
    return kind in _TMPFS
