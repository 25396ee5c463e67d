"""What was played, and what follows from it: rows, breakdowns, pass@k, comparisons, notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import gymnasium

from ..evaluate import paired_difference
from ..rollout.environments import optional
from .options import EvaluateConfig, listed
from .paired import paired_p_value
from .scores import Mean, Record, as_published, by_tag, ends, mean_of, metrics_of, passes, task_scores
from .sitting import Sitting


@dataclass(frozen=True, eq=False)
class Collected:
    """The episodes of one sitting.

    Attributes:
        records: By place of the task and sample.
        tasks: How many tasks were asked for.
        metric: The environment's primary one, or None: the return.
        faithful: Means by metric as the published protocol has them, "METRIC/PART" for its parts; empty for strict.
        published: What papers report: label -> metric -> value.
    """

    sitting: Sitting
    records: Mapping[tuple[int, int], Record]
    tasks: int
    metric: str | None
    faithful: Mapping[str, float]
    published: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(
        cls,
        sitting: Sitting,
        records: Mapping[tuple[int, int], Record],
        tasks: int,
        metric: str | None,
        env: gymnasium.Env,
    ) -> Collected:
        faithful: dict[str, float] = {}
        aggregate = optional(env, "aggregate")
        if sitting.benchmark.spec.kwargs.get("protocol") == "faithful" and aggregate is not None and records:
            faithful = as_published(records, lambda results: aggregate(results, "faithful"))
        return cls(sitting, records, tasks, metric, faithful, optional(env, "published") or {})

    @property
    def failed(self) -> int:
        """Episodes that the infrastructure broke."""
        return sum(record["outcome"]["end"] == "failed" for record in self.records.values())

    def scores(self, metric: str | None) -> list[float | None]:
        """Of each task, None where there is none."""
        return task_scores(self.records, metric, self.tasks)

    def mean(self, metric: str | None) -> Mean:
        """Over tasks; under the published protocol its own mean, with the interval of the tasks' scores."""
        found = mean_of(self.scores(metric), len(self.records) - self.failed)
        value = self.faithful.get(metric or "", found.value)
        return Mean(value, found.low, found.high, found.tasks, found.episodes)

    def row(self, metric: str | None, shown: bool, mean: Mean | None = None) -> dict[str, Any]:
        """A row of results."""
        benchmark, found = self.sitting.benchmark, mean or self.mean(metric)
        return {
            "name": self.sitting.subject,
            "benchmark": benchmark.name,
            "env_id": benchmark.spec.id,
            "split": benchmark.split,
            "protocol": str(benchmark.spec.kwargs.get("protocol", "strict")),
            "variant": self.sitting.variant,
            "decoding": self.sitting.decoding,
            "temperature": self.sitting.temperature,
            "metric": metric or "return",
            "shown": shown,
            **asdict(found),
            "seed": self.sitting.seed,
        }


def results_of(collected: Sequence[Collected], options: EvaluateConfig) -> dict[str, Any]:
    """Everything that is told, as plain data. `rows`: the primary metric; `measures`: all others, those that are not
    `shown` in the JSON alone."""
    rows, measures, breakdowns, pass_at_k = [], [], [], []
    asked = set(listed(options.model))
    for one in collected:
        rows.append(one.row(one.metric, True))
        names, told = metrics_of(one.records), one.sitting.benchmark.measures
        measures += [one.row(name, name in told) for name in names if name != one.metric]
        breakdowns += _breakdowns(one, one.sitting.temperature is not None or one.sitting.subject in asked)
        if one.sitting.samples > 1:
            found = passes(one.records, one.metric, one.tasks, one.sitting.samples)
            pass_at_k += [{**one.row(one.metric, False, mean), "k": k} for k, mean in found.items()]
    rows += _published(collected)
    return {
        "rows": rows,
        "measures": measures,
        "breakdowns": breakdowns,
        "pass_at_k": pass_at_k,
        "comparisons": _comparisons(collected),
        "ends": [{**_who(one), "ends": ends(one.records)} for one in collected],
        "usage": [{**_who(one), **used} for one in collected if (used := _usage(one))],
        "notes": _notes(collected, options),
    }


