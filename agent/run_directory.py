"""A run on disk: one folder that says what ran, what came of it, and how to go on."""

from __future__ import annotations

import fcntl
import json
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import yaml
from torch.utils.tensorboard import SummaryWriter

from .config import Config
from .engine.checkpoint import latest_checkpoint
from .errors import RunDirectoryError

# Options that may change between a run and its continuation: they do not change what is computed.
FREE = {"run.keep", "run.save_every", "run.folder", "rollout.threads"}
LIBRARIES = ("torch", "transformers", "trl", "gymnasium", "numpy", "pillow")


class RunDirectory:
    """`runs/NAME/`, opened for writing by one process.

    Raises:
        RunDirectoryError: it holds a run of another configuration, or another process is writing it.
    """

    def __init__(self, config: Config) -> None:
        self.path = Path(config.run.folder) / config.run.name
        self.checkpoints = self.path / "checkpoints"
        self.rollouts = self.path / "rollouts"
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = self._locked()
        self._compare(asdict(config))
        self._metrics: IO[str] | None = None
        self._tensorboard: SummaryWriter | None = None

    @property
    def latest(self) -> Path | None:
        return latest_checkpoint(self.checkpoints)

    def begin(self, step: int) -> None:
        """Continue the logs after `step`: lines of later steps, written by a run that was cut off, are removed."""
        path = self.path / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if _step(line) is not None and _step(line) <= step]
        path.write_text("".join(line + "\n" for line in kept))
        self._metrics = path.open("a")
        self._tensorboard = SummaryWriter(str(self.path / "tensorboard"), purge_step=step + 1)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """One line of metrics.jsonl, and the same numbers for TensorBoard."""
        assert self._metrics is not None and self._tensorboard is not None, "begin() comes first"
        self._metrics.write(json.dumps({"step": step, **metrics}) + "\n")
        self._metrics.flush()
        for name, value in metrics.items():
            self._tensorboard.add_scalar(name, value, step)

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def write_json(self, name: str, value: object) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(value, indent=1))
        partial.replace(path)
        return path

    def read_json(self, name: str) -> Any | None:
        path = self.path / name
        return json.loads(path.read_text()) if path.exists() else None

    def close(self) -> None:
        if self._tensorboard is not None:
            self._tensorboard.close()
        if self._metrics is not None:
            self._metrics.close()
        self._lock.close()

    def _locked(self) -> IO[str]:
        lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise RunDirectoryError(
                f"{self.path} is being written by another process; wait for it, or choose another --run.name"
            ) from None
        return lock

    def _compare(self, config: dict[str, Any]) -> None:
        path = self.path / "config.yaml"
        if path.exists():
            earlier = yaml.safe_load(path.read_text())
            changed = {
                name: (old, new)
                for name, (old, new) in _differences(earlier["config"], json.loads(json.dumps(config))).items()
                if name not in FREE
            }
            if changed:
                lines = [f"  {name}: was {old!r}, now {new!r}" for name, (old, new) in changed.items()]
                raise RunDirectoryError(
                    f"{self.path} holds a run of another configuration:\n" + "\n".join(lines) + "\n"
                    "Use the same options to continue it, another --run.name for a new run, or delete the folder."
                )
            return
        versions = {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
        partial = path.with_suffix(".partial")
        plain = json.loads(json.dumps(config))
        partial.write_text(yaml.safe_dump({"config": plain, "versions": versions}, sort_keys=False))
        partial.replace(path)


def _step(line: str) -> int | None:
    """The step of a line, or None for one that a killed process left half-written."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError):
        return None


def _differences(old: Any, new: Any, name: str = "") -> dict[str, tuple[Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in [*old, *(key for key in new if key not in old)]:
            found |= _differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
        return found
    return {} if old == new else {name: (old, new)}
