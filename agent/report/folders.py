"""What lies in a folder that the page shows: a run's, finished or not, or an evaluation's."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from ..errors import ConfigError
from .tokens import visible
from .transcripts import RecordFile, mapping


@dataclass(frozen=True)
class Folder:
    """A folder as it was read.

    Attributes:
        title: What the page calls it.
        kind: "run" or "evaluation".
        report: report.json of a run, results.json of an evaluation; empty where it is not there yet.
        config: The run's configuration, or the evaluation's settings; `versions`: the libraries it ran with.
        metrics: The lines of metrics.jsonl that are whole.
        notes: What could not be read, in words.
    """

    path: Path
    title: str
    kind: Literal["run", "evaluation"]
    files: tuple[RecordFile, ...]
    report: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    def setting(self, name: str) -> Any:
        """A field of the configuration by its dotted name; None where there is no such field."""
        value: Any = self.config
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def kind_of(path: Path) -> Literal["run", "evaluation"] | None:
    """What a folder holds, by the names of its files; None where it is neither's."""
    if any((path / name).exists() for name in ("config.yaml", "metrics.jsonl", "rollouts", "evaluations")):
        return "run"
    if any((path / name).exists() for name in ("results.json", "settings.json", "episodes")):
        return "evaluation"
    return None


def read_folder(path: Path, tail: int | None = None) -> Folder:
    """Read everything but the trajectories.

    Args:
        tail: Of metrics.jsonl, the bytes at its end that are read; all of them if not given.

    Raises:
        ConfigError: there is no such folder, or it is neither a run's nor an evaluation's.
    """
    if not path.is_dir():
        raise ConfigError(f"{path}: no such folder; give a run's (runs/NAME) or an evaluation's")
    kind = kind_of(path)
    if kind is not None:
        return read_run(path, tail=tail) if kind == "run" else _read_evaluation(path)
    raise ConfigError(
        f"{path}: neither a run (with config.yaml, metrics.jsonl, rollouts or evaluations) nor an evaluation (with "
        "settings.json, results.json or episodes)"
    )


def read_run(path: Path, report: Mapping[str, Any] | None = None, tail: int | None = None) -> Folder:
    """Read a run's folder; `report`: what report.json will hold, where it is not written yet; `tail`: as above."""
    notes: list[str] = []
    recorded = mapping(_yaml(path / "config.yaml", notes))
    config = mapping(recorded.get("config"))
    found = dict(mapping(_json(path / "report.json", notes)) if report is None else report)
    if "phases" not in found and (seconds := mapping(_json(path / "seconds.json", notes))):
        found["phases"] = seconds
    if "cold_start_steps" not in found:
        found |= {"cold_start_steps": mapping(_json(path / "cold_start.json", notes)).get("steps")}
    files = [
        RecordFile(file, file.stem, "evaluation", None, f"evaluations/{file.name}")
        for file in sorted((path / "evaluations").glob("*.jsonl"))
    ]
    files += [
        RecordFile(file, file.stem, "rollout", _step(file.stem), f"rollouts/{file.name}")
        for file in sorted((path / "rollouts").glob("step_*.jsonl"))
    ]
    title = mapping(config.get("run")).get("name") or path.resolve().name
    metrics = _metrics(path / "metrics.jsonl", notes, tail)
    versions = mapping(recorded.get("versions"))
    return Folder(path, visible(title, 80), "run", tuple(files), found, config, versions, tuple(metrics), tuple(notes))


def _read_evaluation(path: Path) -> Folder:
    notes: list[str] = []
    settings = mapping(_json(path / "settings.json", notes))
    results = mapping(_json(path / "results.json", notes))
    files = tuple(
        RecordFile(file, file.stem, "evaluation", None, f"episodes/{file.name}")
        for file in sorted((path / "episodes").glob("*.jsonl"))
    )
    versions = mapping(settings.get("versions"))
    config = {name: value for name, value in settings.items() if name != "versions"}
    title = visible(path.resolve().name, 80)
    return Folder(path, title, "evaluation", files, results, config, versions, (), tuple(notes))


def _step(stem: str) -> int | None:
    digits = stem.removeprefix("step_")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 12 else None


def _json(path: Path, notes: list[str]) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else None
    except (OSError, ValueError, RecursionError) as error:
        notes.append(f"{path.name} cannot be read: {visible(error)}")
        return None


def _yaml(path: Path, notes: list[str]) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        notes.append(f"{path.name} cannot be read: {visible(error)}")
        return None


def _metrics(path: Path, notes: list[str], tail: int | None) -> list[Mapping[str, Any]]:
    try:
        lines = _ending(path, tail) if path.exists() else []
    except OSError as error:
        notes.append(f"{path.name} cannot be read: {visible(error)}")
        return []
    whole = [line for line in map(_line, lines) if line is not None]
    if broken := sum(1 for line in lines if line.strip()) - len(whole):
        notes.append(f"{path.name}: {broken} broken {'line was' if broken == 1 else 'lines were'} skipped")
    return whole


def _ending(path: Path, tail: int | None) -> list[str]:
    """The lines of a file; those that are whole, if no more than its last `tail` bytes are asked for."""
    with path.open("rb") as file:
        start = 0 if tail is None else max(0, os.fstat(file.fileno()).st_size - tail)
        file.seek(start)
        text = file.read().decode("utf-8", "replace")
    if tail is not None:  # somebody may be writing the last one just now
        text = text[: text.rfind("\n") + 1]
    return text.splitlines()[1:] if start else text.splitlines()


def _line(text: str) -> Mapping[str, Any] | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    step = line.get("step") if isinstance(line, dict) else None
    return line if isinstance(step, int) and not isinstance(step, bool) and abs(step) < 2**53 else None