def _breakdowns(one: Collected, shown: bool) -> list[dict[str, Any]]:
    """By tag, and by the parts that a published protocol knows."""
    found = []
    for name, value in one.faithful.items():
        metric, _, part = name.partition("/")
        if part and metric == one.metric:
            mean = Mean(value, float("nan"), float("nan"), 0, 0)
            found.append({**one.row(metric, shown, mean), "tag": "published part", "value_of_tag": part})
    for tag, groups in by_tag(one.records, one.metric, one.tasks).items():
        found += [
            {**one.row(one.metric, shown, mean), "tag": tag, "value_of_tag": value} for value, mean in groups.items()
        ]
    return found


def _published(collected: Sequence[Collected]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for one in collected:
        for label, metrics in one.published.items():
            for metric in (one.metric, *one.sitting.benchmark.measures):
                if metric not in metrics:
                    continue
                value = float(metrics[metric])
                row = one.row(metric, True, Mean(value, float("nan"), float("nan"), 0, 0))
                key = (row["benchmark"], row["split"], metric, label)
                found[key] = {**row, "name": label, "variant": "", "decoding": "none", "published": True}
    return list(found.values())


def _comparisons(collected: Sequence[Collected]) -> list[dict[str, Any]]:
    """Every checkpoint and server with the first of them, and each with itself under a variant, on the same tasks."""
    found = []
    for first, second in combinations([one for one in collected if one.sitting.temperature is not None], 2):
        a, b = first.sitting, second.sitting
        same = (a.benchmark.name, a.benchmark.split) == (b.benchmark.name, b.benchmark.split)
        heat = a.temperature == b.temperature and first.tasks == second.tasks and first.metric == second.metric
        if not same or not heat:
            continue
        leader = next(one.sitting.subject for one in collected if one.sitting.temperature is not None)
        rival = not a.variant and not b.variant and a.subject == leader != b.subject
        handicapped = a.subject == b.subject and not a.variant and bool(b.variant)
        if not rival and not handicapped:
            continue
        before, after = (first, second) if rival else (second, first)
        scores = before.scores(first.metric), after.scores(first.metric)
        value, low, high = paired_difference(*scores)
        pairs = sum(x is not None and y is not None for x, y in zip(*scores, strict=True))
        found.append(
            {
                "benchmark": a.benchmark.name,
                "env_id": a.benchmark.spec.id,
                "split": a.benchmark.split,
                "decoding": a.decoding,
                "metric": first.metric or "return",
                "before": _name(before),
                "after": _name(after),
                "value": value,
                "low": low,
                "high": high,
                "p_value": paired_p_value(*scores),
                "tasks": pairs,
            }
        )
    return found


def _notes(collected: Sequence[Collected], options: EvaluateConfig) -> list[str]:
    notes = [
        f"{one.failed} of {len(one.records)} episodes of {_name(one)} at {one.sitting.benchmark.name} failed at the "
        "infrastructure and are left out; the same command plays them again"
        for one in collected
        if one.failed
    ]
    if any(one.published for one in collected) and options.protocol == "strict":
        notes.append("published figures are of other models and the protocol faithful: see --protocol faithful")
    sampled = [one for one in collected if one.sitting.temperature is not None]
    if any("tokens" in record for one in sampled for record in one.records.values()):
        notes.append("transcripts of chat servers have texts and pictures, and no token ids")
    return notes


def _usage(one: Collected) -> dict[str, int]:
    totals: dict[str, int] = {}
    for record in one.records.values():
        for name, count in (record.get("usage") or {}).items():
            totals[name] = totals.get(name, 0) + int(count)
    return totals if any(totals.values()) else {}


def _who(one: Collected) -> dict[str, Any]:
    sitting = one.sitting
    return {
        "name": sitting.subject,
        "benchmark": sitting.benchmark.name,
        "split": sitting.benchmark.split,
        "variant": sitting.variant,
        "decoding": sitting.decoding,
    }


def _name(one: Collected) -> str:
    return f"{one.sitting.subject}, {one.sitting.variant}" if one.sitting.variant else one.sitting.subject
