"""Rows of a published table, and reading their fields so that a wrong one is named by file, row and field."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import DatasetError
from .picture import Picture

MAX_TEXT = 1 << 15  # characters of one text field; a question longer than this is a mistake in the data
_MISSING = object()


class Rows(ABC):
    """A table whose text is in memory and whose pictures are read when they are asked for.

    folder, root: where relative picture paths start and may not lead out of; see `Picture`.
    """

    folder: Path | None = None
    root: Path | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def names(self, i: int) -> Sequence[str]:
        """The names of all fields of row i, in memory or not."""

    @abstractmethod
    def values(self, i: int) -> Mapping[str, Any]:
        """The fields of row i that are in memory."""

    @abstractmethod
    def heavy(self, i: int, name: str) -> Any:
        """A field of row i that is read when asked for."""

    @abstractmethod
    def where(self, i: int) -> str:
        """ "FILE, row 12", counted from 1 within the file; in JSON lines the number of the line."""

    def __iter__(self) -> Iterator[Row]:
        return (Row(self, i) for i in range(len(self)))


@dataclass(frozen=True)
class Row:
    """One row. Every reader returns a checked value or raises `DatasetError` that names file, row and field."""

    rows: Rows
    index: int

    @property
    def where(self) -> str:
        return self.rows.where(self.index)

    def has(self, name: str) -> bool:
        """Whether the row has the field, whatever is in it."""
        return name in self.rows.names(self.index)

    def wrong(self, name: str, expected: str, got: object = _MISSING) -> DatasetError:
        """The error for this field. Without `got`, what the row holds."""
        if got is _MISSING:
            got = self._value(name)
        return DatasetError(f"{self.where}, field {name!r}: expected {expected}; got {_describe(got)}")

    def text(self, name: str, blank: bool = False) -> str:
        """A text of at most 32,768 characters that can be written as UTF-8. blank: it may be."""
        value = self._value(name)
        if not isinstance(value, str) or not (blank or value.strip()):
            raise self.wrong(name, "a text" if blank else "a text that is not blank", value)
        return self._sound(name, value)

    def texts(self, name: str, blank: bool = False) -> tuple[str, ...]:
        """A list of one or more texts, each as `text` takes it."""
        value = self._value(name)
        if not isinstance(value, (list, tuple)) or not value:
            raise self.wrong(name, "a list of one or more texts", value)
        for entry in value:
            if not isinstance(entry, str) or not (blank or entry.strip()):
                raise self.wrong(name, "texts" if blank else "texts that are not blank", entry)
        return tuple(self._sound(name, entry) for entry in value)

    def label(self, name: str) -> str:
        """A text or a whole number, as text: how identifiers are published."""
        value = self._value(name)
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else self.text(name)

    def count(self, name: str) -> int:
        """A whole number from 0 to 10^18 - 1, as a number or as text in ASCII digits, maybe in answer tags."""
        value = self._value(name)
        if isinstance(value, str):
            digits = value.strip().removeprefix("<answer>").removesuffix("</answer>").strip()
            if digits.isascii() and digits.isdigit() and len(digits) <= 18:
                return int(digits)
        elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
            return value
        raise self.wrong(name, "a whole number, at least 0", value)

    def numbers(self, name: str, length: int) -> tuple[float, ...]:
        """`length` finite numbers, as a list or as a JSON list in a text."""
        value = self._value(name)
        if isinstance(value, str) and len(value) < MAX_TEXT:
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise self.wrong(name, f"a list of {length} numbers", value) from None
        fits = isinstance(value, (list, tuple)) and len(value) == length
        if not fits or not all(_finite(entry) for entry in value):
            raise self.wrong(name, f"a list of {length} finite numbers", value)
        return tuple(float(entry) for entry in value)

    def box(self, name: str) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 with x1 < x2 and y1 < y2."""
        x1, y1, x2, y2 = self.numbers(name, 4)
        if not (x1 < x2 and y1 < y2):
            raise self.wrong(name, "x1, y1, x2, y2 with x1 < x2 and y1 < y2 (not x, y, width, height)")
        return x1, y1, x2, y2

    def one_of(self, name: str, allowed: Sequence[str]) -> str:
        """One of the texts `allowed`."""
        value = self._value(name)
        if value not in allowed:
            raise self.wrong(name, f"one of {', '.join(allowed)}", value)
        return str(value)

    def picture(self, name: str, hint: str = "") -> Picture:
        """The picture. That there is such a field is checked now, what is in it when it is read."""
        rows, i, values = self.rows, self.index, self.rows.values(self.index)
        if not self.has(name):
            raise self._missing(name)
        value = values.get(name)
        if name in values and value is None:
            raise self.wrong(name, "a picture", value)
        read = (lambda: value) if name in values else (lambda: rows.heavy(i, name))
        return Picture(read, f"{self.where}, field {name!r}", rows.folder, rows.root, hint)

    def _value(self, name: str) -> Any:
        values = self.rows.values(self.index)
        if name not in values:
            raise self._missing(name)
        return values[name]

    def _missing(self, name: str) -> DatasetError:
        there = ", ".join(map(repr, self.rows.names(self.index))) or "no field"
        return DatasetError(f"{self.where}, field {name!r}: it is missing; the row has {_plain(there)}")

    def _sound(self, name: str, value: str) -> str:
        if len(value) > MAX_TEXT:
            raise self.wrong(name, f"at most {MAX_TEXT} characters", f"{len(value)} characters")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise self.wrong(name, "text that can be written as UTF-8", "a lone surrogate") from None
        return value


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value)


def _describe(value: object) -> str:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return _plain(f"{type(value).__name__} {shown}")


def _plain(text: str) -> str:
    """The text in ASCII: a message quotes data, and must be fit to be printed anywhere."""
    return text.encode("ascii", "backslashreplace").decode()
