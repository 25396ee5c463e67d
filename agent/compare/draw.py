"""Curves of several groups in one picture: validation and training reward, over steps and over episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..evaluate import bootstrap_interval
from ..report.curve import INK, dress, smoothed
from .groups import Benchmark, Group
from .runs import RunRecord

# Told apart by those who see colours differently too (Okabe and Ito), and dark enough for thin lines on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b5528a", "#8a6d00", "#3d9fd4", "#555555", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
KEYS = {"validation": "greedy validation score", "reward": "training reward (smoothed)"}


@dataclass(frozen=True)
class Band:
    """(n,) each: the mean over runs at these places, and its 95% interval over seeds (empty with one run)."""

    at: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


Curve = Mapping[float, float]


def draw_comparison(benchmarks: Sequence[Benchmark], target: Path) -> bool:
    """Draw a PNG, two rows for each benchmark at most; False, with nothing drawn, where no run has a curve."""
    rows = [
        (benchmark, key)
        for benchmark in benchmarks
        for key in KEYS
        if any(run.series(key) for group in benchmark.groups for run in group.runs)
    ]
    if not rows:
        return False
    figure = Figure(figsize=(9.5, 3.1 * len(rows) + 0.8), dpi=140, layout="constrained", facecolor="#ffffff")
    grid = figure.subplots(len(rows), 2, squeeze=False, sharey="row")
    several = len(benchmarks) > 1
    for (benchmark, key), axes in zip(rows, grid, strict=True):
        for column, by_episodes in zip(axes, (False, True), strict=True):
            for place, group in enumerate(benchmark.groups):
                _draw_group(column, group, key, by_episodes, place)
            dress(column, "episodes played" if by_episodes else "reinforcement-learning step")
        label = f"{benchmark.env_id}\n{KEYS[key]}" if several else KEYS[key]
        axes[0].set_ylabel(label, color=INK)
        axes[1].set_ylabel("")
        if several and key == next(iter(KEYS)):
            axes[0].legend(fontsize=8, frameon=False, labelcolor=INK)
    words = (
        "lines: means over runs; bands: 95% bootstrap intervals over seeds, where there are several; thin: single runs"
    )
    title = words if several else f"{benchmarks[0].title}\n{words}"
    figure.suptitle(title, color=INK, fontsize=9)
    if not several:
        handles = {line.get_label(): line for line in grid[0][0].get_lines() if not line.get_label().startswith("_")}
        columns = 2 if max(map(len, handles)) < 60 else 1
        figure.legend(
            handles.values(),
            handles,
            loc="outside lower center",
            ncols=columns,
            fontsize=8,
            frameon=False,
            labelcolor=INK,
        )
    figure.savefig(target, format="png")
    return True


def curves_of(group: Group, key: str, by_episodes: bool) -> list[tuple[RunRecord, Curve]]:
    """Of each run that has one, where -> value; a training reward is smoothed."""
    found = []
    for run in group.runs:
        if not (series := run.series(key)):
            continue
        values = [value for _, value in series]
        if key == "reward":
            _, values = smoothed(values)
        episodes = run.episodes() if by_episodes else {}
        places = [float(episodes.get(step, step)) for step, _ in series]
        found.append((run, dict(zip(places, values, strict=True))))
    return found


def band(curves: Sequence[Curve]) -> Band:
    """The mean over several curves where all of them have a value; between its own points a curve is a straight line,
    as when dynamic sampling made some steps of it dearer than those of others."""
    if not curves:
        return Band((), ())
    begin, end = max(min(curve) for curve in curves), min(max(curve) for curve in curves)
    places = sorted({at for curve in curves for at in curve if begin <= at <= end})
    values = np.array([np.interp(places, list(curve), list(curve.values())) for curve in curves])
    if not places:
        return Band((), ())
    means = tuple(float(value) for value in values.mean(axis=0))
    if len(curves) == 1:
        return Band(tuple(places), means)
    low, high = zip(*(bootstrap_interval(column) for column in values.T), strict=True)
    return Band(tuple(places), means, low, high)


def _draw_group(axes: Axes, group: Group, key: str, by_episodes: bool, place: int) -> None:
    curves = curves_of(group, key, by_episodes)
    if not curves:
        return
    colour, mark = COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)]
    # A run that is not finished is seen as far as it is, and does not cut the mean of those that are.
    averaged = [curve for run, curve in curves if run.finished] or [curve for _, curve in curves]
    if len(curves) > 1:
        for run, curve in curves:
            style = "-" if run.finished else ":"
            axes.plot(list(curve), list(curve.values()), color=colour, alpha=0.45, linewidth=0.8, linestyle=style)
    found = band(averaged)
    if found.low:
        axes.fill_between(found.at, found.low, found.high, color=colour, alpha=0.16, linewidth=0)
    style = "-" if group.finished else "--"
    few = key == "validation" and len(found.at) <= 60
    label = group.title.replace("$", r"\$")  # matplotlib takes dollars for mathematics
    axes.plot(
        found.at,
        found.mean,
        color=colour,
        linewidth=1.9,
        linestyle=style,
        label=label,
        marker=mark if few else None,
        markersize=3.5,
    )
