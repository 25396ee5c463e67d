"""The forms in which tables are published: JSON lines, JSON, parquet shards, and the Arrow tables of `datasets`."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from sys import intern
from threading import Lock
from types import ModuleType
from typing import Any, NoReturn

from ..core.errors import DatasetError, MissingExtraError
from .rows import Rows


def library(name: str) -> ModuleType:
    """The library, imported now.

    Raises:
        MissingExtraError: it is not installed; says which extra brings it.
    """
    try:
        return __import__(name, fromlist=["_"])
    except ImportError:
        raise MissingExtraError(
            f"reading this data set needs {name.split('.')[0]}, which is not installed: pip install 'rllava-gym[data]'"
        ) from None


class JsonRows(Rows):
    """A file of JSON lines (`.jsonl`) or a list of objects (`.json`). Only the wanted fields are kept in memory."""

    def __init__(self, path: Path, wanted: frozenset[str]) -> None:
        self.path = path
        lines = path.suffix == ".jsonl"
        found = _json_lines(path) if lines else _json_list(path)
        self._rows: list[tuple[int, tuple[str, ...], dict[str, Any]]] = []
        for number, value in found:
            if not isinstance(value, dict):
                raise DatasetError(f"{path}, row {number}: expected an object with fields; got {type(value).__name__}")
            names = tuple(map(intern, value))  # the same few names in every row
            self._rows.append((number, names, {name: value[name] for name in names if name in wanted}))

    def __len__(self) -> int:
        return len(self._rows)

    def names(self, i: int) -> Sequence[str]:
        return self._rows[i][1]

    def values(self, i: int) -> Mapping[str, Any]:
        return self._rows[i][2]

    def heavy(self, i: int, name: str) -> Any:
        return self._rows[i][2][name]

    def where(self, i: int) -> str:
        return f"{self.path}, row {self._rows[i][0]}"


def _json_lines(path: Path) -> Any:
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _parse(line, f"{path}, row {number}")


def _json_list(path: Path) -> Any:
    value = _parse(path.read_bytes(), str(path))
    if not isinstance(value, list):
        raise DatasetError(f"{path}: expected a list of objects, one a row; got {type(value).__name__}")
    return enumerate(value, 1)


def _parse(text: bytes, where: str) -> Any:
    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON")

    try:
        return json.loads(text.decode("utf-8-sig"), parse_constant=refuse)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{where}: expected UTF-8; byte {error.start + 1} is not") from None
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
        more = (
            ". Is this one object a line? Then name the file .jsonl"
            if error.msg == "Extra data" and ", row " not in where
            else ""
        )
        raise DatasetError(f"{where}: expected JSON; {error.msg} at {place}{more}") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where}: expected JSON; {error}") from None


class ParquetRows(Rows):
    """Parquet shards: text columns in memory, pictures by row group, the last one kept."""

    def __init__(self, paths: Sequence[Path], wanted: frozenset[str], pictures: frozenset[str]) -> None:
        parquet = library("pyarrow.parquet")
        self.paths = tuple(paths)
        self._files: list[Any] = []
        self._values: list[dict[str, Any]] = []
        sizes: list[int] = []
        for path in self.paths:
            try:
                file = parquet.ParquetFile(path)
                names = [name for name in file.schema_arrow.names if name in wanted and name not in pictures]
                rows = file.read(columns=names).to_pylist() if names else [{}] * file.metadata.num_rows
            except Exception as error:  # Arrow raises many kinds on bytes that are no parquet
                raise DatasetError(f"{path}: expected a parquet file; {_first_line(error)}") from None
            self._files.append(file)
            self._values += rows
            sizes.append(len(rows))
        self._starts = [0, *accumulate(sizes)]
        self._groups = [
            [0, *accumulate(f.metadata.row_group(g).num_rows for g in range(f.num_row_groups))] for f in self._files
        ]
        self._names = [tuple(file.schema_arrow.names) for file in self._files]
        self._kept: tuple[tuple[int, int, str], Any] | None = None
        self._lock = Lock()

    def __len__(self) -> int:
        return self._starts[-1]

    def names(self, i: int) -> Sequence[str]:
        return self._names[self._place(i)[0]]

    def values(self, i: int) -> Mapping[str, Any]:
        return self._values[i]

    def heavy(self, i: int, name: str) -> Any:
        shard, row = self._place(i)
        file = self._files[shard]
        group = bisect_right(self._groups[shard], row) - 1
        with self._lock:  # environments in threads share one table
            if self._kept is None or self._kept[0] != (shard, group, name):
                try:
                    column = file.read_row_group(group, columns=[name]).column(name)
                except Exception as error:
                    message = f"expected a column that can be read; {_first_line(error)}"
                    raise DatasetError(f"{self.where(i)}, field {name!r}: {message}") from None
                self._kept = ((shard, group, name), column)
            return self._kept[1][row - self._groups[shard][group]].as_py()

    def where(self, i: int) -> str:
        shard, row = self._place(i)
        return f"{self.paths[shard]}, row {row + 1}"

    def _place(self, i: int) -> tuple[int, int]:
        shard = bisect_right(self._starts, i) - 1
        return shard, i - self._starts[shard]


class ArrowRows(Rows):
    """A `datasets.Dataset`, mapped into memory: text columns are copied out, pictures are read when asked for."""

    def __init__(self, dataset: Any, name: str, wanted: frozenset[str], pictures: frozenset[str]) -> None:
        self.name = name
        self._dataset = dataset.with_format("arrow")  # raw structs: nothing decodes a picture behind our back
        self._names = tuple(dataset.column_names)
        names = [c for c in self._names if c in wanted and c not in pictures]
        text = self._dataset.select_columns(names)[:].to_pylist() if names else [{}] * len(dataset)
        self._values: list[dict[str, Any]] = text

    def __len__(self) -> int:
        return len(self._values)

    def names(self, i: int) -> Sequence[str]:
        return self._names

    def values(self, i: int) -> Mapping[str, Any]:
        return self._values[i]

    def heavy(self, i: int, name: str) -> Any:
        return self._dataset[i].column(name)[0].as_py()

    def where(self, i: int) -> str:
        return f"{self.name}, row {i + 1}"


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
