"""What an experiment is given, what it has found, and the page that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class MissingError(Exception):
    """Something that the experiment needs is not here; the message says how to get it."""


@dataclass(frozen=True)
class Given:
    """Where training runs are kept, whose seeds are taken, and how many steps each makes."""

    runs: Path
    seeds: Sequence[int]
    steps: int


@dataclass(frozen=True)
class Finding:
    """
    Args:
        title: Of the page.
        told: What was run and how to read the table.
        columns: Of the table.
        rows: Of the table, as text.
        notes: Paragraphs under the picture.
        published: The commands for the published size.
        data: Everything that was measured, as JSON holds it; the picture is drawn from it.
        versions: Of libraries that the figures depend on, such as "torch 2.13.0".
    """

    title: str
    told: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    published: Sequence[str]
    data: dict[str, Any]
    versions: Sequence[str] = field(default=())


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    ruled = [list(columns), ["---"] * len(columns), *map(list, rows)]
    return ["| " + " | ".join(row) + " |" for row in ruled]


def page(name: str, finding: Finding, made_at: str, machine: str) -> str:
    """The page of an experiment."""
    lines = [
        f"# {finding.title}",
        "",
        f"`make experiment NAME={name}` at commit {made_at} on {machine}. {finding.told}",
        "",
        *table(finding.columns, finding.rows),
        "",
        f"![{finding.title}]({name}.png)",
        "",
    ]
    for note in finding.notes:
        lines += [note, ""]
    lines += ["At the published size, on GPUs (not run here):", "", "```sh", *finding.published, "```"]
    return "\n".join(lines) + "\n"


def percent(row: dict[str, float]) -> str:
    """A mean with its interval, in percent."""
    return f"{100 * row['value']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
