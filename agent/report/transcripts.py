"""Recorded trajectories as the page reads them: whatever a line can still say, and a count of those that say nothing.

A run that was killed leaves half a line, and older runs lack fields; neither is a reason not to look at the rest. So
this reads plain mappings and not `agent.types`, whose invariants a broken record would not pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

FileKind = Literal["rollout", "evaluation"]


@dataclass(frozen=True)
class RecordFile:
    """A file of trajectories.

    Attributes:
        path: The file; its pictures lie in `images` beside it.
        name: As the page calls it.
        kind: "rollout" (of a training step) or "evaluation".
        step: The training step, of a rollout.
        shown: The path as the reader may look for it, relative to the folder.
    """

    path: Path
    name: str
    kind: FileKind
    step: int | None
    shown: str


def read_records(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(line, record) of each line of a file, counted from 1; None for a line that is no trajectory."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _record(line)


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(record, dict) and isinstance(record.get("outcome"), dict) and "env_id" in record
    return record if whole else None


def mappings(value: object) -> list[Mapping[str, Any]]:
    """The mappings in a list; nothing where it is no list."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def segments(record: Mapping[str, Any]) -> list[tuple[int, int, Mapping[str, Any]]]:
    """(row, position in the row, segment), in order."""
    rows = mappings(record.get("rows"))
    return [(i, j, s) for i, row in enumerate(rows) for j, s in enumerate(mappings(row.get("segments")))]


def token_ids(segment: Mapping[str, Any]) -> list[int]:
    """The segment's tokens; none where they are not a list of token ids."""
    ids = segment.get("token_ids")
    whole = isinstance(ids, list) and all(isinstance(i, int) and 0 <= i < 2**31 for i in ids)
    return ids if whole else []


def number(value: object) -> float | None:
    """A finite number, or None."""
    # Compared before it is converted: Python's integers have no end, and floating-point numbers have.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        return None
    return float(value) if isfinite(value) else None


def numbers(value: object, length: int) -> list[float | None] | None:
    """One number for each of `length` tokens; None where there is no such list."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != length:
        return None
    return [number(each) for each in value]
