"""A run on disk: one folder that says what ran, what came of it, and how to go on."""

from __future__ import annotations

import fcntl
import json
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import yaml

from .config import Config
from .engine.checkpoint import latest_checkpoint
from .engine.ranks import ALONE, Ranks
from .errors import RunDirectoryError
from .tracking.samples import Sample
from .tracking.tracker import Tracker
from .tracking.trackers import check_installed, open_trackers

# Options that may change between a run and its continuation: they do not change what is computed.
FREE = {
    "run.name",
    "run.folder",
    "run.keep",
    "run.save_every",
    "run.record_every",
    "run.trackers",
    "run.project",
    "rollout.threads",
    "check.max_gap",
    "check.on_failure",
    "failures.max_share",
    "failures.retries",
    "failures.wait",
}
LIBRARIES = ("torch", "transformers", "trl", "gymnasium", "numpy", "pillow")


class RunDirectory:
    """`runs/NAME/`, opened for writing by one process.

    Raises:
        RunDirectoryError: it holds a run of another configuration, another process is writing it, or it cannot be
            written (also later, from `log` and `write_json`: a full disk).
        ConfigError: a tracker that the recipe names is not installed.
    """

    def __init__(self, config: Config, ranks: Ranks = ALONE, warn: Callable[[str], None] | None = None) -> None:
        """ranks: The processes of the run. The first alone reads and writes; the others are told what it read.
        warn: Told of trackers that fail."""
        check_installed(config.run.trackers)
        self.ranks = ranks
        self._config = config
        self._warn = warn or (lambda message: print(message, file=sys.stderr))
        self.path = Path(config.run.folder) / config.run.name
        self.checkpoints = self.path / "checkpoints"
        self.rollouts = self.path / "rollouts"
        self._lock: IO[str] | None = None
        self._metrics: IO[str] | None = None
        self._trackers: list[Tracker] = []
        if not ranks.first:
            return
        with self._writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
        try:
            self._compare(asdict(config))
        except BaseException:
            self._lock.close()
            raise

    @property
    def latest(self) -> Path | None:
        return self.ranks.told(latest_checkpoint(self.checkpoints) if self.ranks.first else None)

    def begin(self, step: int) -> None:
        """Continue the logs after `step`: lines of later steps, written by a run that was cut off, are removed."""
        if not self.ranks.first:
            return
        path = self.path / "metrics.jsonl"
        kept = [line for line in whole_lines(path) if json.loads(line)["step"] <= step]
        self._write(path, "".join(line + "\n" for line in kept))
        self._metrics = path.open("a")
        with self._writing(self.path):
            self._trackers = open_trackers(self._config.run, self.path, step, _plain(asdict(self._config)), self._warn)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """One line of metrics.jsonl, and the same numbers for TensorBoard and other trackers."""
        if not self.ranks.first:
            return
        assert self._metrics is not None, "begin() comes first"
        with self._writing(self.path / "metrics.jsonl"):
            self._metrics.write(json.dumps({"step": step, **metrics}) + "\n")
            self._metrics.flush()
            for tracker in self._trackers:
                tracker.log(step, metrics)

    def show(self, step: int, samples: Sequence[Sample]) -> None:
        """A few trajectories for the trackers. Raises OSError where TensorBoard's file cannot be written."""
        for tracker in self._trackers:
            tracker.trajectories(step, samples)

    def report(self, report: Mapping[str, Any]) -> None:
        """The results for the trackers, once the run is finished."""
        with self._writing(self.path):
            for tracker in self._trackers:
                tracker.report(report)

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl, without what a killed process left half-written."""
        return [json.loads(line) for line in whole_lines(self.path / "metrics.jsonl")]

    def write_json(self, name: str, value: object) -> Path:
        return self._write(self.path / name, json.dumps(value, indent=1))

    def read_json(self, name: str) -> Any | None:
        path = self.path / name
        there = self.ranks.first and path.exists()
        return self.ranks.told(json.loads(path.read_text()) if there else None)

    def close(self) -> None:
        for logs in (*self._trackers, self._metrics):
            with suppress(OSError):  # what a full disk did not take was told by `log`
                if logs is not None:
                    logs.close()
        self._trackers = []
        if self._lock is not None:
            self._lock.close()

    def _write(self, path: Path, text: str) -> Path:
        """The whole text or, whatever happens meanwhile, what was there before."""
        if not self.ranks.first:
            return path
        partial = path.with_name(f".{path.name}.partial")
        with self._writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(text)
            partial.replace(path)
        return path

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunDirectoryError(
                f"{path} cannot be written ({error.strerror}); free some space or choose another --run.folder, then "
                "start the same command again: it continues from the newest checkpoint"
            ) from error

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
            try:
                earlier = yaml.safe_load(path.read_text())["config"]
            except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
                raise RunDirectoryError(
                    f"{path} cannot be read ({error}), so nobody knows what this run is; use another --run.name"
                ) from error
            changed = {
                name: (old, new)
                for name, (old, new) in _differences(earlier, _plain(config)).items()
                if name not in FREE and not name.startswith("engine.")  # where it runs: the same, up to rounding
            }
            if changed:
                lines = [f"  {name}: was {old!r}, now {new!r}" for name, (old, new) in changed.items()]
                raise RunDirectoryError(
                    f"{self.path} holds a run of another configuration:\n" + "\n".join(lines) + "\n"
                    "Use the same options to continue it, another --run.name for a new run, or delete the folder."
                )
            return
        versions = {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
        self._write(path, yaml.safe_dump({"config": _plain(config), "versions": versions}, sort_keys=False))


def _plain(config: dict[str, Any]) -> Any:
    """What can be written and read back as it is: a date in an environment's arguments is compared by its text."""
    return json.loads(json.dumps(config, default=str))


def whole_lines(path: Path) -> list[str]:
    """Whole lines of a metrics file: a killed process or a full disk may have left the last one half-written."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return [line for line in lines if _whole(line)]


def _whole(line: str) -> bool:
    try:
        return isinstance(json.loads(line)["step"], int)
    except (ValueError, KeyError, TypeError):
        return False


def _differences(old: Any, new: Any, name: str = "") -> dict[str, tuple[Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in [*old, *(key for key in new if key not in old)]:
            found |= _differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
        return found
    return {} if old == new else {name: (old, new)}
