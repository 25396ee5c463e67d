"""Whole steps of our own loop, `agent.train.train`, over the bench's environment."""

from __future__ import annotations

import io
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from agent.config import (
    Config,
    EnvironmentConfig,
    EvaluationConfig,
    OptimizerConfig,
    RolloutConfig,
    RunConfig,
)
from agent.config_algorithm import AlgorithmConfig, CriticConfig
from agent.config_engine import EngineConfig
from agent.config_model import ModelConfig
from agent.interrupt import Interrupt
from agent.parts import Parts, build
from agent.progress import Progress
from agent.run_directory import RunDirectory
from agent.train import train

from .clock import Meter
from .counted import Shape
from .job import Job
from .models import digits_for, write_folder
from .world import ENV_ID, World

NEVER = 10**6
LR = 1e-6
FRAME = 36  # tokens of a short question with what stands around its picture


def config_of(job: Job, folder: Path) -> Config:
    """The recipe of a job; everything that is not named has its default. Writes the model's folder."""
    model = write_folder(Path(job.models or folder) / job.family, job.family)
    digits = digits_for(model, job.side, job.prompt)
    way: dict[str, Any] = {"sharing": "none"} if job.way == "plain" else {}
    rows = job.rows or job.prompts * job.group
    turn = (job.side // 28 + 1) ** 2 + 64 + job.tokens  # no shorter than a picture, its frame and an answer
    return Config(
        env=EnvironmentConfig(ENV_ID, {"side": job.side, "digits": digits, "turns": job.turns}),
        modules=["steps.world"],
        model=ModelConfig(
            path=str(model),
            dtype="auto" if job.device == "cuda" else "float32",
            device=job.device,
            torch_threads=1,
        ),
        rollout=RolloutConfig(
            prompts_per_step=job.prompts,
            group_size=job.group,
            max_turn_tokens=job.tokens,
            max_row_tokens=digits + job.turns * turn,
            max_turns=job.turns,
        ),
        algorithm=AlgorithmConfig(family=job.algorithm),
        critic=CriticConfig(trunk="shared"),
        optimizer=OptimizerConfig(
            steps=job.warm + job.measured,
            lr=LR,
            schedule="constant",
            micro_batch_tokens=rows * ((job.prompt or (job.side // 28) ** 2 + FRAME) + job.turns * job.tokens),
        ),
        evaluation=EvaluationConfig(validate_every=0, test_episodes=0),
        engine=EngineConfig(**way),
        run=RunConfig(name="run", folder=str(folder / "runs"), save_every=NEVER, record_every=NEVER),
    )


class Told(Progress):
    """Takes a lap at the end of each step, and keeps what the loop says of it."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.meter: Meter | None = None
        self.steps: list[dict[str, float]] = []

    def step(self, step: int, metrics: dict[str, float]) -> None:
        assert self.meter is not None
        self.meter.lap()
        self.steps.append(dict(metrics))


def whole_steps(job: Job, folder: Path) -> dict[str, Any]:
    """Seconds and memory of the steps of a run; of its episodes how many were trained on, and their mean length."""
    config = config_of(job, folder)
    parts = build(config, folder / "runs", None)
    directory, told = RunDirectory(config), Told()
    told.meter = Meter(job.device)
    train(config, parts, directory, 0, told, Interrupt())
    found = told.meter.told(job.warm)
    directory.close()
    parts.close()
    return found | described(told.steps[job.warm :], parts)


def described(steps: list[dict[str, float]], parts: Parts) -> dict[str, Any]:
    return sizes_of(parts) | {
        "trained": statistics.mean(step["taught"] for step in steps),
        "length": statistics.mean(step["episode_tokens"] for step in steps),
        "gap": max(step["gap/largest"] for step in steps),
    }


def sizes_of(parts: Parts) -> dict[str, Any]:
    """What operations are counted from: tokens of a prompt and of its picture, and the shape of a Qwen2-VL."""
    kwargs, model = parts.config.env.kwargs, parts.vlm.model
    observation, _ = World(kwargs["side"], kwargs["digits"]).reset(seed=0)
    prompt = parts.renderer.prompt(observation["text"], observation["images"])
    return {
        "prompt": len(prompt.token_ids),
        "image_tokens": prompt.images[0].length,
        "shape": asdict(Shape.of(model.config)) if parts.vlm.family == "qwen2_vl" else None,
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }
