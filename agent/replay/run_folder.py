"""What a run's folder has that a replay needs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from ..cli import config_of
from ..config import Config
from ..engine.checkpoint import latest_checkpoint
from ..errors import RunDirectoryError
from ..model.load import load_processor
from ..model.processor import Processor
from ..records import read_trajectories
from ..types import Trajectory
from .recording import Circumstances, read_tensors

STEP = re.compile(r"step_(\d+)\.jsonl")
Recorded = tuple[Trajectory, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class RecordedStep:
    """One step as its files have it.

    Attributes:
        step: Its number; 1 is the first.
        episodes: Its trajectories with all that was recorded of them.
        greedy: The greedy episode of each group's task, where the algorithm has such; None: none was recorded.
        shares: The tensors of each process; None: none were recorded.
        around: The circumstances, with `shares`.
        unreadable: Why the tensors cannot be read, if they cannot.
        logged: The step's line of metrics.jsonl; None: there is none.
    """

    step: int
    episodes: list[Recorded]
    greedy: list[Recorded] | None
    shares: list[dict[str, Tensor]] | None
    around: Circumstances | None
    unreadable: str
    logged: Mapping[str, Any] | None


@dataclass(frozen=True, eq=False)
class RunFolder:
    """A run's folder, opened for reading; the run may still go on."""

    path: Path
    config: Config

    @property
    def rollouts(self) -> Path:
        return self.path / "rollouts"

    @property
    def steps(self) -> list[int]:
        """The recorded steps."""
        found = (STEP.fullmatch(path.name) for path in self.rollouts.glob("step_*.jsonl"))
        return sorted(int(match[1]) for match in found if match)

    def processor(self) -> Processor:
        """Tokenizer, image processor and template of the run's model: from a checkpoint, or from where it began.

        Raises:
            RunDirectoryError: neither is there.
            CheckpointError: what is there cannot be used.
        """
        candidates = [latest_checkpoint(self.path / "checkpoints"), self.path / "initial_model"]
        candidates.append(Path(self.config.model.path))
        for folder in candidates:
            if folder is not None and (folder / "config.json").exists():
                return load_processor(folder)
        raise RunDirectoryError(
            f"{self.path} has no checkpoint and no initial_model, and {self.config.model.path} is no folder here: "
            "without the model's tokenizer nothing can be replayed. Copy the tokenizer's and processor's files and "
            f"config.json (no weights are needed) to {self.path / 'initial_model'}"
        )

    def read(self, step: int) -> RecordedStep:
        """The files of a recorded step.

        Raises:
            RunDirectoryError: its trajectories are not there or cannot be read.
        """
        name = f"{step:06d}"
        tensors, greedy = self.rollouts / f"step_{name}.safetensors", self.rollouts / f"greedy_{name}.jsonl"
        shares, around, unreadable = None, None, ""
        if tensors.exists():
            try:
                shares, around = read_tensors(tensors)
            except ValueError as error:
                unreadable = str(error)
        return RecordedStep(
            step,
            _trajectories(self.rollouts / f"step_{name}.jsonl"),
            _trajectories(greedy) if greedy.exists() else None,
            shares,
            around,
            unreadable,
            self._logged(step),
        )

    def _logged(self, step: int) -> Mapping[str, Any] | None:
        path = self.path / "metrics.jsonl"
        for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
            try:
                found = json.loads(line)
            except ValueError:  # a killed process may have left its last line half-written
                continue
            if isinstance(found, dict) and found.get("step") == step:
                return found
        return None


def open_run(path: Path) -> RunFolder:
    """A run's folder.

    Raises:
        RunDirectoryError: it is none, or its configuration cannot be read.
        ConfigError: the configuration is of another version.
    """
    file = path / "config.yaml"
    if not file.exists():
        near = Path("runs") / path
        hint = f"; did you mean {near}?" if (near / "config.yaml").exists() else ""
        raise RunDirectoryError(f"{path} is no run's folder: it has no config.yaml{hint}")
    try:
        content = yaml.safe_load(file.read_text())["config"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise RunDirectoryError(f"{file} cannot be read ({error}), so nobody knows what this run is") from error
    return RunFolder(path, config_of(content, file))


def _trajectories(path: Path) -> list[Recorded]:
    try:
        if found := list(read_trajectories(path)):
            return found
    except FileNotFoundError:
        raise RunDirectoryError(f"{path} is not there: the step was not recorded") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(f"{path} cannot be read ({type(error).__name__}: {error}); it is damaged") from error
    raise RunDirectoryError(f"{path} is empty: no trajectory was recorded")
