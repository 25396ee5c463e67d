"""The learning curve: reward of the rollouts and greedy score on the validation split, over steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def draw_learning_curve(metrics: Sequence[dict[str, Any]], report: dict[str, Any], path: Path) -> None:
    """Draw a PNG from the lines of metrics.jsonl and the rows of report.json."""
    figure, axes = pyplot.subplots(figsize=(7.5, 4), dpi=130, layout="constrained")
    steps = [line["step"] for line in metrics]
    axes.plot(steps, [line["reward"] for line in metrics], color="#b9c4d6", linewidth=1, label="reward, sampled (train)")
    validated = [(line["step"], line["validation"]) for line in metrics if "validation" in line]
    if validated:
        axes.plot(*zip(*validated, strict=True), color="#1f5fbf", marker="o", markersize=4, label="greedy (validation)")
    styles = {"constant": ":", "random": ":", "blind": "-.", "oracle": "--"}
    for row in report["rows"]:
        if row["name"] in ("constant", "oracle"):
            axes.axhline(row["value"], color="#888888", linewidth=1, linestyle=styles[row["name"]], label=row["name"])
        if row["name"] in ("before", "after") and row["decoding"] == "greedy":
            x = 0 if row["name"] == "before" else max(steps, default=0)
            bars = [[row["value"] - row["low"]], [row["high"] - row["value"]]]
            label = "greedy (test), 95%" if row["name"] == "after" else None
            axes.errorbar([x], [row["value"]], bars, color="#c4441c", marker="s", capsize=4, label=label)
    axes.set(xlabel="reinforcement-learning step", ylabel="score", ylim=(0, 1.03))
    axes.legend(fontsize=8, loc="center right")
    axes.grid(alpha=0.25)
    figure.savefig(path)
    pyplot.close(figure)
