"""A sandbox of a command's own, with as many lanes as it wants."""

from __future__ import annotations

from ..contract import Sandbox
from ..opening import open_sandbox


def open_lanes(name: str, lanes: int | None) -> Sandbox:
    """A sandbox by its name. lanes: how many, where they are ours to choose; None for as many as there would be. A
    chosen number is also kept: containers are then not replaced after a number of uses.

    Raises:
        RequestError, Unavailable: see `open_sandbox`.
    """
    if lanes is not None and name == "local":
        from ..local import LocalSandbox

        return LocalSandbox(lanes=lanes)
    if lanes is not None and name == "docker":
        from ..docker_pool import DockerSandbox

        return DockerSandbox(lanes=lanes, max_uses=None)
    return open_sandbox(name)
