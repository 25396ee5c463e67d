"""The benchmark's own items, read with `--data`, and finding the item that a row of predictions is about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..core.errors import DatasetError
from ..datasets.rows import Row

Gold = TypeVar("Gold")


@dataclass(frozen=True)
class Reference(Generic[Gold]):
    """One item of a benchmark, in the published order. id: as published, or None where there is none."""

    id: str | None
    question: str
    gold: Gold


def positions(rows: Sequence[Row], items: Sequence[Reference[Gold]], question: str, data: str) -> list[int]:
    """Which item each row is about: by `id` where all rows and items have one, else by the text of the question (the
    k-th row that asks it is about the k-th item that asks it), else by order.

    question: the field that holds the question. data: what the items were read from, for messages.

    Raises:
        DatasetError: a row about no item, or about one that an earlier row is about.
    """
    if all(row.has("id") for row in rows) and all(item.id is not None for item in items):
        places = _places([str(item.id) for item in items])
        return [_take(places, row, "id", row.label("id"), data) for row in rows]
    if all(row.has(question) and isinstance(row.rows.values(row.index)[question], str) for row in rows):
        places = _places([item.question.strip() for item in items])
        return [_take(places, row, question, row.text(question).strip(), data) for row in rows]
    if len(rows) != len(items):
        raise DatasetError(
            f"{rows[0].where}: expected the field 'id' or {question!r} in every row, to find its item in {data}; "
            f"without them there must be one row an item, and there are {len(rows)} rows for {len(items)} items"
        )
    return list(range(len(rows)))


def _places(keys: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        places[key].append(position)
    return {key: found[::-1] for key, found in places.items()}


def _take(places: dict[str, list[int]], row: Row, field: str, key: str, data: str) -> int:
    if not places.get(key):
        expected = f"an item of {data} that no row before is about" if key in places else f"an item of {data}"
        raise row.wrong(field, expected, key)
    return places[key].pop()
