"""Tiny models of every family, with published special tokens and chat templates; environments from a script."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from agent.model.load import VLM, load_vlm
from agent.rollout.environments import EnvironmentPool, EnvironmentSpec
from agent.rollout.render import Renderer
from tests.agent import checkpoints
from tests.agent.checkpoints import (
    CODE_CONTROL,
    FORGETFUL_TEMPLATE,
    QWEN2_TEMPLATE,
    QWEN3_TAGS,
    QWEN3_TEMPLATE,
    SPECIAL,
    TOOL_TAGS,
)

torch.set_num_threads(1)


class ScriptedEnvironment(gymnasium.Env[dict[str, Any], str]):
    """Answers from a list: the first entry is what reset gives, each later one what a step gives.

    An entry may be a function of the action, and an exception is raised. `actions` are those of the current episode.
    """

    def __init__(self, script: Callable[[int | None, int | None], Sequence[Any]]) -> None:
        self.observation_space = spaces.Dict({"text": spaces.Text(99), "images": spaces.Sequence(spaces.Discrete(1))})
        self.action_space = spaces.Text(99)
        self.script = script
        self.actions: list[str] = []
        self.closed = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.actions = []
        self._answers = iter(self.script(seed, (options or {}).get("task")))
        return self._next("")

    def step(self, action: str) -> Any:
        self.actions.append(action)
        return self._next(action)

    def close(self) -> None:
        self.closed = True

    def _next(self, action: str) -> Any:
        answer = next(self._answers)
        answer = answer(action) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(scope="session")
def templates() -> dict[str, str]:
    """Chat templates: "qwen2", "qwen3", and "forgetful", which drops thoughts of earlier turns."""
    return {"qwen2": QWEN2_TEMPLATE, "qwen3": QWEN3_TEMPLATE, "forgetful": FORGETFUL_TEMPLATE}


@pytest.fixture(scope="session")
def published_tokens() -> dict[str, tuple[str, ...]]:
    """What the families' tokenizers add to their vocabulary: "control" tokens and, not special, "words"."""
    return {"control": SPECIAL + CODE_CONTROL, "words": TOOL_TAGS + QWEN3_TAGS}


@pytest.fixture(scope="session")
def write_checkpoint() -> Callable[..., Path]:
    return checkpoints.write_checkpoint


@pytest.fixture(scope="session")
def load_family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], VLM]:
    """The session's model of a family; a test that changes its weights puts them back."""
    loaded: dict[str, VLM] = {}

    def load(family: str) -> VLM:
        if family not in loaded:
            loaded[family] = load_vlm(checkpoints.write_checkpoint(tmp_path_factory.mktemp(family), family))
            loaded[family].model.eval()
        return loaded[family]

    return load


@pytest.fixture(params=["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def vlm(family: str, load_family: Callable[[str], VLM]) -> VLM:
    """A model of each family in turn."""
    return load_family(family)


@pytest.fixture
def renderer(vlm: VLM) -> Renderer:
    return Renderer(vlm.processor)


@pytest.fixture(scope="session")
def one_vlm(load_family: Callable[[str], VLM]) -> VLM:
    """A model of one family, for what does not depend on it."""
    return load_family("qwen2_5_vl")


@pytest.fixture
def one_renderer(one_vlm: VLM) -> Renderer:
    return Renderer(one_vlm.processor)


@pytest.fixture(scope="session")
def pool_of() -> Callable[..., EnvironmentPool]:
    """A pool of environments that answer from `script(seed, task)`."""

    def make(
        script: Callable[[int | None, int | None], Sequence[Any]], id: str = "Test/Scripted-v0"
    ) -> EnvironmentPool:
        return EnvironmentPool(EnvironmentSpec(id), lambda spec: ScriptedEnvironment(script))

    return make


@pytest.fixture(scope="session")
def picture() -> Callable[..., np.ndarray]:
    """uint8 noise of a given size."""

    def make(height: int, width: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    return make
