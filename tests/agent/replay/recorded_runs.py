"""Small runs that have recorded every step, and what a replay says of them."""

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from agent.config import Config
from agent.interrupt import Interrupt
from agent.parts import build
from agent.progress import Progress
from agent.replay.run_folder import open_run
from agent.replay.step import Replayer, StepAgain
from agent.run_directory import RunDirectory
from agent.train import save, train
from tests.agent.run_fixtures import small_config


def recorded_run(folder: Path, **areas: dict[str, Any]) -> Path:
    """A run of two steps, both recorded; returns its folder."""
    options = {"evaluation": {"validate_every": 0}, "optimizer": {"steps": 2}, **areas}
    return trained(small_config(folder, **options))


def trained(config: Config) -> Path:
    """Train by the loop alone, without tests before and after; returns the run's folder."""
    parts = build(config, Path(config.run.folder), None)
    directory, progress = RunDirectory(config), Progress(Console(file=io.StringIO()))
    try:
        save(config, parts, directory, 0)
        train(config, parts, directory, 0, progress, Interrupt())
    finally:
        progress.stop()
        directory.close()
        parts.close()
    return directory.path


def replayed(run: Path) -> list[StepAgain]:
    """Every recorded step, gone through again."""
    folder = open_run(run)
    replayer = Replayer(folder)
    return [replayer.replay(folder.read(step)) for step in folder.steps]


def told(found: list[StepAgain]) -> list[str]:
    """All that is not equal or was not checked, in words."""
    return [
        *(f"step {one.step}: {difference}" for one in found for difference in one.differences),
        *(f"step {one.step}: {part} not checked: {reason}" for one in found for part, reason in one.unchecked.items()),
    ]
