"""How far reading a corpus has come: a bar in a terminal, and a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .contract import Passage

LINE_SECONDS = 10.0


def rows(corpus: Path) -> int | None:
    """How many passages to expect, where that is cheap to know."""
    if corpus.suffix != ".jsonl" or not corpus.is_file():
        return None
    with corpus.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))


def told(
    passages: Iterable[Passage], total: int | None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Passage]:
    """The same passages; how many were taken is shown on stderr. total: of all, if known."""
    return _barred(passages, total) if sys.stderr.isatty() else _lined(passages, total, clock)


def _barred(passages: Iterable[Passage], total: int | None) -> Iterator[Passage]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("reading passages", total=total)
        for count, passage in enumerate(passages, 1):
            yield passage
            if count % 1000 == 0:
                progress.update(bar, completed=count)


def _lined(passages: Iterable[Passage], total: int | None, clock: Callable[[], float]) -> Iterator[Passage]:
    began = due = clock()
    due += LINE_SECONDS
    for count, passage in enumerate(passages, 1):
        yield passage
        if count % 1000 == 0 and clock() >= due:
            due = clock() + LINE_SECONDS
            of = "" if total is None else f" of {total:,}"
            print(f"{count:,}{of} passages read in {clock() - began:.0f} s", file=sys.stderr, flush=True)
