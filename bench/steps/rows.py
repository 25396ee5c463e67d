"""A figure, and the file that keeps them all: what was measured before stays until it is measured again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

ALWAYS = ("name", "value", "unit", "baseline", "ratio")


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: By which `--only` finds it.
        value: Ours.
        unit: Of value and baseline.
        baseline: What it is compared with.
        ratio: How many times better ours is; above 1 is better.
        kind: Which table: "step", "update", "rollout", "gpu", "agreement" or "elsewhere".
        what: What is measured, in words.
        against: What the baseline is, in words.
        floor: The least `ratio` that is asked for, or another demand in words.
        operations: What `ratio` would be if operations alone counted.
        spread: Least and largest ratio over the rounds.
        beside: Other ways, in the same unit.
        note: What else there is to know.
        commit: That it was measured at.
        machine: That it was measured on.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    kind: str = "step"
    what: str = ""
    against: str = ""
    floor: float | str | None = None
    operations: float | None = None
    spread: Sequence[float] = ()
    beside: dict[str, float] = field(default_factory=dict)
    note: str = ""
    commit: str = ""
    machine: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Without what is empty, but for the five that every row has."""
        return {
            name: value for name, value in asdict(self).items() if name in ALWAYS or value not in (None, "", (), {})
        }


@dataclass(frozen=True)
class Results:
    """What bench/results.json holds. `curves`: points by axis, with the commit and machine of their own."""

    machine: str
    commit: str
    rows: tuple[Row, ...] = ()
    curves: dict[str, Any] = field(default_factory=dict)

    def with_rows(self, new: Iterable[Row]) -> Results:
        """These in place of those of the same name; the others stay."""
        added = {row.name: row for row in new}
        kept = [added.pop(row.name, row) for row in self.rows]
        return replace(self, rows=(*kept, *added.values()))

    def write(self, path: Path) -> None:
        made = {"machine": self.machine, "commit": self.commit, "rows": [row.to_dict() for row in self.rows]}
        path.write_text(json.dumps(made | ({"curves": self.curves} if self.curves else {}), indent=1) + "\n")


def read(path: Path) -> Results:
    """Those of the file; none if it is not there."""
    if not path.exists():
        return Results("", "")
    kept = json.loads(path.read_text())
    rows = tuple(Row(**row) for row in kept["rows"])
    return Results(kept["machine"], kept["commit"], rows, kept.get("curves", {}))
