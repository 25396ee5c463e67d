"""A run's folder, read for a comparison: finished or as far as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from ..errors import RunDirectoryError
from ..run_directory import whole_lines

Scores = list[float | None]


@dataclass(frozen=True, eq=False)
class RunRecord:
    """What a run left.

    Attributes:
        config: The resolved options, nested as in config.yaml.
        metrics: The lines of metrics.jsonl, in order.
        report: What report.json holds; None while the run is not finished.
        before: Scores of each test task before training, by decoding; a task without a score is None.
        after: After training; empty while the run is not finished.
    """

    path: Path
    config: Mapping[str, Any]
    metrics: tuple[Mapping[str, Any], ...]
    report: Mapping[str, Any] | None
    before: Mapping[str, Scores]
    after: Mapping[str, Scores]

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def finished(self) -> bool:
        return self.report is not None

    @property
    def seed(self) -> int:
        return int(self.option("run.seed"))

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.metrics[-1]["step"]) if self.metrics else 0

    @property
    def steps(self) -> int:
        """Steps that the recipe asks for."""
        return int(self.option("optimizer.steps"))

    @property
    def metric(self) -> str | None:
        """The primary metric; None where no report names it yet."""
        rows = [] if self.report is None else self.report.get("rows", [])
        return str(rows[0]["metric"]) if rows else None

    def option(self, name: str) -> Any:
        """An option by its dotted name; None where an older configuration has no such option."""
        value: Any = self.config
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def series(self, key: str) -> list[tuple[int, float]]:
        """(step, value) wherever a line has a finite number."""
        found = [(line["step"], line.get(key)) for line in self.metrics]
        return [(step, float(value)) for step, value in found if value is not None and isfinite(value)]

    def episodes(self) -> dict[int, int]:
        """Episodes played for learning until the end of each step: groups times siblings, replaced groups included."""
        a_step = int(self.option("rollout.prompts_per_step")) * int(self.option("rollout.group_size"))
        total, found = 0, {0: 0}
        for line in self.metrics:
            total += round(a_step * (1 + float(line.get("resampled", 0.0))))
            found[line["step"]] = total
        return found


def read_run(path: Path) -> RunRecord:
    """Read a run's folder, which another process may be writing.

    Raises:
        RunDirectoryError: it is no run, or a file of it cannot be read; the message names the file.
    """
    if not path.is_dir():
        raise RunDirectoryError(f"{path}: no such folder; give the folders of runs, such as runs/NAME")
    if not (path / "config.yaml").exists():
        inside = sorted(found.parent.name for found in path.glob("*/config.yaml"))
        hint = f"; it holds runs: {path}/{{{','.join(inside)}}}" if inside else ""
        raise RunDirectoryError(f"{path}: not a run, there is no config.yaml in it{hint}")
    try:
        config = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))["config"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise RunDirectoryError(f"{path / 'config.yaml'}: cannot be read ({error})") from error
    report = _json(path / "report.json")
    record = RunRecord(
        path,
        config,
        tuple(json.loads(line) for line in whole_lines(path / "metrics.jsonl")),
        report,
        _json(path / "evaluations" / "before.json") or {},
        _json(path / "evaluations" / "after.json") or {},
    )
    needed = ("run.seed", "optimizer.steps", "env.id", "rollout.prompts_per_step", "rollout.group_size")
    if missing := [name for name in needed if record.option(name) is None]:
        raise RunDirectoryError(f"{path / 'config.yaml'}: no {', '.join(missing)}: not the configuration of a run")
    return record


def _json(path: Path) -> Any:
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"{path}: cannot be read ({error}); delete it, and the run writes it again") from error
    if not isinstance(found, dict):
        raise RunDirectoryError(f"{path}: expected a mapping, got {type(found).__name__}")
    return found
