"""Taking the files that a program left, as if it had left traps: regular files only, no link followed, all capped.

It is called when every process of the program is dead, so nothing changes under our hands.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

MAX_DEPTH = 8
MAX_ENTRIES = 4096  # looked at in all
MAX_REASONS = 20


def collect(
    folder: str, patterns: Sequence[str], inputs: Mapping[str, bytes], files: int, total: int
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
                if not any(fnmatchcase(path, pattern) for pattern in patterns):
                    continue
                why = _objection(path, info, len(taken) >= files, total)
                content = b"" if why else _read(fd, name, info)
            except OSError as error:
                left_out.append((path.encode("utf-8", "replace").decode(), f"cannot be read: {error.strerror}"))
                continue
            if why:
                left_out.append((path.encode("utf-8", "replace").decode(), why))
            elif inputs.get(path) != content:
                taken[path] = content
                total -= len(content)

    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        visit(root, "", 0)
    except OSError as error:  # the program took its own folder away, or made it unreadable
        left_out.append((".", f"cannot be read: {error.strerror}"))
    finally:
        os.close(root)
    return taken, left_out[:MAX_REASONS]


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
