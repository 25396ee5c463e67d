"""The numbers of a group: means over its seeds with intervals, and what it took to get there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, isfinite

import numpy as np

from ..evaluate import bootstrap_interval
from .groups import Group
from .runs import RunRecord

BASELINES = ("constant", "random", "blind", "oracle")


@dataclass(frozen=True)
class Statistic:
    """A mean with its 95% bootstrap interval. `over`: what was resampled, "seeds" (`count` of them) or, for a single
    run, its test "episodes"; "" where there is no interval."""

    value: float
    low: float
    high: float
    over: str
    count: int


@dataclass(frozen=True)
class Outcome:
    """The test before and after training. None: no run of the group has got there."""

    decoding: str
    before: Statistic | None
    after: Statistic | None
    gain: Statistic | None


@dataclass(frozen=True)
class Reached:
    """The first validation at or above a threshold, of the runs (`of` of them) that got there (`by`).

    steps, episodes: means over those that got there; None where none did.
    """

    threshold: float
    by: int
    of: int
    steps: Statistic | None
    episodes: Statistic | None


@dataclass(frozen=True)
class Cost:
    """What a step takes: seconds of the whole of it and of its phases, by name, and the largest memory (MiB)."""

    seconds: Mapping[str, Statistic]
    peak_mib: Statistic | None
    total: Statistic | None


def over_seeds(values: Sequence[float]) -> Statistic | None:
    """The mean over runs; with one run there is nothing to resample, and no interval."""
    if not values:
        return None
    mean = float(np.mean(values))
    if len(values) == 1:
        return Statistic(mean, float("nan"), float("nan"), "", 1)
    return Statistic(mean, *bootstrap_interval(values), "seeds", len(values))


def outcomes(group: Group) -> tuple[Outcome, ...]:
    """Before, after and gain of each decoding that was tested."""
    decodings = dict.fromkeys(
        decoding for run in group.runs for scores in (run.before, run.after) for decoding in scores
    )
    return tuple(
        Outcome(
            decoding,
            _over_runs(group.runs, lambda run, d=decoding: run.before.get(d)),
            _over_runs(group.runs, lambda run, d=decoding: run.after.get(d)),
            _over_runs(group.runs, lambda run, d=decoding: _gains(run, d)),
        )
        for decoding in decodings
    )


def baselines(group: Group) -> dict[str, Statistic]:
    """The environment's own players, as the finished runs played them."""
    found: dict[str, Statistic] = {}
    for name in BASELINES:
        rows = [row for run in group.finished for row in run.report["rows"] if row["name"] == name]  # type: ignore[index]
        rows = [row for row in rows if isfinite(row["value"])]
        if len(rows) == 1:
            found[name] = Statistic(
                *(float(rows[0][k]) for k in ("value", "low", "high")), "episodes", rows[0]["episodes"]
            )
        elif (statistic := over_seeds([float(row["value"]) for row in rows])) is not None:
            found[name] = statistic
    return found


def reached(group: Group, threshold: float) -> Reached:
    """When validation first was at `threshold` or above, in steps and in episodes played until then."""
    runs = [(run, run.series("validation")) for run in group.runs]
    runs = [(run, series) for run, series in runs if series]
    steps, episodes = [], []
    for run, series in runs:
        step = next((step for step, value in series if value >= threshold), None)
        if step is not None:
            steps.append(float(step))
            episodes.append(float(run.episodes()[step]))
    return Reached(threshold, len(steps), len(runs), over_seeds(steps), over_seeds(episodes))


def common_threshold(groups: Iterable[Group]) -> float | None:
    """The highest score, in hundredths, that every run's validation has reached (of finished runs, if there are any);
    None without validations."""
    groups = list(groups)
    runs = [run for group in groups for run in group.finished] or [run for group in groups for run in group.runs]
    best = [max(value for _, value in series) for run in runs if (series := run.series("validation"))]
    return floor(round(100 * min(best), 6)) / 100 if best else None


def cost(group: Group) -> Cost:
    """Means over the steps of each run, then over runs."""
    seconds = {}
    for phase in ("step", "rollout", "credit", "update", "sync"):
        means = [
            float(np.mean([v for _, v in series])) for run in group.runs if (series := run.series(f"seconds/{phase}"))
        ]
        if (statistic := over_seeds(means)) is not None:
            seconds[phase] = statistic
    peaks = [max(v for _, v in series) for run in group.runs if (series := run.series("memory/peak_mib"))]
    totals = [float(run.report["seconds"]) for run in group.finished if run.report and "seconds" in run.report]
    return Cost(seconds, over_seeds(peaks), over_seeds(totals))


def _over_runs(
    runs: Sequence[RunRecord], scores: Callable[[RunRecord], Sequence[float | None] | None]
) -> Statistic | None:
    """Over seeds where several runs have scores, over the episodes of the one that has."""
    found: list[list[float]] = []
    for run in runs:
        own = [score for score in scores(run) or () if score is not None]
        if own:
            found.append(own)
    if len(found) == 1:
        return Statistic(float(np.mean(found[0])), *bootstrap_interval(found[0]), "episodes", len(found[0]))
    return over_seeds([float(np.mean(own)) for own in found])


def _gains(run: RunRecord, decoding: str) -> list[float | None] | None:
    before, after = run.before.get(decoding), run.after.get(decoding)
    if before is None or after is None or len(before) != len(after):
        return None
    return [None if b is None or a is None else a - b for b, a in zip(before, after, strict=True)]
