"""From the scores of items to a result: means over the right divisor, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.errors import DatasetError

RESAMPLES = 2000


@dataclass(frozen=True)
class Part:
    """A part of a benchmark: the items at positions start to stop - 1 of the published order."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Scored:
    """One item.

    where: its row, for messages. position: from 0, in the published order; None where it is not known.
    metrics: each in [0, 1]. answered: whether there was an answer at all.
    """

    where: str
    position: int | None
    metrics: Mapping[str, float]
    answered: bool


@dataclass(frozen=True)
class Group:
    """Means over the whole benchmark or a part. n: what was divided by. intervals: 95% bootstrap, (low, high)."""

    name: str
    n: int
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "name": self.name,
            "n": self.n,
            "metrics": dict(self.metrics),
            "intervals": {name: list(pair) for name, pair in self.intervals.items()},
        }


@dataclass(frozen=True)
class Result:
    """What `python -m envs score` prints.

    rows: rows in the file. unanswered: items without an answer, with or without a row. baselines: label -> groups.
    published: label -> metrics, as the papers state them. notes: what a reader of the figures must know.
    """

    suite: str
    protocol: str
    rows: int
    unanswered: int
    groups: tuple[Group, ...]
    baselines: Mapping[str, tuple[Group, ...]] = field(default_factory=dict)
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "suite": self.suite,
            "protocol": self.protocol,
            "rows": self.rows,
            "unanswered": self.unanswered,
            "groups": [group.to_dict() for group in self.groups],
            "baselines": {label: [group.to_dict() for group in groups] for label, groups in self.baselines.items()},
            "published": {label: dict(metrics) for label, metrics in self.published.items()},
            "notes": list(self.notes),
        }


def bootstrap(values: Sequence[float], seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 2.5% and 97.5% points of the means of `resamples` samples drawn from `values` with replacement.

    Percentile bootstrap (Efron and Tibshirani 1993, section 13.3). One value gives an interval of no width.
    """
    data = np.asarray(values, dtype=np.float64)
    rng = np.random.Generator(np.random.Philox(key=seed))
    # Only how often each value is drawn matters for a mean; a few thousand draws at a time bound the memory.
    batch = max(1, (1 << 22) // len(data))
    means = np.concatenate(
        [
            data[rng.integers(len(data), size=(min(batch, resamples - start), len(data)))].mean(axis=1)
            for start in range(0, resamples, batch)
        ]
    )
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def strict(scored: Sequence[Scored], parts: Sequence[Part], size: int | None) -> tuple[Group, ...]:
    """Every item of the benchmark counts once; one without a row counts as 0.

    parts are used only where the position of every row is known. size: how many items there are; None takes the rows.

    Raises:
        DatasetError: two rows for one item, or more rows than items.
    """
    names = tuple(scored[0].metrics)
    n = len(scored) if size is None else size
    known: dict[int, Scored] = {}
    for item in scored:
        if item.position is None:
            continue
        if item.position in known:
            raise DatasetError(f"{item.where}: a second row for the item of {known[item.position].where}")
        known[item.position] = item
    if len(scored) > n:
        raise DatasetError(f"{scored[n].where}: expected at most {n} rows, one an item; got {len(scored)}")
    groups = [_mean("all", [item.metrics for item in scored], n, names)]
    if len(known) == len(scored):
        for part in parts:
            inside = [item.metrics for position, item in known.items() if part.start <= position < part.stop]
            groups.append(_mean(part.name, inside, part.stop - part.start, names))
    return tuple(groups)


def faithful(scored: Sequence[Scored], parts: Sequence[Part], size: int | None) -> tuple[Group, ...]:
    """As the published code: parts are cut from the list of rows as it is, and sums are divided by fixed numbers
    (`size` for the whole, None for the number of rows), whether or not there are as many rows."""
    names = tuple(scored[0].metrics)
    metrics = [item.metrics for item in scored]
    groups = [_mean("all", metrics, len(metrics) if size is None else size, names, intervals=False)]
    for k, part in enumerate(parts):
        # The last part takes whatever comes behind the others.
        rows = metrics[part.start :] if k == len(parts) - 1 else metrics[part.start : part.stop]
        groups.append(_mean(part.name, rows, part.stop - part.start, names, intervals=False))
    return tuple(groups)


def _mean(
    name: str, rows: Sequence[Mapping[str, float]], n: int, names: Sequence[str], intervals: bool = True
) -> Group:
    columns = {metric: [row[metric] for row in rows] for metric in names}
    means = {metric: math.fsum(values) / n for metric, values in columns.items()}
    if not intervals:
        return Group(name, n, means)
    filled = {metric: values + [0.0] * (n - len(values)) for metric, values in columns.items()}
    return Group(name, n, means, {metric: bootstrap(values) for metric, values in filled.items()})
