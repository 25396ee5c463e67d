"""The lines of metrics.jsonl as series that the page draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .tokens import visible
from .transcripts import number

POINTS = 1500
SERIES = 400


def series(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Steps, and for each metric its value at each of them (None where there is none).

    Of a run of more than `POINTS` steps, neighbours are averaged: "every" says how many steps a point stands for.
    """
    names = list(dict.fromkeys(name for line in metrics for name in line if name != "step"))
    every = -(-len(metrics) // POINTS) if metrics else 1
    chunks = [metrics[i : i + every] for i in range(0, len(metrics), every)]
    found = {}
    for name in names[:SERIES]:
        values = [_mean([number(line.get(name)) for line in chunk]) for chunk in chunks]
        if any(value is not None for value in values):
            found[visible(name, 80)] = values
    return {"steps": [chunk[-1]["step"] for chunk in chunks], "every": every, "values": found}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(f"{sum(known) / len(known):.5g}") if known else None
