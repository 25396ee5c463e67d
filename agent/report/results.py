"""The numbers of report.json as a reader wants them: rounded, with a bar for each interval and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

from .tokens import visible
from .transcripts import mappings, number

POLICIES = {
    "constant": "the same answer to every task",
    "random": "a random answer",
    "blind": "answers without looking at the picture",
    "oracle": "the environment's own expert",
    "before": "the model before reinforcement learning",
    "after": "the model after reinforcement learning",
}
# What stands before the comma of a longer name, such as "blind, SuperCLEVR".
ELSEWHERE = {name: f"{told}, there" for name, told in POLICIES.items()} | {
    "after": "the same model where the environment was changed"
}


@dataclass(frozen=True)
class Bar:
    """An interval and what lies in it, in percent of the width that it is drawn on; `zero` where 0 falls inside it."""

    low: float
    value: float
    high: float
    zero: float | None = None


@dataclass(frozen=True)
class ResultRow:
    """One policy's mean."""

    policy: str
    meaning: str
    decoding: str
    mean: str
    interval: str
    bar: Bar | None
    episodes: str


@dataclass(frozen=True)
class ResultTable:
    """Rows that share an environment and a metric, and the ends of the scale their bars are drawn on."""

    env_id: str
    metric: str
    left: str
    right: str
    rows: tuple[ResultRow, ...]


@dataclass(frozen=True)
class Difference:
    """What reinforcement learning added on the same tasks. `verdict`: "better", "worse" or "unclear"."""

    decoding: str
    change: str
    interval: str
    bar: Bar | None
    verdict: str


@dataclass(frozen=True)
class Phase:
    """A phase's share of the run's time, in percent of the longest."""

    name: str
    seconds: str
    share: float


def mean(value: float, metric: str) -> str:
    """A mean in words: metrics lie in [0, 1] and are shown as percentages, returns as they are."""
    if not isfinite(value):
        return "none"
    return f"{value:.3g}" if metric == "return" else f"{100 * value:.1f}%"


def change(value: float, metric: str, unit: str = " points") -> str:
    """A difference of two means, with its sign; of percentages, in points."""
    if not isfinite(value):
        return "none"
    return f"{value:+.3g}" if metric == "return" else f"{100 * value:+.1f}{unit}"


def usable_rows(rows: object) -> list[Mapping[str, Any]]:
    """Those rows of a report that say what was measured; a number that is missing in one is none."""
    return [
        {
            **{key: visible(row[key], 80) for key in ("name", "env_id", "metric")},
            "decoding": visible(row.get("decoding") or "none", 80),
            "episodes": visible(row.get("episodes", ""), 20),
            **_ends(row),
        }
        for row in mappings(rows)
        if all(key in row for key in ("name", "env_id", "metric"))
    ]


def usable_differences(found: object) -> list[Mapping[str, Any]]:
    """The same for paired differences."""
    return [
        {"decoding": visible(each["decoding"], 80), **_ends(each)} for each in mappings(found) if "decoding" in each
    ]


def _ends(row: Mapping[str, Any]) -> dict[str, float]:
    known = {key: number(row.get(key)) for key in ("value", "low", "high")}
    return {key: nan if end is None else end for key, end in known.items()}


def result_tables(rows: Sequence[Mapping[str, Any]]) -> tuple[ResultTable, ...]:
    """A table for each environment and metric, in the order of the rows."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["env_id"], row["metric"]), []).append(row)
    return tuple(_table(env_id, metric, group) for (env_id, metric), group in groups.items())


def differences(report: Mapping[str, Any]) -> tuple[Difference, ...]:
    """The paired differences, on a scale that is the same for all and has 0 in its middle."""
    found = report.get("paired_differences", ())
    ends = [abs(difference[key]) for difference in found for key in ("low", "value", "high")]
    reach = max(filter(isfinite, ends), default=0.0) or 1.0
    return tuple(_difference(difference, report.get("rows", ()), reach) for difference in found)


def phases(report: Mapping[str, Any]) -> tuple[Phase, ...]:
    """How long each phase took."""
    seconds = report.get("phases", {})
    longest = max(seconds.values(), default=0.0) or 1.0
    return tuple(Phase(name, duration(value), 100 * value / longest) for name, value in seconds.items())


def duration(seconds: float) -> str:
    """Seconds as a person says them: 8.4 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _table(env_id: str, metric: str, rows: Sequence[Mapping[str, Any]]) -> ResultTable:
    numbers = [row[key] for row in rows for key in ("value", "low", "high") if isfinite(row[key])]
    left, right = min([0.0, *numbers]), max([1.0 if metric != "return" else 0.0, *numbers])
    shown = tuple(
        ResultRow(
            row["name"],
            POLICIES.get(row["name"], ELSEWHERE.get(row["name"].partition(", ")[0], "")),
            "" if row["decoding"] == "none" else row["decoding"],
            mean(row["value"], metric),
            f"{mean(row['low'], metric)} to {mean(row['high'], metric)}",
            _bar(row, left, right),
            str(row["episodes"]),
        )
        for row in rows
    )
    return ResultTable(env_id, metric, mean(left, metric), mean(right, metric), shown)


def _difference(found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], reach: float) -> Difference:
    metric = next((row["metric"] for row in rows if row["decoding"] == found["decoding"]), "return")
    verdict = "better" if found["low"] > 0 else "worse" if found["high"] < 0 else "unclear"
    low, high = (change(found[key], metric, "") for key in ("low", "high"))
    return Difference(
        found["decoding"], change(found["value"], metric), f"{low} to {high}", _bar(found, -reach, reach), verdict
    )


def _bar(numbers: Mapping[str, Any], left: float, right: float) -> Bar | None:
    ends = [numbers[key] for key in ("low", "value", "high")]
    if not all(map(isfinite, ends)) or right <= left:
        return None
    low, value, high = (round(100 * (end - left) / (right - left), 2) for end in ends)
    return Bar(low, value, high, round(100 * -left / (right - left), 2) if left < 0 else None)
