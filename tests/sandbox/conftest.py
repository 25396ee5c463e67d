"""A real engine for the tests that need one."""

from __future__ import annotations

import os
from typing import Any

import pytest

from sandbox import docker_image
from sandbox.docker_engine import connect
from sandbox.errors import Unavailable

REQUIRE = "RLLAVA_REQUIRE_DOCKER"


@pytest.fixture(scope="session")
def engine() -> Any:
    """A client of the engine, which has the image of the files here. Without, tests skip; or fail where required."""
    try:
        client = connect()
        docker_image.find(client)
    except Unavailable as error:
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"{REQUIRE}=1, and {error}")
        pytest.skip(f"no Docker: {error}")
    return client
