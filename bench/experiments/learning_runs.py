"""Training runs from shared cold starts, and what is read off them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from algorithms import COMMON, cold_start, difference, train, validations
from learning import value
from rich.progress import track

from agent.evaluate import paired_difference

Curve = list[tuple[int, float]]
FIRST = "The first point of the picture is the cold start's score on the test tasks, the others are validations."


@dataclass(frozen=True)
class Setup:
    """What all runs of an experiment share.

    Args:
        recipe: The packaged recipe.
        validate_every: Steps between validations.
        one_start: The cold start of the first seed serves all; seeds then differ in their episodes alone.
        options: Options of each run beside the seed, the steps and the way of learning.
    """

    recipe: str
    validate_every: int
    one_start: bool = False
    options: Sequence[str] = tuple(COMMON)


COUNTING = Setup("counting", 10, one_start=True)


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, its report and the validations (step, score), after the cold start's test score."""

    folder: Path
    report: dict[str, Any]
    curve: Curve

    def scores(self) -> list[float | None]:
        """Of the final greedy test, one a task."""
        found: list[float | None] = json.loads((self.folder / "evaluations" / "after.json").read_text())["greedy"]
        return found

    def row(self, name: str) -> dict[str, Any]:
        """A row of the report, greedy."""
        found: dict[str, Any] = value(self.report, name, "greedy")
        return found

    @property
    def gain(self) -> dict[str, float]:
        """What training added, on the same tasks."""
        return difference(self.report, "greedy")


def learn(
    runs: Path, setup: Setup, seeds: Sequence[int], steps: int, ways: Mapping[str, Sequence[str]]
) -> dict[str, dict[int, Run]]:
    """Each way of learning from each seed's cold start. `ways`: name -> options of `python -m agent train`."""
    found: dict[str, dict[int, Run]] = {way: {} for way in ways}
    for seed in track(seeds, "seeds"):
        begun = seeds[0] if setup.one_start else seed
        start = cold_start(runs, f"{setup.recipe}_cold_{begun}", begun, recipe=setup.recipe)
        for way, options in ways.items():
            name = f"{setup.recipe}_{way.replace(' ', '_')}_{seed}_steps_{steps}"
            common = ["--run.seed", str(seed), "--model.path", str(start), "--cold_start.sources", "[]"]
            common += [*setup.options, "--optimizer.steps", str(steps)]
            common += ["--evaluation.validate_every", str(min(setup.validate_every, steps))]
            report = train(runs, name, *common, *options, recipe=setup.recipe)
            curve = [(0, value(report, "before", "greedy")["value"]), *validations(runs, name)]
            found[way][seed] = Run(runs / name, report, curve)
    return found


def needed(curve: Curve, threshold: float, episodes_a_step: int) -> int | None:
    """Episodes until the first validation of at least `threshold`; None: not reached."""
    return next((step * episodes_a_step for step, score in curve if score >= threshold), None)


def told(episodes: int | None, most: int) -> str:
    """Episodes as the table has them."""
    return f"more than {most:,}" if episodes is None else f"{episodes:,}"


def against(first: Run, second: Run) -> dict[str, float]:
    """Second minus first at the end, over the same test tasks, with its 95% interval."""
    mean, low, high = paired_difference(first.scores(), second.scores())
    return {"value": mean, "low": low, "high": high}


def data_of(found: Mapping[str, Mapping[int, Run]]) -> dict[str, Any]:
    """Curves and reports, as JSON holds them."""
    return {
        way: {str(seed): {"curve": run.curve, "report": run.report} for seed, run in by_seed.items()}
        for way, by_seed in found.items()
    }


def plot_curves(
    ways: Mapping[str, Mapping[str, Any]], path: Path, title: str, measure: str, episodes_a_step: int
) -> None:
    """Validation scores over episodes: each seed thin, the mean of seeds thick."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    for colour, (way, by_seed) in zip(plt.cm.tab10.colors, ways.items(), strict=False):  # type: ignore[attr-defined]
        curves = [run["curve"] for run in by_seed.values()]
        at = [step * episodes_a_step for step, _ in curves[0]]
        for curve in curves:
            axes.plot(at, [score for _, score in curve], color=colour, alpha=0.3, linewidth=1)
        mean = [statistics.mean(scores) for scores in zip(*([s for _, s in c] for c in curves), strict=True)]
        axes.plot(at, mean, color=colour, linewidth=2.2, marker="o", markersize=3, label=way)
    axes.set_xlabel("training episodes")
    axes.set_ylabel(f"{measure} (greedy, validation)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(title="mean of seeds", frameon=False)
    axes.set_title(title)
    figure.savefig(path, dpi=120)
