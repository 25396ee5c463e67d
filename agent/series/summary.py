"""What the runs of a series came to: a table, report.json, and whether the judged one learned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ..errors import RunDirectoryError
from ..report.results import change, mean, usable_differences, usable_rows
from ..report.transcripts import number


@dataclass(frozen=True)
class FinishedRun:
    """A run's folder and its report.json."""

    name: str
    folder: Path
    report: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        return number(self.report.get("seconds")) or 0.0

    def row(self, policy: str) -> Mapping[str, Any] | None:
        """What the test "before" or "after" training found, greedily."""
        rows = usable_rows(self.report.get("rows"))
        return next((row for row in rows if (row["name"], row["decoding"]) == (policy, "greedy")), None)

    @property
    def gain(self) -> Mapping[str, Any] | None:
        """After minus before on the same tasks, greedily."""
        found = usable_differences(self.report.get("paired_differences"))
        return next((each for each in found if each["decoding"] == "greedy"), None)


def read_finished(name: str, folder: Path) -> FinishedRun:
    """A finished run of the series.

    Raises:
        RunDirectoryError: its report is not there or says something else.
    """
    path = folder / "report.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunDirectoryError(
            f"{path}: cannot be read ({error}); delete {folder}, and the run is made again"
        ) from error
    if not isinstance(report, dict):
        raise RunDirectoryError(f"{path}: expected a mapping, got {type(report).__name__}; delete {folder}")
    return FinishedRun(name, folder, report)


def judgement(runs: Sequence[FinishedRun], judged: str) -> dict[str, Any]:
    """Whether the judged run learned: the lower end of the 95% interval of its gain is above 0. None is no gain."""
    gain = next(run for run in runs if run.name == judged).gain
    low = gain["low"] if gain is not None and isfinite(gain["low"]) else None
    return {"run": judged, "low": low, "learned": low is not None and low > 0}


def series_report(runs: Sequence[FinishedRun], judged: str | None) -> dict[str, Any]:
    """report.json of the series: the runs' own rows and differences, each with its run's name."""
    found: dict[str, Any] = {"seconds": round(sum(run.seconds for run in runs), 1)}
    for key in ("rows", "measures", "paired_differences"):
        listed = [(run.name, each) for run in runs for each in run.report.get(key) or () if isinstance(each, Mapping)]
        found[key] = [{"run": name, **each} for name, each in listed]
    if judged is not None:
        found["judged"] = judgement(runs, judged)
    return found


def write_series_report(folder: Path, report: Mapping[str, Any]) -> Path:
    """Write FOLDER/report.json, the whole of it or nothing.

    Raises:
        RunDirectoryError: it cannot be written.
    """
    path, partial = folder / "report.json", folder / ".report.json.partial"
    try:
        partial.write_text(json.dumps(report, indent=1), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise RunDirectoryError(
            f"{path}: cannot be written ({error.strerror}); the same command does not run again what is finished"
        ) from error
    return path


def summary_table(runs: Sequence[FinishedRun]) -> Table:
    """One entry a run, its intervals below its means: that fits into a terminal of 80 columns."""
    table = Table(
        title=Text("greedy, with 95% intervals; gain: after - before on the same tasks"),
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("run", overflow="fold")
    for column in ("before", "after", "gain", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for run in runs:
        before, after = run.row("before"), run.row("after")
        shown = after or before
        metric = shown["metric"] if shown else "return"
        who = [run.name, *([shown["env_id"], metric] if shown else ["not tested"])]
        cells = ["\n".join(who), *(_interval(row, metric) for row in (before, after)), _gain(run.gain, metric)]
        table.add_row(*map(Text, [*cells, f"{run.seconds:.0f}"]))
        table.add_row()
    return table


def _interval(row: Mapping[str, Any] | None, metric: str) -> str:
    if row is None:
        return ""
    low, high = (mean(row[key], metric) for key in ("low", "high"))
    return f"{mean(row['value'], metric)}\n{low.removesuffix('%')} to {high}"


def _gain(gain: Mapping[str, Any] | None, metric: str) -> str:
    if gain is None:
        return ""
    return f"{change(gain['value'], metric)}\n{change(gain['low'], metric, '')} to {change(gain['high'], metric, '')}"
