"""The learning curve: reward of the rollouts and greedy score on the validation split, over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .transcripts import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOWS = 20  # the smooth line averages over a twentieth of the run
# Colours of the drawing.
INK, GRID = "#2b3036", "#d9dce0"
RAW, SMOOTH, VALIDATION, TEST = "#c3d5f0", "#1f5fbf", "#0f7d6b", "#b5400f"


def draw_learning_curve(
    metrics: Sequence[Mapping[str, Any]], report: Mapping[str, Any], target: Path | IO[bytes]
) -> bool:
    """Draw a PNG from the lines of metrics.jsonl and the rows of report.json.

    Returns:
        False, with nothing drawn, where no step has a reward or a validation score.
    """
    reward, validation = _series(metrics, "reward"), _series(metrics, "validation")
    if not reward and not validation:
        return False
    # Here, since pages need no more than the words; and not pyplot: its figures are global, and choosing its backend
    # would be felt by whoever imports us.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), dpi=140, layout="constrained", facecolor="#ffffff")
    axes = figure.subplots()
    if reward:
        _draw_reward(axes, reward)
    if validation:
        points = tuple(zip(*validation, strict=True))
        axes.plot(*points, color=VALIDATION, marker="o", markersize=3.5, label="greedy score (validation)")
    _draw_results(axes, report.get("rows", ()), max(step for step, _ in reward + validation))
    dress(axes)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False, labelcolor=INK)
    figure.savefig(target, format="png")
    return True


def smoothed(values: Sequence[float]) -> tuple[int, list[float]]:
    """The window, and the mean of the window centred at each step (narrower at both ends, so that no step is lost)."""
    half = len(values) // WINDOWS // 2
    means = [float(np.mean(values[max(0, i - half) : i + half + 1])) for i in range(len(values))]
    return 2 * half + 1, means


def curve_in_words(metrics: Sequence[Mapping[str, Any]]) -> str:
    """What the picture shows, for those who cannot see it."""
    sentences = []
    for key, name in (("reward", "Reward of the training rollouts"), ("validation", "Greedy validation score")):
        if series := _series(metrics, key):
            _, means = smoothed([value for _, value in series])
            sentences.append(
                f"{name}: {means[0]:.2f} at step {series[0][0]}, {means[-1]:.2f} at step {series[-1][0]}, "
                f"highest {max(means):.2f}."
            )
    return " ".join(sentences)


def _series(metrics: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    """(step, value) wherever a line has a finite value."""
    found = [(line["step"], number(line.get(key))) for line in metrics]
    return [(step, value) for step, value in found if value is not None]


def _draw_reward(axes: Axes, reward: Sequence[tuple[int, float]]) -> None:
    steps, values = [step for step, _ in reward], [value for _, value in reward]
    window, means = smoothed(values)
    if window > 1:
        axes.plot(steps, values, color=RAW, linewidth=0.8, label="reward of each step (training)")
    label = f"its mean over {window} steps" if window > 1 else "reward of each step (training)"
    marker = "." if len(steps) < 10 else None
    axes.plot(steps, means, color=SMOOTH, linewidth=2, marker=marker, label=label)


def _draw_results(axes: Axes, rows: Sequence[Mapping[str, Any]], last: int) -> None:
    rows = [row for row in rows if all(isfinite(row[key]) for key in ("value", "low", "high"))]
    baselines = [row for row in rows if row["name"] in ("constant", "random", "blind")]
    lines = [(max(baselines, key=lambda row: row["value"]), ":", "best baseline ({})")] if baselines else []
    lines += [(row, "--", "{}") for row in rows if row["name"] == "oracle"]
    for row, style, label in lines:
        name = label.format(row["name"])
        axes.axhline(row["value"], color=INK, alpha=0.65, linewidth=1.1, linestyle=style, label=name)
    told: str | None = "before and after (test, greedy, 95%)"
    for row in rows:
        if row["name"] in ("before", "after") and row["decoding"] == "greedy":
            x = 0 if row["name"] == "before" else last
            bars = [[max(0.0, row["value"] - row["low"])], [max(0.0, row["high"] - row["value"])]]
            axes.errorbar(
                [x], [row["value"]], bars, color=TEST, marker="s", markersize=5, capsize=4, label=told, zorder=5
            )
            told = None


def dress(axes: Axes, places: str = "reinforcement-learning step") -> None:
    """The house style of a drawing of scores over `places`."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(places, color=INK)
    axes.set_ylabel("score", color=INK)
    low, high = axes.get_ylim()
    if low > -0.1 and high < 1.1:  # scores in [0, 1] are shown on the whole of it: a small change should look small
        axes.set_ylim(-0.02, 1.04)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_facecolor("#ffffff")
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK)
    for side, spine in axes.spines.items():
        spine.set_color(GRID)
        spine.set_visible(side in ("left", "bottom"))
