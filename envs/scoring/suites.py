"""What can be scored, and scoring it: `SUITES` and `score_file`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ..core.arguments import one_of
from ..core.boxes import Box
from ..core.errors import DatasetError
from ..core.text_match import PROTOCOLS
from ..datasets.rows import Row
from . import counting, geometry, grounding, text
from .predictions import read
from .published import PUBLISHED
from .published_mathematics import Judge
from .reference import Reference, positions
from .tally import Group, Part, Result, Scored, faithful, strict


@dataclass(frozen=True)
class Suite:
    """A benchmark that can be scored.

    kind: the file with `score`, `measure`, `gold` and `constants` of its answers, and the names of its fields.
    size: its items, where there is one published number. parts: of the published order.
    items: reads a part of them from `--data`. published_parts: what the publisher calls them, the first by default.
    chinese: of text, see `envs.core.text_match`.
    by_id: rows may be missing, because identifiers count from 1 in the published order.
    fixed: the published code divides by `size` whatever the number of rows.
    """

    line: str
    kind: ModuleType
    items: Callable[[str, str], Sequence[Reference[Any]]]
    size: int | None = None
    parts: tuple[Part, ...] = ()
    published_parts: tuple[str, ...] = ("test",)
    chinese: bool = False
    by_id: bool = False
    fixed: bool = False


def _reader(module: str, gold: Callable[[Any], Any], **kwargs: Any) -> Callable[[str, str], list[Reference[Any]]]:
    def items(data: str, part: str) -> list[Reference[Any]]:
        loaded = import_module(f"envs.datasets.{module}").load(data, part, **kwargs)
        return [Reference(getattr(item, "id", None), item.question, gold(item)) for item in loaded]

    return items


def _multihop(name: str, line: str, size: int) -> Suite:
    return Suite(line, text, _reader("multihop", lambda item: item.golden_answers, dataset=name), size)


def _refcoco(name: str, title: str, parts: tuple[str, ...]) -> Suite:
    line = f"{title}, {', '.join(parts)}: IoU of boxes, accuracy at thresholds, centre"
    reader = _reader("refcoco", lambda item: Box(*item.normalized), dataset=name)
    return Suite(line, grounding, reader, published_parts=parts)


SUITES: dict[str, Suite] = {
    "mat-search": Suite(
        "MAT-Search: 150 questions about pictures that need a web search; F1 and exact match",
        text,
        _reader("mat_search", lambda item: (item.answer,)),
        150,
        (Part("simple", 0, 75), Part("hard", 75, 150)),
    ),
    "mat-coding": Suite(
        "MAT-Coding: 200 questions about pictures that code must mend first; F1 and exact match",
        text,
        _reader("mat_coding", lambda item: item.answers),
        200,
        (Part("simple", 0, 70), Part("hard", 70, 200)),
        chinese=True,
        by_id=True,
        fixed=True,
    ),
    "2wiki": _multihop("2wiki", "2WikiMultihopQA, dev: 12,576 questions; F1 and exact match", 12_576),
    "hotpotqa": _multihop("hotpotqa", "HotpotQA, dev: 7,405 questions; F1 and exact match", 7_405),
    "musique": _multihop("musique", "MuSiQue, dev: 2,417 questions; F1 and exact match", 2_417),
    "bamboogle": _multihop("bamboogle", "Bamboogle: 125 questions; F1 and exact match", 125),
    "clevr-count": Suite(
        "CLEVR-Count, test: the exact whole number", counting, _reader("clevr_count", lambda item: item.answer), 200
    ),
    "superclevr": Suite(
        "SuperCLEVR: 200 questions; the exact whole number",
        counting,
        _reader("super_clevr", lambda item: item.answer),
        200,
    ),
    "geometry3k": Suite(
        "Geometry3K, test: 601 problems; answers compared as mathematics",
        geometry,
        _reader("geometry3k", lambda item: item.answer),
        601,
    ),
    "refcoco": _refcoco("refcoco", "RefCOCO", ("val", "testA", "testB")),
    "refcoco+": _refcoco("refcoco+", "RefCOCO+", ("val", "testA", "testB")),
    "refcocog": _refcoco("refcocog", "RefCOCOg", ("val", "test")),
}


def score_file(
    name: str,
    path: str | Path,
    protocol: str = "strict",
    data: str | None = None,
    partial: bool = False,
    part: str | None = None,
) -> Result:
    """Score a file of predictions.

    data: the benchmark's own items (a folder, a file or a hub name), for golds that the predictions do not carry and to
    find the item of each row. part: the publisher's name of the part to read there.
    partial: score the rows that are there instead of the whole benchmark.

    Raises:
        ArgumentError: an unknown suite or protocol.
        DatasetError: the predictions or the data are missing or malformed; names the file, the row and the field.
        MissingExtraError: a library that this suite needs is not installed.
    """
    suite = SUITES[one_of("suite", name, tuple(SUITES))]
    one_of("protocol", protocol, PROTOCOLS)
    part = suite.published_parts[0] if part is None else one_of("part", part, suite.published_parts)
    rows = read(path)
    items = None if data is None else suite.items(data, part)
    places = _places(suite, rows, items, str(data), protocol, partial)
    golds = [suite.kind.gold(row) for row in rows] if items is None else [items[p].gold for p in places or ()]
    with Judge() as judge:
        extra = {text: (suite.chinese,), geometry: (judge,)}.get(suite.kind, ())
        scores = [suite.kind.score(row, gold, protocol, *extra) for row, gold in zip(rows, golds, strict=True)]
        given_up = judge.given_up
    scored = [Scored(row.where, None if places is None else places[k], *scores[k]) for k, row in enumerate(rows)]
    size = len(rows) if partial else suite.size if items is None else len(items)
    parts = () if partial else suite.parts
    notes = _notes(suite, rows, items, size, protocol)
    if given_up:
        notes.append(f"math-verify took too long for {given_up} answers, which count as wrong")
    if protocol == "faithful":
        groups = faithful(scored, parts, suite.size if suite.fixed and not partial else None)
    else:
        groups = strict(scored, parts, size)
    everything = golds if items is None else [item.gold for item in items]
    complete = items is not None or partial or suite.size is None or len(rows) == suite.size
    if suite.kind is text:
        notes += text.notes(everything)
    return Result(
        suite=name,
        protocol=protocol,
        rows=len(rows),
        unanswered=sum(not item.answered for item in scored) + (max(0, (size or 0) - len(rows))),
        groups=groups,
        baselines=_baselines(suite, everything, protocol, parts) if complete else {},
        published=PUBLISHED.get(name, {}),
        notes=tuple(notes),
    )


def _places(
    suite: Suite,
    rows: Sequence[Row],
    items: Sequence[Reference[Any]] | None,
    data: str,
    protocol: str,
    partial: bool,
) -> list[int] | None:
    """The item that each row is about, or None where that cannot and need not be known.

    Raises:
        DatasetError: it must be known and cannot.
    """
    if items is not None:
        return positions(rows, items, suite.kind.QUESTION, data)
    if suite.by_id and suite.size is not None:
        found = text.published_position(rows, suite.size)
        if found is not None:
            return found
    if suite.size is None or len(rows) == suite.size:
        return list(range(len(rows)))
    if partial or protocol == "faithful":
        return None
    raise DatasetError(
        f"{rows[-1].where}: expected {suite.size} rows, one an item and in the benchmark's order; got {len(rows)}. "
        "Write unanswered items with null, or give --data to find items by their id or question, or --partial to score "
        "only the rows that are there"
    )


def _notes(
    suite: Suite, rows: Sequence[Row], items: Sequence[Reference[Any]] | None, size: int | None, protocol: str
) -> list[str]:
    if size is None or len(rows) >= size:
        return []
    if protocol == "strict":
        return [f"{size - len(rows)} of the {size} items have no row: unanswered, they count as 0 in their place"]
    if suite.fixed:
        return [
            f"{len(rows)} rows and {size} items: as published, unanswered items are left out, the rows behind them "
            "move up, and sums are still divided by the number of items"
        ]
    return [f"{len(rows)} rows where the benchmark has {size} items: as published, means are over the rows"]


def _baselines(
    suite: Suite, golds: Sequence[Any], protocol: str, parts: Sequence[Part]
) -> dict[str, tuple[Group, ...]]:
    """The best answer that is the same for every item."""
    best: tuple[str, tuple[Group, ...]] | None = None
    for said in suite.kind.constants(golds):
        extra = (protocol, suite.chinese) if suite.kind is text else ()
        scored = [Scored("", k, suite.kind.measure(said, gold, *extra), True) for k, gold in enumerate(golds)]
        groups = (faithful if protocol == "faithful" else strict)(scored, parts, None)
        first = next(iter(groups[0].metrics))
        if best is None or groups[0].metrics[first] > best[1][0].metrics[first]:
            best = (f'answering "{said}" to all' if isinstance(said, str) else "the whole picture", groups)
    return {} if best is None else dict([best])
