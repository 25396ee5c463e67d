"""What tests of environments share."""

from __future__ import annotations

import pytest

from sandbox.opening import close_all


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a Docker Engine, whatever there is."""
    close_all()  # a sandbox that another test opened would still be there
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
