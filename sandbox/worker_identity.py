"""Under which user programs run, and which system calls they may make: chosen once, when a worker starts."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sysconfig
from collections.abc import Collection
from dataclasses import dataclass

_EVERYBODY = 65534  # "nobody": the last resort where a user of its own is refused


@dataclass(frozen=True)
class Identity:
    """Under which user programs run. uid: None for the worker's own. processes: what a limit on processes counts:
    "program" (exactly its own), "user" (its user's at the start are added), or "none" (root has no such limit).
    beside: processes of the worker itself that the kernel counts with the program's."""

    uid: int | None
    processes: str
    beside: int = 0


@dataclass(frozen=True)
class Cell:
    """What every program of a worker gets: its user, and the system calls that it may make (None: all)."""

    identity: Identity
    filter: bytes | None


PASS_THROUGH, OPEN_TO_ALL = 0o711, 0o1777  # what a scratch folder is to the programs' user


def choose_identity(wanted: str | None, scratch: str, cut: Collection[str], mode: int = PASS_THROUGH) -> Identity:
    """Find a user for programs: tried in a child, since the user must be able to read the libraries and the folder.

    mode: the scratch folder's. OPEN_TO_ALL where that user makes its folder itself.
    """
    if wanted is not None and os.geteuid() == 0:
        for uid in own_users() if wanted == "auto" else [int(wanted)]:
            if _can_live(uid, scratch, mode):
                return Identity(uid, "program")
    if os.geteuid() == 0:
        return Identity(None, "none")
    if "user" in cut:  # a user namespace counts its own processes only
        return Identity(None, "program", 2 if "processes" in cut else 1)
    return Identity(None, "user")


def own_users() -> list[int]:
    """Users whom, by all likelihood, nobody else is; then the last resort.

    The kernel counts processes per user over all containers, so that every worker needs one of its own. Even numbers:
    the next one is for the worker's janitor.
    """
    try:
        with open("/proc/self/uid_map") as file:
            top = max(int(inside) + int(count) for inside, _, count in (line.split() for line in file))
    except (OSError, ValueError):
        top = 65536
    low, high = (1 << 30, 1 << 31) if top >= 1 << 31 else (20_000, min(top, 65_000))
    chosen = low + int.from_bytes(os.urandom(8), "big") % max(high - low, 1)
    return [chosen & ~1, _EVERYBODY]


def _can_live(uid: int, scratch: str, mode: int) -> bool:
    """Whether a process of this user reaches the standard library, the site packages, and its folder's parents."""
    with contextlib.suppress(PermissionError):  # somebody else's folder, who saw to it
        os.chmod(scratch, mode)
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            paths, numpy = sysconfig.get_paths(), importlib.util.find_spec("numpy")
            needed = [paths["stdlib"], paths["platstdlib"]] + ([os.path.dirname(numpy.origin or "")] if numpy else [])
            for folder in needed:
                os.listdir(folder)
            os.stat(os.path.join(scratch, "."))
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0
