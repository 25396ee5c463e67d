"""Programs in hardened containers of this machine, kept warm."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import docker_image
from .docker_engine import connect, failures
from .docker_lane import DockerLane, Walls
from .docker_owner import labels, reap
from .errors import Lost
from .isolation import describe_contained
from .lane import Lane
from .pool import MAX_USES, QUEUE_SECONDS, LanePool, check_lanes


class DockerSandbox(LanePool):
    """A sandbox of containers that this process owns. See `sandbox.contract.Sandbox`.

    Args:
        lanes: programs that run at the same time, each in a container of its own; by default two per processor.
        walls: what every container is given.
        image: None for the one that belongs to this package's files (`python -m sandbox build-image`).
        max_uses: leases after which a container is replaced by a new one.
        queue_seconds: the longest time that a call waits for a free lane.

    Raises:
        RequestError: an argument is not allowed.
        Unavailable: no engine on this machine, or no image.
    """

    def __init__(
        self,
        *,
        lanes: int | None = None,
        walls: Walls | None = None,
        image: str | None = None,
        max_uses: int | None = MAX_USES,
        queue_seconds: float = QUEUE_SECONDS,
    ) -> None:
        self.lanes = check_lanes(lanes, 2 * (os.cpu_count() or 1))
        client = connect()
        self.walls = walls or Walls()
        self.image = docker_image.find(client) if image is None else image
        self._containers = _Containers(client, self.image, self.lanes, self.walls)
        self.pool_id = self._containers.pool_id
        super().__init__(
            self._containers, max_uses=max_uses, queue_seconds=queue_seconds, input_bytes=self.walls.work_bytes
        )


class _Containers:
    """Where the lanes come from."""

    where = "containers of this machine"

    def __init__(self, client: Any, image: str, lanes: int, walls: Walls) -> None:
        self._client, self._image, self._lanes, self._walls = client, image, lanes, walls
        self.pool_id = secrets.token_hex(4)
        self._folder = Path(tempfile.mkdtemp(prefix="rllava-lanes-"))
        self._started = 0
        self._reaped = False

    def wanted(self) -> int:
        return self._lanes

    def start(self) -> Lane:
        if not self._reaped:
            self._reap()
        self._started += 1
        folder = self._folder / str(self._started)
        try:
            folder.mkdir()
        except OSError as error:
            raise Lost(f"no folder can be made for a lane's socket: {error}") from None
        name = f"rllava-lane-{self.pool_id}-{self._started}"
        try:
            return DockerLane(self._client, self._image, name, folder, self._walls, labels(self.pool_id))
        finally:
            # The SDK keeps connections for each of the last 25 addresses, and a container's own is hardly asked again.
            self._client.close()

    def stop(self, lane: Lane) -> None:
        assert isinstance(lane, DockerLane)
        lane.remove()

    def describe(self, hello: Mapping[str, object]) -> dict[str, str]:
        runtime = f" under {self._walls.runtime}" if self._walls.runtime else ""
        return describe_contained(hello, f"docker, image {self._image}{runtime}")

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._client.close()

    def _reap(self) -> None:
        """Remove what dead trainers left, once."""
        try:
            reap(self._client)
        except failures() as error:
            raise Lost(f"the engine cannot be asked: {error}") from None
        self._reaped = True
