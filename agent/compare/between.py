"""Two groups on the same test tasks: the paired difference, its interval and its p-value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..evaluate import paired_difference
from ..evaluation.paired import paired_p_value
from .groups import Group, tasks_of
from .runs import RunRecord, Scores


@dataclass(frozen=True)
class Difference:
    """`second` minus `first` after training.

    Attributes:
        over: What was paired and resampled, "tasks" (each the mean over the group's runs: would these policies
            differ on other tasks too?) or "seeds" (each the mean over tasks: would other runs differ?).
        count: Pairs.
        seeds: Seeds that both groups have, to which both were restricted; empty where they share none, and all runs
            were used.
        why: Where nothing could be paired, the reason; then the numbers are not numbers.
    """

    first: str
    second: str
    decoding: str
    over: str
    value: float
    low: float
    high: float
    p: float
    count: int
    seeds: tuple[int, ...] = ()
    why: str = ""


def differences(groups: Sequence[Group]) -> list[Difference]:
    """Of every two groups, for every decoding that both were tested with."""
    return [found for first, second in combinations(groups, 2) for found in _between(first, second)]


def _between(first: Group, second: Group) -> list[Difference]:
    names = first.label, second.label
    tasks = {tasks_of(run) for run in (*first.runs, *second.runs)}
    if len(tasks) > 1:
        return [_none(*names, "their test tasks differ (env.kwargs or env.test)")]
    tested = [[run for run in group.runs if run.after] for group in (first, second)]
    if not all(tested):
        return [_none(*names, "no test after training yet")]
    shared = sorted({run.seed for run in tested[0]} & {run.seed for run in tested[1]})
    if shared:
        tested = [[run for run in runs if run.seed in shared] for runs in tested]
    found = []
    for decoding in [d for d in tested[0][0].after if all(d in run.after for runs in tested for run in runs)]:
        scores = [[run.after[decoding] for run in runs] for runs in tested]
        count = min(len(of_run) for runs in scores for of_run in runs)  # a shorter test is of the first tasks
        means = [_task_means(runs, count) for runs in scores]
        value, low, high = paired_difference(*means)
        pairs = sum(a is not None and b is not None for a, b in zip(*means, strict=True))
        p = paired_p_value(*means)
        found.append(Difference(*names, decoding, "tasks", value, low, high, p, pairs, tuple(shared)))
        if len(shared) > 1:
            found.append(_over_seeds(names, decoding, tested, shared, count))
    return found


def _over_seeds(
    names: tuple[str, str], decoding: str, tested: Sequence[Sequence[RunRecord]], shared: Sequence[int], count: int
) -> Difference:
    means: list[list[float | None]] = []
    for runs in tested:
        by_seed = [[run.after[decoding] for run in runs if run.seed == seed] for seed in shared]
        means.append([_mean(_task_means(scores, count)) for scores in by_seed])
    value, low, high = paired_difference(*means)
    pairs = sum(a is not None and b is not None for a, b in zip(*means, strict=True))
    return Difference(*names, decoding, "seeds", value, low, high, paired_p_value(*means), pairs, tuple(shared))


def _task_means(runs: Sequence[Scores], count: int) -> Scores:
    """(count,) each task's mean over the runs; None where one of them has no score, so that all tasks weigh alike."""
    return [
        None if None in scores else float(np.mean(scores)) for scores in zip(*(s[:count] for s in runs), strict=True)
    ]


def _mean(scores: Scores) -> float | None:
    kept = [score for score in scores if score is not None]
    return float(np.mean(kept)) if kept else None


def _none(first: str, second: str, why: str) -> Difference:
    nan = float("nan")
    return Difference(first, second, "", "", nan, nan, nan, nan, 0, (), why)
