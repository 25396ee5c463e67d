"""One container, started hardened: what it may do is written here, and read here by who wants to know.

Live calls go over a socket in a folder that the container and we share; the engine only starts and removes it.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .contract import MIB
from .docker_engine import failures, sdk
from .errors import Lost, RequestError
from .lane import SILENCE, Lane
from .socket_lane import dial

SOCKET = "lane.sock"
START_SECONDS = 60.0
OPEN_FILES = 1024
_INODES_PER_MIB = 64
_HIDDEN = "rw,nosuid,nodev,noexec"


@dataclass(frozen=True, kw_only=True)
class Walls:
    """What a container is given. All of it is shared by whatever runs in it at one time.

    memory_bytes: memory and swap together, files in `work_bytes` and `scratch_bytes` included; at least 128 MiB.
    cpus: processors. processes: processes and threads, the worker's own five included.
    work_bytes: for the program's folder, inputs included. scratch_bytes: for /tmp. Both are memory.
    runtime: None for the engine's own; "runsc" for gVisor.
    orphan_seconds: how long a container lives on when its owner is gone.
    silence: see `Lane`.
    """

    memory_bytes: int = 1024 * MIB
    cpus: float = 1.0
    processes: int = 128
    work_bytes: int = 128 * MIB
    scratch_bytes: int = 32 * MIB
    runtime: str | None = None
    orphan_seconds: float = 20.0
    silence: float = SILENCE

    def __post_init__(self) -> None:
        for name, low, high in (
            ("memory_bytes", 128 * MIB, 1 << 40),
            ("cpus", 0.1, 1024),
            ("processes", 16, 4096),
            ("work_bytes", MIB, 1 << 40),
            ("scratch_bytes", MIB, 1 << 40),
            ("orphan_seconds", 1, 86400),
            ("silence", 0.5, 3600),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise RequestError(f"{name} must be a number from {low:g} to {high:g}; got {value!r}")
        if self.work_bytes + self.scratch_bytes >= self.memory_bytes:
            raise RequestError(
                f"work_bytes and scratch_bytes are memory, and must leave some of memory_bytes ({self.memory_bytes}); "
                f"got {self.work_bytes} and {self.scratch_bytes}"
            )

    def options(self) -> dict[str, Any]:
        """The same in the SDK's words, for `containers.run`."""
        types = sdk().types
        return {
            "network_mode": "none",
            "read_only": True,
            "cap_drop": ["ALL"],
            "cap_add": ["SETUID", "SETGID"],  # the worker gives programs another user; it can do nothing else
            "security_opt": ["no-new-privileges"],  # and the engine's default system call filter stays
            "ipc_mode": "private",
            "tmpfs": {
                "/work": _tmpfs(self.work_bytes),
                "/tmp": _tmpfs(self.scratch_bytes),
                "/dev/shm": f"{_HIDDEN},size=1m,nr_inodes=64,mode=1777",  # for locks between a program's processes
            },
            "mem_limit": self.memory_bytes,
            "memswap_limit": self.memory_bytes,
            "nano_cpus": int(self.cpus * 1e9),
            "pids_limit": self.processes,
            "ulimits": [
                types.Ulimit(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES),
                types.Ulimit(name="core", soft=0, hard=0),
                types.Ulimit(name="fsize", soft=self.work_bytes, hard=self.work_bytes),
            ],
            "log_config": types.LogConfig(type="json-file", config={"max-size": "64k", "max-file": "1"}),
            "hostname": "sandbox",
            "runtime": self.runtime,
            # The owner is connected and knows. A check would burden warm lanes, and each is a client, whose coming and
            # going would put off the end of a lane that has lost its owner.
            "healthcheck": {"test": ["NONE"]},
            "auto_remove": True,
            "detach": True,
        }


class DockerLane(Lane):
    """A container of ours, and the connection to its worker.

    folder: an existing, empty folder of its own, handed over; only its owner and its group may enter it.

    Raises:
        Lost: the engine did not start it, or its worker did not say hello.
    """

    def __init__(
        self, client: Any, image: str, name: str, folder: Path, walls: Walls, labels: Mapping[str, str]
    ) -> None:
        self._client, self.name, self.folder = client, name, folder
        try:
            # Uid 0 enters by the group: it has no right to pass where its user may not.
            folder.chmod(0o770)
            client.containers.run(
                image,
                [
                    "--listen",
                    f"/run/lane/{SOCKET}",
                    "--scratch",
                    "/work",
                    "--orphan-seconds",
                    str(walls.orphan_seconds),
                ],
                name=name,
                user=f"0:{os.getegid()}",
                labels=dict(labels),
                volumes={str(folder): {"bind": "/run/lane", "mode": "rw"}},
                **walls.options(),
            )
        except failures() as error:
            self.remove()
            raise Lost(f"the engine did not start a container: {error}") from None
        try:
            super().__init__(self._dial(), exclusive=True, silence=walls.silence, hello_seconds=START_SECONDS)
        except Lost:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove the container and the folder. If the engine is gone, the container ends by itself."""
        with suppress(*failures()):
            self._client.containers.get(self.name).remove(force=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _dial(self) -> socket.socket:
        deadline = time.monotonic() + START_SECONDS
        look = time.monotonic() + 2.0
        why = self.folder / f"{SOCKET}.why"
        while True:
            try:
                return dial(self.folder / SOCKET)
            except OSError as error:
                if why.exists():
                    raise Lost(f"a worker did not start: {why.read_text(errors='replace')[:600]}") from None
                if time.monotonic() > look:  # seldom: it goes through the engine
                    look = time.monotonic() + 2.0
                    if not self._runs():
                        raise Lost("a container ended before its worker answered") from None
                if time.monotonic() > deadline:
                    raise Lost(f"a container made no socket within {START_SECONDS:g} s: {error}") from None
            time.sleep(0.02)

    def _runs(self) -> bool:
        try:
            return bool(self._client.containers.get(self.name).status in ("created", "running"))
        except failures():
            return False


def _tmpfs(size: int) -> str:
    return f"{_HIDDEN},size={size},nr_inodes={max(1024, size // MIB * _INODES_PER_MIB)},mode=1777"
