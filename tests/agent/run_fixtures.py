"""What tests of whole runs share: an environment that a random policy already scores in, and recipes of seconds."""

import atexit
import io
import os
import resource
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from rich.console import Console

from agent.config import (
    AlgorithmConfig,
    CheckConfig,
    ColdStartConfig,
    Config,
    EnvironmentConfig,
    EvaluationConfig,
    FailuresConfig,
    OptimizerConfig,
    RolloutConfig,
    RunConfig,
)
from agent.config_engine import EngineConfig
from agent.config_model import ModelConfig, TinyShape
from agent.engine.ranks import join
from agent.model.load import VLM, load_vlm
from agent.model.tiny import make_tiny_vlm
from agent.rollout.render import Renderer
from agent.types import Row, SampledWith, Segment

SHAPE = TinyShape(hidden=32, feed_forward=64, layers=1, vision_layers=1, vocabulary=300)
SPLITS = ("train", "validation", "test")
TASKS = 50


class Hooks:
    """What a test does while a run goes on: `step` is called with the number of environment steps so far, each once."""

    step: ClassVar[Callable[[int], None] | None] = None
    steps: ClassVar[int] = 0
    lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def set(cls, step: Callable[[int], None] | None) -> None:
        cls.step, cls.steps = step, 0

    @classmethod
    def count(cls) -> None:
        with cls.lock:
            cls.steps += 1
            now = cls.steps
        if cls.step is not None:
            cls.step(now)


class BrokenSandboxError(Exception):
    infrastructure_failure = True


class Parity(gymnasium.Env[dict[str, Any], str]):
    """Two turns; each pays the share of characters with an even code point. A random policy gets scores that differ, so
    that there is something to learn from in the very first step.

    fault: "raise", "nan" (in worlds whose seed is divisible by 3), "sandbox" (in turns of odd length),
    "always sandbox", "constant" (every turn pays the same), "odd worlds" (so in worlds of an odd seed).
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}
    primary_metric: ClassVar[str] = "evenness"
    observation_space = spaces.Dict(
        {"text": spaces.Text(64), "images": spaces.Sequence(spaces.Box(0, 255, (28, 28, 3), np.uint8))}
    )
    action_space = spaces.Text(100_000)

    def __init__(self, split: str = "train", turns: int = 2, fault: str = "") -> None:
        if split not in SPLITS:
            raise ValueError(f"split={split!r} is not one of {SPLITS}")
        self.split, self.turns, self.fault = split, turns, fault

    def num_tasks(self, split: str | None = None) -> int:
        return TASKS

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict]:
        self.seed = int(seed or 0)
        task = (options or {}).get("task", self.seed % TASKS)
        self.turn, self.shares = 0, []
        self.picture = np.random.default_rng([SPLITS.index(self.split), task]).integers(0, 256, (28, 28, 3), np.uint8)
        return {"text": f"even {task}", "images": (self.picture,)}, {}

    def step(self, action: str) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        Hooks.count()
        if self.fault == "raise" and self.seed % 3 == 0:
            raise RuntimeError("the author forgot something")
        if self.fault == "always sandbox" or (self.fault == "sandbox" and len(action) % 2):
            raise BrokenSandboxError("the container is gone")
        share = sum(ord(character) % 2 == 0 for character in action) / max(1, len(action))
        if self.fault == "constant" or (self.fault == "odd worlds" and self.seed % 2):
            share = 0.5
        self.shares.append(share)
        self.turn += 1
        reward = float("nan") if self.fault == "nan" and self.seed % 3 == 0 else share
        evenness = sum(self.shares) / self.turns
        info = {"rewards": {"evenness": share}, "metrics": {"evenness": evenness}, "tags": {"seed": self.seed % 2}}
        return {"text": "more", "images": ()}, reward, self.turn >= self.turns, False, info

    def solve(self) -> list[str]:
        return ["bdfh"] * self.turns

    def baseline(self, name: str, rng: np.random.Generator) -> str:
        if name not in ("constant", "random"):
            raise ValueError(f"{name!r} is not a baseline; there are constant and random")
        return "a" if name == "constant" else "".join(map(chr, rng.integers(97, 123, 4)))


gymnasium.register("Test/Parity-v0", Parity)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The operating system refuses to write more than `size` bytes into any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def disk_of_one_mib(folder: Path) -> Iterator[None]:
    """A file system that is soon full, where the tests may make one; elsewhere the test is skipped."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small file system here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


# RLLAVA_ENGINE=fsdp2 runs every test of a small recipe on that train engine, in a group of one process.
ENGINE = EngineConfig(train=os.environ.get("RLLAVA_ENGINE", "local"))  # type: ignore[arg-type]
if ENGINE.train == "fsdp2":
    join(ENGINE.train)


def small_config(folder: Path, name: str = "run", /, **areas: dict[str, Any]) -> Config:
    """A run of seconds; `areas` change options, as in optimizer={"steps": 5}."""
    config = Config(
        env=EnvironmentConfig("Test/Parity-v0"),
        modules=["tests.agent.run_fixtures"],
        model=ModelConfig(path=str(tiny_folder()), tiny=SHAPE, device="cpu", dtype="float32"),
        cold_start=ColdStartConfig(),
        rollout=RolloutConfig(
            prompts_per_step=2, group_size=3, max_turn_tokens=5, max_row_tokens=64, max_turns=2, threads=2
        ),
        algorithm=AlgorithmConfig(),
        optimizer=OptimizerConfig(steps=3, lr=3e-3, micro_batch_tokens=256),
        evaluation=EvaluationConfig(validate_every=2, validation_episodes=2, test_episodes=4, sampled=False),
        check=CheckConfig(),
        failures=FailuresConfig(max_share=1.0, wait=0.0),  # a test that breaks all episodes is about something else
        engine=ENGINE,
        run=RunConfig(name, str(folder), save_every=1, record_every=1),
    )
    return replace(config, **{area: replace(getattr(config, area), **options) for area, options in areas.items()})


def quiet() -> tuple[Console, io.StringIO]:
    """A console and what it was told."""
    told = io.StringIO()
    return Console(file=told, width=300), told


def weights(run: Path, step: int) -> bytes:
    return (run / "checkpoints" / f"step_{step}" / "model.safetensors").read_bytes()


@cache
def tiny_folder() -> Path:
    """A tiny checkpoint, made once."""
    folder = Path(tempfile.mkdtemp(prefix="tiny_model_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_tiny_vlm(folder, ["even odd more"], 0, SHAPE)


def tiny_vlm() -> VLM:
    """A fresh copy of the tiny model, to be changed at will."""
    return load_vlm(tiny_folder())


def sampled_rows(renderer: Renderer, lengths: list[tuple[int, int]], seed: int = 0) -> list[Row]:
    """Rows of two turns whose actions have these lengths: prompt with a picture, action, observation, action."""
    rng = np.random.default_rng(seed)
    rows = []
    for turns in lengths:
        picture = rng.integers(0, 256, (28, 28, 3), np.uint8)
        row = Row((renderer.prompt("even " * int(rng.integers(1, 4)), (picture,)),))
        for turn, length in enumerate(turns):
            if turn:
                row = row.append(renderer.observation("more", (), turn, True))
            tokens = tuple(int(token) for token in rng.integers(0, 200, length))
            drawn = SampledWith(1.0, renderer.processor.banned_ids, length, 0, 0, "length")
            row = row.append(Segment("action", tokens, turn, (), (-1.0,) * length, drawn, 0.0))
        rows.append(row)
    return rows
