"""Whose a container is, and removing those whose owner is dead.

A lane ends by itself when its owner's connection closes; this is for what is left if even that did not happen (a paused
container, an engine that was restarted). Only containers of this host and this process namespace are judged.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .docker_engine import LABEL, failures

_PID, _STARTED, _HOST = f"{LABEL}.pid", f"{LABEL}.started", f"{LABEL}.host"


def labels(pool: str) -> dict[str, str]:
    """What a container of this process is marked with."""
    return {
        LABEL: "lane",
        f"{LABEL}.pool": pool,
        _PID: str(os.getpid()),
        _STARTED: _start_time(os.getpid()) or "?",
        _HOST: _host(),
    }


def orphaned(marks: Mapping[str, str]) -> bool:
    """Whether the owner is dead, for all that can be known: numbers are used again, so that its start time counts."""
    if marks.get(LABEL) != "lane" or marks.get(_HOST) != _host() or not marks.get(_PID, "").isdigit():
        return False
    return _start_time(int(marks[_PID])) != marks.get(_STARTED)


def reap(client: Any) -> list[str]:
    """Remove the containers of dead owners; their names. Nothing is raised for one that goes by itself meanwhile.

    Raises:
        an exception of `docker_engine.failures()`: the engine cannot be asked.
    """
    removed = []
    for container in client.containers.list(all=True, filters={"label": f"{LABEL}=lane"}, ignore_removed=True):
        if orphaned(container.labels):
            with suppress(*failures()):
                container.remove(force=True)
                removed.append(str(container.name))
    return removed


def _start_time(pid: int) -> str | None:
    """In clock ticks since the machine started; None if there is no such process, or a dead one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _host() -> str:
    """This run of this machine, and the namespace in which process numbers mean something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return "?"
