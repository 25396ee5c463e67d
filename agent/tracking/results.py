"""The rows of a report as trackers take them: numbers by name, and lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from ..report.results import change, mean


def result_numbers(report: Mapping[str, Any]) -> dict[str, float]:
    """Means by names such as "test/after/greedy/accuracy", of every row that has one, and what training added."""
    rows = [*report.get("rows", ()), *report.get("measures", ())]
    found = {
        "/".join(["test", row["name"], *([row["decoding"]] if row["decoding"] != "none" else []), row["metric"]]): row[
            "value"
        ]
        for row in rows
    }
    found |= {f"test/gain/{one['decoding']}": one["value"] for one in report.get("paired_differences", ())}
    return {name: float(value) for name, value in found.items() if isfinite(value)}


def result_lines(report: Mapping[str, Any]) -> str:
    """The results in words, a line each."""
    lines = []
    for row in [*report.get("rows", ()), *report.get("measures", ())]:
        value, low, high = (mean(row[key], row["metric"]) for key in ("value", "low", "high"))
        decoding = "" if row["decoding"] == "none" else f", {row['decoding']}"
        interval = f"(95% interval {low} to {high})"
        lines.append(f"{row['name']}{decoding}: {row['metric']} {value} {interval}, {row['episodes']} episodes")
    for one in report.get("paired_differences", ()):
        metric = next((row["metric"] for row in report["rows"] if row["decoding"] == one["decoding"]), "return")
        value, low, high = (change(one[key], metric, "") for key in ("value", "low", "high"))
        lines.append(f"after - before, {one['decoding']}: {value} (95% interval {low} to {high}), the same tasks")
    return "\n".join([*lines, f"{report.get('seconds', 0.0)} seconds"])
