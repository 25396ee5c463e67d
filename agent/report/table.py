"""Results as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..config import Config


def results_table(rows: Sequence[dict[str, Any]]) -> Table:
    """One line a result: name, decoding, mean with its 95% interval, episodes."""
    table = Table(title=f"{rows[0]['env_id']}: {rows[0]['metric']}" if rows else "no results")
    table.add_column("policy")
    table.add_column("decoding")
    table.add_column("mean", justify="right")
    table.add_column("95% interval", justify="right")
    table.add_column("episodes", justify="right")
    for row in rows:
        percent = [f"{100 * row[key]:.1f}%" for key in ("value", "low", "high")]
        table.add_row(row["name"], row["decoding"], percent[0], f"{percent[1]} to {percent[2]}", str(row["episodes"]))
    return table


def show_report(console: Console, config: Config, report: dict[str, Any]) -> None:
    """The table, what reinforcement learning added, how long it took, and where everything lies."""
    folder = Path(config.run.folder) / config.run.name
    console.print(results_table(report["rows"]))
    for difference in report["paired_differences"]:
        points = [f"{100 * difference[key]:+.1f}" for key in ("value", "low", "high")]
        console.print(
            f"{difference['decoding']}: after - before = {points[0]} points, 95% interval {points[1]} to {points[2]} "
            "(same tasks)"
        )
    phases = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in report["phases"].items())
    console.print(f"time: {report['seconds']:.0f} s ({phases})")
    for name in ("report.html", "learning_curve.png", "report.json", "metrics.jsonl", "checkpoints", "rollouts"):
        if (folder / name).exists():
            console.print(f"  {folder / name}")
