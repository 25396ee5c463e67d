"""Reading passages that somebody else wrote down, in the two shapes that are common."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .contract import Passage
from .errors import CorpusError


def read_corpus(path: str | os.PathLike[str]) -> Iterator[Passage]:
    """The passages of a file, in its order, one at a time.

    .json   a list of objects `{"title": .., "text": ..}`; an `id` is taken where there is one, else the row's number
    .jsonl  an object a line: the same, or `{"id": .., "contents": "\\"Title\\"\\ntext"}`, the shape of the published
            Wikipedia dumps: the first line is the title, in quotation marks or not

    Raises:
        CorpusError: no such file, another ending, or a malformed row; the message names file, row (from 1) and field.
    """
    file = Path(path)
    if file.suffix not in _READERS:
        raise CorpusError(f"a corpus must end in {' or '.join(_READERS)}; got {str(path)!r}")
    if not file.is_file():
        raise CorpusError(f"there is no corpus {str(path)!r}; expected a file of passages in JSON or JSON lines")
    for row, value in _READERS[file.suffix](file):
        yield _passage(value, row, f"{file}, row {row}")


def _rows(file: Path) -> Iterator[tuple[int, Any]]:
    try:
        values = json.loads(file.read_bytes())
    except ValueError as error:
        raise CorpusError(f"{file} is not JSON: {error}") from None
    if not isinstance(values, list):
        raise CorpusError(f"{file} must hold a list of passages; it holds a {type(values).__name__}")
    yield from enumerate(values, 1)


def _lines(file: Path) -> Iterator[tuple[int, Any]]:
    with file.open("rb") as lines:
        for row, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield row, json.loads(line)
            except ValueError as error:
                raise CorpusError(f"{file}, row {row} is not JSON: {error}") from None


_READERS = {".json": _rows, ".jsonl": _lines}


def _passage(value: Any, row: int, where: str) -> Passage:
    if not isinstance(value, dict):
        raise CorpusError(f"{where} must be an object with title and text; it is a {type(value).__name__}")
    number = value.get("id", row)
    if isinstance(number, bool) or not isinstance(number, (str, int)) or number == "":
        raise CorpusError(f"{where}: the field 'id' must be a string or a whole number; it is {number!r:.80}")
    if "contents" in value and "text" not in value:
        first, _, text = _string(value, "contents", where).partition("\n")
        return Passage(str(number), unquoted(first), text.strip())
    return Passage(str(number), _string(value, "title", where), _string(value, "text", where))


def _string(value: dict[str, Any], field: str, where: str) -> str:
    if field not in value:
        raise CorpusError(f"{where}: the field {field!r} is missing; it has {', '.join(map(str, value)) or 'none'}")
    text = value[field]
    if not isinstance(text, str):
        raise CorpusError(f"{where}: the field {field!r} must be a string; it is a {type(text).__name__}")
    # Half of a surrogate pair has no UTF-8 form: it can neither be indexed nor shown.
    return text.encode("utf-8", "replace").decode()


def unquoted(title: str) -> str:
    """A title without the blanks and the one pair of quotation marks around it."""
    title = title.strip()
    return title[1:-1] if len(title) >= 2 and title[0] == title[-1] == '"' else title
