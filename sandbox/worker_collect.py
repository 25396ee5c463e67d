"""Taking the files that a program left, as if it had left traps: regular files only, no link followed, all capped.

Whoever calls this has the program's own rights and no more, or knows that all its processes are dead. A process that
still lives (variables are kept) may change what is read, and gains nothing by it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

MAX_DEPTH = 8
MAX_ENTRIES = 4096  # looked at in all
MAX_REASONS = 20
_SETTLED = 50_000_000  # ns; clocks of file systems tick every few milliseconds

_Print = tuple[int, int, int, int]  # device, inode, size, time of the last change


@dataclass
class Known:
    """The files that the client has already: those that it gave, and those that were handed out before.

    A file that was not touched is not read again. The kernel's time of change is not the program's to set, but is
    coarse: it is trusted only if it was some time ago when the file was read.
    """

    _prints: dict[str, _Print] = field(default_factory=dict)
    _digests: dict[str, bytes] = field(default_factory=dict)

    def untouched(self, path: str, info: os.stat_result) -> bool:
        """Whether nobody can have written to it since `learn`."""
        return self._prints.get(path) == _print(info)

    def same(self, path: str, content: bytes) -> bool:
        """Whether it has the content that the client has."""
        return self._digests.get(path) == hashlib.sha256(content).digest()

    def learn(self, path: str, info: os.stat_result, content: bytes) -> None:
        """The client has this file now."""
        self._digests[path] = hashlib.sha256(content).digest()
        self._prints.pop(path, None)
        if time.time_ns() - info.st_ctime_ns > _SETTLED:
            self._prints[path] = _print(info)


def _print(info: os.stat_result) -> _Print:
    return info.st_dev, info.st_ino, info.st_size, info.st_ctime_ns


def collect(
    folder: str, patterns: Sequence[str], known: Known, files: int, total: int
) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
    """The program's files by relative path, in the order of their names, and (path, why) for those left behind."""
    taken: dict[str, bytes] = {}
    left_out: list[tuple[str, str]] = []
    budget = [MAX_ENTRIES]

    def visit(fd: int, prefix: str, depth: int) -> None:
        nonlocal total
        for name in _names(fd, budget, left_out, prefix):
            path = prefix + name
            try:
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    if depth == MAX_DEPTH:
                        left_out.append((path, f"folders are looked into {MAX_DEPTH} deep"))
                        continue
                    below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                    try:
                        visit(below, path + "/", depth + 1)
                    finally:
                        os.close(below)
                    continue
                if not any(fnmatchcase(path, pattern) for pattern in patterns) or known.untouched(path, info):
                    continue
                why = _objection(path, info, len(taken) >= files, total)
                content = b"" if why else _read(fd, name, info)
            except OSError as error:
                left_out.append((path, f"cannot be read: {error.strerror}"))
                continue
            if why:
                left_out.append((path, why))
                continue
            if not known.same(path, content):
                taken[path] = content
                total -= len(content)
            known.learn(path, info, content)

    try:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            visit(root, "", 0)
        finally:
            os.close(root)
    except OSError as error:  # the program took its own folder away, or made it unreadable
        left_out.append((".", f"cannot be read: {error.strerror}"))
    return taken, [(path.encode("utf-8", "replace").decode(), why) for path, why in left_out[:MAX_REASONS]]


def _names(fd: int, budget: list[int], left_out: list[tuple[str, str]], prefix: str) -> list[str]:
    names = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if budget[0] == 0:
                left_out.append((prefix or ".", f"more than {MAX_ENTRIES} entries"))
                break
            budget[0] -= 1
            names.append(entry.name)
    return sorted(names)


def _objection(path: str, info: os.stat_result, full: bool, room: int) -> str:
    """Why this entry is not handed out; empty if it is."""
    if stat.S_ISLNK(info.st_mode):
        return "a symbolic link"
    if not stat.S_ISREG(info.st_mode):
        return "not a regular file"
    if info.st_nlink != 1:
        return "a file with several names (hard links)"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if full:
        return "too many files"
    if info.st_size > room:
        return f"too large: {info.st_size} bytes, and {room} are left"
    return ""


def _read(fd: int, name: str, expected: os.stat_result) -> bytes:
    # Without O_NONBLOCK a pipe that took the file's place would be waited for.
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    with open(file, "rb") as opened:
        info = os.fstat(file)
        if (info.st_ino, info.st_dev, info.st_nlink) != (expected.st_ino, expected.st_dev, 1):
            raise OSError(0, "it changed while it was read")
        return opened.read(expected.st_size)
