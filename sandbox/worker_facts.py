"""What a worker can say about the walls around it: looked up, not believed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .worker_place import root_is_writable, writable_places

Answer = TypeVar("Answer")


def as_user(user: int, question: Callable[[], list[str]]) -> list[str]:
    """What a process of another user answers. Empty strings and surprises are kept: it is asked before any program ran.

    Raises:
        OSError: there is no answer.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            os.write(writing, "\0".join(question()).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as file:
        answer = file.read().decode()
    if os.waitpid(pid, 0)[1] != 0:
        raise OSError(0, f"a process of user {user} could not look around")
    return answer.split("\0") if answer else []


def places_of(user: int, scratch: str) -> tuple[str, ...]:
    """Where a program of this user may leave something besides `scratch`."""
    return tuple(as_user(user, lambda: writable_places(scratch)))


def look_around(user: int) -> dict[str, Any]:
    """Walls of a container, as they are seen from inside. Unknown things are None."""
    status = _fields("/proc/self/status")
    return {
        "interfaces": sorted(set(_listing("/sys/class/net")) - {"lo"}),
        "root_writable": bool(as_user(user, lambda: ["yes"] if root_is_writable() else [])),
        "capabilities": status.get("CapPrm"),
        "no_new_privileges": status.get("NoNewPrivs") == "1",
        "outer_filter": status.get("Seccomp") == "2",
        "memory_bytes": _number("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        "processes": _number("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"),
        "kernel": os.uname().release,
    }


def _fields(path: str) -> dict[str, str]:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _listing(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _number(*paths: str) -> int | None:
    for path in paths:
        try:
            return int(Path(path).read_text())
        except (OSError, ValueError):
            continue
    return None
