"""Results as a table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..config import Config
from .results import change, mean


def results_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line a result: name, decoding, mean with its 95% interval, episodes; what all have in common stands above."""
    places = {"environment": {row["env_id"] for row in rows}, "measure": {row["metric"] for row in rows}}
    told = [next(iter(found)) for found in places.values() if len(found) == 1]
    table = Table(title=Text(": ".join(told) if rows else "no results"))
    apart = [name for name, found in places.items() if len(found) > 1]
    for column in [*apart, "policy", "decoding"]:
        table.add_column(column)
    for column in ("mean", "95% interval", "episodes"):
        table.add_column(column, justify="right")
    for row in rows:
        value, low, high = (mean(row[key], row["metric"]) for key in ("value", "low", "high"))
        cells = [row["env_id" if name == "environment" else "metric"] for name in apart]
        cells += [row["name"], row["decoding"], value, f"{low} to {high}", str(row["episodes"])]
        table.add_row(*map(Text, cells))  # as plain text: rich would take [brackets] in a name for its markup
    return table


def show_report(console: Console, config: Config, report: Mapping[str, Any]) -> None:
    """The table, what reinforcement learning added, how long it took, and where everything lies."""
    folder = Path(config.run.folder) / config.run.name
    rows = report["rows"]
    console.print(results_table([*rows, *report.get("measures", ())]))
    for difference in report.get("paired_differences", ()):
        metric = next((row["metric"] for row in rows if row["decoding"] == difference["decoding"]), "return")
        value = change(difference["value"], metric)
        low, high = (change(difference[key], metric, "") for key in ("low", "high"))
        console.print(f"{difference['decoding']}: after - before = {value}, 95% interval {low} to {high} (same tasks)")
    phases = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in report.get("phases", {}).items())
    console.print(f"time: {report['seconds']:.0f} s ({phases})")
    for name in ("report.html", "learning_curve.png", "report.json", "metrics.jsonl", "checkpoints", "rollouts"):
        if (folder / name).exists():
            console.print(f"  {folder / name}")
