"""From what a contained worker sees of its walls to words for people. What begins with "NOT" does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ONLY_SETUID_AND_SETGID = 0xC0


def describe_contained(hello: Mapping[str, Any], backend: str) -> dict[str, str]:
    """Part by part; see `Sandbox.isolation`."""
    facts = hello["isolation"]
    walls = facts["walls"]
    others = [str(name) for name in walls["interfaces"]]
    found = {
        "backend": backend,
        "network": "cut: there is no interface, and programs may make no sockets but between themselves"
        if not others
        else f"NOT cut: the container has {', '.join(others)}, though programs may make no sockets",
        "user": f"uid {facts['uid']}, which is neither the worker's nor anybody else's",
        "worker": _rights(walls["capabilities"], walls["no_new_privileges"]),
        "system calls": (
            "filtered twice, by the engine and for programs"
            if walls["outer_filter"]
            else "NOT filtered by the engine, but for programs"
        ),
        "files": "NOT read-only outside of what is wiped"
        if walls["root_writable"]
        else f"read-only but for {', '.join(facts['wiped'])}, wiped after every lease",
        "memory": _bound(walls["memory_bytes"], "bytes in all"),
        "processes": _bound(walls["processes"], "in all, and counted for the program alone"),
        "other processes": "of the machine: none to be seen; of the worker: out of reach",
        "ipc": "refused: System V, POSIX queues, memory files",
        "environment": "empty but for PATH and HOME",
        "kernel": str(walls["kernel"]),
        "python": " ".join(f"{name} {version}" for name, version in hello["modules"].items()),
    }
    weak = [part for part, words in found.items() if "NOT " in words]
    found["hostile code"] = f"NOT held: see {', '.join(weak)}" if weak else "held: by every wall named here"
    return found


def _rights(capabilities: str | None, gains_nothing: bool) -> str:
    try:
        excess = int(capabilities or "", 16) & ~ONLY_SETUID_AND_SETGID
    except ValueError:
        return "NOT known: its rights cannot be read here"
    if excess:
        return f"NOT bare: it has capabilities {excess:#x} that it does not need (cap_drop: ALL)"
    return "root with CAP_SETUID and CAP_SETGID alone" + ("" if gains_nothing else "; NOT kept from gaining rights")


def _bound(number: int | None, words: str) -> str:
    # A kernel without a limit says so with a number that no machine has.
    return "NOT limited" if number is None or number >= 1 << 50 else f"{number} {words}"
