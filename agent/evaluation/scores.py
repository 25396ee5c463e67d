"""From transcripts to numbers: means with intervals, pass@k, breakdowns by tag.

The unit is the task: where a task has several samples, its score is their mean, and intervals resample tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from ..evaluate import bootstrap_interval

# A task counts as solved by a sample whose metric is this, but for rounding.
SOLVED = 1.0 - 1e-9
MOST_VALUES = 24  # a tag with more values than this, such as a position, splits nothing

Record = Mapping[str, Any]
Aggregate = Callable[[Sequence[Mapping[str, float]]], Mapping[str, float]]


@dataclass(frozen=True)
class Mean:
    """A mean over tasks with the bounds of its 95% bootstrap interval. `episodes`: of which it is made."""

    value: float
    low: float
    high: float
    tasks: int
    episodes: int


def score(record: Record, metric: str | None) -> float | None:
    """An episode's metric, or its return without one; 0 where it ended without the measure, None where the
    infrastructure broke it."""
    if record["outcome"]["end"] == "failed" or record.get("dropped"):
        return None
    if metric is None:
        return float(record["outcome"]["score"] or 0.0)
    return float(record["metrics"].get(metric, 0.0))


def task_scores(records: Mapping[tuple[int, int], Record], metric: str | None, tasks: int) -> list[float | None]:
    """(tasks,) the mean over samples of each task, None where there is none."""
    found: list[list[float]] = [[] for _ in range(tasks)]
    for (index, _), record in sorted(records.items()):
        if index < tasks and (value := score(record, metric)) is not None:
            found[index].append(value)
    return [sum(values) / len(values) if values else None for values in found]


def mean_of(scores: Sequence[float | None], episodes: int) -> Mean:
    """Over the tasks that have a score."""
    known = [value for value in scores if value is not None]
    low, high = bootstrap_interval(known)
    return Mean(float(np.mean(known)) if known else float("nan"), low, high, len(known), episodes)


def metrics_of(records: Mapping[tuple[int, int], Record]) -> list[str]:
    """Every metric that an episode told, in order."""
    return list(dict.fromkeys(name for _, record in sorted(records.items()) for name in record["metrics"]))


def pass_at_k(counts: Sequence[tuple[int, int]], k: int) -> list[float]:
    """The chance that at least one of `k` samples of each task is right, from (samples, right ones) of each.

    1 - C(n - c, k) / C(n, k): unbiased for n >= k. Source: Chen et al., Evaluating Large Language Models Trained on
    Code (arXiv 2107.03374), equation 1.

    Raises:
        ValueError: a task has fewer than k samples.
    """
    if any(n < k for n, _ in counts):
        raise ValueError(f"pass@{k} needs at least {k} samples of every task, got {min(n for n, _ in counts)}")
    return [1.0 - comb(n - c, k) / comb(n, k) for n, c in counts]


def passes(records: Mapping[tuple[int, int], Record], metric: str | None, tasks: int, samples: int) -> dict[int, Mean]:
    """pass@k for k = 1, 2, 4, ... and `samples`, over the tasks that have all of their samples."""
    solved: list[list[bool]] = [[] for _ in range(tasks)]
    for (index, sample), record in records.items():
        value = score(record, metric)
        if index < tasks and sample < samples and value is not None:
            solved[index].append(value >= SOLVED)
    counts = [(len(found), sum(found)) for found in solved if len(found) == samples]
    sizes = sorted({*(2**power for power in range(samples.bit_length()) if 2**power <= samples), samples})
    return {k: mean_of(pass_at_k(counts, k), len(counts) * samples) for k in sizes}


def by_tag(records: Mapping[tuple[int, int], Record], metric: str | None, tasks: int) -> dict[str, dict[str, Mean]]:
    """The mean for each value of each tag that splits the tasks, such as difficulty or type."""
    values: dict[str, dict[str, dict[tuple[int, int], Record]]] = {}
    for key, record in sorted(records.items()):
        for tag, value in record["tags"].items():
            values.setdefault(str(tag), {}).setdefault(str(value), {})[key] = record
    found = {}
    for tag, groups in values.items():
        if not 1 < len(groups) <= MOST_VALUES:
            continue
        found[tag] = {
            value: mean_of(task_scores(group, metric, tasks), len(group)) for value, group in _in_order(groups)
        }
    return found


def ends(records: Mapping[tuple[int, int], Record]) -> dict[str, int]:
    """How many episodes ended how: terminated, truncated with its reason, failed."""
    counts: dict[str, int] = {}
    for record in records.values():
        outcome = record["outcome"]
        told = f"truncated: {outcome['reason']}" if outcome["end"] == "truncated" else str(outcome["end"])
        counts[told] = counts.get(told, 0) + 1
    return dict(sorted(counts.items()))


def as_published(records: Mapping[tuple[int, int], Record], aggregate: Aggregate) -> dict[str, float]:
    """What the environment makes of the episodes under its published protocol, which says for itself what it does with
    those that have no answer: it is given the metrics of all that ended, in the order of the tasks."""
    return dict(
        aggregate([record["metrics"] for _, record in sorted(records.items()) if score(record, None) is not None])
    )


def _in_order(groups: Mapping[str, Any]) -> list[tuple[str, Any]]:
    def key(item: tuple[str, Any]) -> tuple[int, float, str]:
        try:
            return (0, float(item[0]), "")
        except ValueError:
            return (1, 0.0, item[0])

    return sorted(groups.items(), key=key)
