"""A tiny checkpoint on disk, and the environments of these tests."""

from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest

from tests.agent.bridges.trl_environments import register, write_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(autouse=True)
def environments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    before = set(gymnasium.registry)
    register()
    yield
    for new in set(gymnasium.registry) - before:
        del gymnasium.registry[new]
