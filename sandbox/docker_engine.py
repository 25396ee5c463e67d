"""Reaching a Docker Engine, and saying plainly why it cannot be reached."""

from __future__ import annotations

import importlib
import os
from typing import Any

from .errors import Unavailable

REPOSITORY = "rllava-gym-sandbox"
LABEL = "rllava-gym.sandbox"
SECONDS = 60.0  # for one request; starting a container on a busy machine is the longest

_INSTEAD = (
    'Nothing is taken in its place by itself. sandbox="local" runs programs as processes of this machine, with limits '
    "but without walls that hold against hostile code: choose it for code that you would run yourself."
)


def sdk() -> Any:
    """The module `docker`. Raises Unavailable, with what to install."""
    try:
        return importlib.import_module("docker")
    except ImportError as error:
        raise Unavailable(
            f"sandbox=\"docker\" needs the Docker SDK ({error}): pip install 'rllava-gym[sandbox]'. {_INSTEAD}"
        ) from None


def connect(seconds: float = SECONDS) -> Any:
    """A client of the engine on this machine, which answered just now.

    Raises:
        Unavailable: no engine, not on this machine, or none that this user may use; the message says what was tried.
    """
    docker = sdk()
    where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        client = docker.from_env(timeout=seconds)
        client.ping()
    except failures() as error:
        raise Unavailable(
            f'sandbox="docker" is not available: no engine answers at {where} (DOCKER_HOST names another): {error}. '
            f"{_INSTEAD}"
        ) from None
    if not str(client.api.base_url).startswith("http+docker://"):
        raise Unavailable(
            f'sandbox="docker" needs an engine on this machine, as lanes are reached over sockets in its folders; '
            f'DOCKER_HOST is {where}. Run the sandbox service there, and name it: sandbox="http://HOST:PORT". '
            f"{_INSTEAD}"
        )
    return client


def failures() -> tuple[type[Exception], ...]:
    """Every exception with which the SDK says that the engine failed or is gone."""
    docker, requests = sdk(), importlib.import_module("requests")
    return (docker.errors.DockerException, requests.exceptions.RequestException, OSError)
