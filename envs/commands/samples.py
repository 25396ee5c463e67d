"""Making any environment of the catalogue on any machine: published data that are not there are replaced by a sample.

A sample is a small synthetic set in exactly the published format, written into a temporary folder. It shows that an
environment and its reader work, and what a task looks like; it is not the benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any

from .. import CATALOGUE


@dataclass(frozen=True)
class Prepared:
    """Keyword arguments for `gymnasium.make`, and whether their data are a sample."""

    kwargs: dict[str, Any]
    sample: bool


@contextmanager
def prepared(env_id: str, kwargs: Mapping[str, Any]) -> Iterator[Prepared]:
    """The catalogue's arguments for checks, overridden by `kwargs`; with a sample where the id needs data and `kwargs`
    names none. The sample is gone when the context ends. Ids outside the catalogue get `kwargs` as they are."""
    entry = CATALOGUE.get(env_id.removeprefix("envs:"))
    if entry is None:
        yield Prepared(dict(kwargs), False)
        return
    given = {**entry.check, **kwargs}
    if entry.sample is None or "data" in given:
        yield Prepared(given, False)
        return
    module, function = entry.sample.split(":")
    with TemporaryDirectory(prefix="envs-sample-") as folder:
        getattr(import_module(module), function)(folder)
        yield Prepared({"data": folder, **given}, True)
