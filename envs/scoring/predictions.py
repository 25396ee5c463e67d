"""Files of predictions: a JSON list, a JSON object that holds the list, or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.actions import Action, parse
from ..core.errors import DatasetError
from ..datasets.rows import Row, Rows

LISTS = ("results", "details")  # under which the evaluation code of RLLaVA writes its rows
MAX_BYTES = 1 << 30


class PredictionRows(Rows):
    """The rows of one file, in memory."""

    def __init__(self, path: Path, rows: Sequence[tuple[int, Mapping[str, Any]]], line: bool) -> None:
        self.path, self._rows, self._unit = path, rows, "line" if line else "row"

    def __len__(self) -> int:
        return len(self._rows)

    def names(self, i: int) -> Sequence[str]:
        return tuple(self._rows[i][1])

    def values(self, i: int) -> Mapping[str, Any]:
        return self._rows[i][1]

    def heavy(self, i: int, name: str) -> Any:
        raise DatasetError(f"{self.where(i)}: the field {name!r} is missing")

    def where(self, i: int) -> str:
        return f"{self.path}, {self._unit} {self._rows[i][0]}"


def read(path: str | Path) -> list[Row]:
    """The rows of a file of predictions, at least one.

    Raises:
        DatasetError: no such file, not JSON, or something else than rows with fields; names the file and the row.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; give the JSON or JSON lines file that the evaluation wrote")
    if path.stat().st_size > MAX_BYTES:
        raise DatasetError(f"{path}: expected at most {MAX_BYTES >> 20} MiB; got {path.stat().st_size >> 20} MiB")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: expected UTF-8; byte {error.start + 1} is not") from None
    lines = path.suffix == ".jsonl"
    if lines:
        numbered = [(n, _json(line, f"{path}, line {n}")) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    else:
        whole = _json(text, str(path))
        if isinstance(whole, dict):
            whole = next((whole[name] for name in LISTS if name in whole), whole)
        if not isinstance(whole, list):
            raise DatasetError(
                f"{path}: expected a list of rows, or an object with one under {' or '.join(map(repr, LISTS))}; "
                f"got {_kind(whole)}"
            )
        numbered = list(enumerate(whole, 1))
    for number, value in numbered:
        if not isinstance(value, dict):
            unit = "line" if lines else "row"
            raise DatasetError(f"{path}, {unit} {number}: expected an object with fields; got {_kind(value)}")
    if not numbered:
        raise DatasetError(f"{path}: expected at least one row; the file holds none")
    return list(PredictionRows(path, numbered, lines))


def said(row: Row, field: str) -> str | None:
    """What was predicted: any text, the empty one too, or None where the model gave no answer.

    Raises:
        DatasetError: the field is missing, or neither text nor null.
    """
    values = row.rows.values(row.index)
    if field not in values:
        raise DatasetError(
            f"{row.where}: the field {field!r} is missing; the row has {', '.join(map(repr, values)) or 'no field'}"
        )
    value = values[field]
    if value is None or isinstance(value, str):
        return value
    raise row.wrong(field, "a text, or null where there is no answer")


def golds(row: Row, field: str) -> tuple[str, ...]:
    """The gold answers: a text, or a list of one or more. A published one is blank (item 101 of MAT-Search).

    Raises:
        DatasetError: the field is missing or holds something else.
    """
    values = row.rows.values(row.index)
    if field in values and isinstance(values[field], str):
        return (row.text(field, blank=True),)
    return row.texts(field, blank=True)


def answer_of(text: str) -> str | None:
    """The answer in a model's whole output: what `<answer>` holds if there is exactly one; the whole output if there is
    no such tag at all, as when a model was asked to answer directly; otherwise None."""
    action = parse(text)
    if isinstance(action, Action):
        return action.content
    return None if "<answer>" in text or "</answer>" in text or not text.strip() else text


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        more = ". Is this one object a line? Then name the file .jsonl" if error.msg == "Extra data" else ""
        raise DatasetError(
            f"{where}: expected JSON; {error.msg} at line {error.lineno}, column {error.colno}{more}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where}: expected JSON; {error}") from None


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
