"""python -m envs score SUITE PREDICTIONS"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from ..core.text_match import PROTOCOLS
from ..scoring.suites import SUITES, score_file
from ..scoring.tally import Group, Result
from .terminal import out

FORMATS = """PREDICTIONS is what the benchmarks' evaluation code writes: a JSON list of rows, an object with the rows
under "results" or "details", or JSON lines. Fields that are read, others may be there:

  mat-search, mat-coding, 2wiki, hotpotqa, musique, bamboogle
      pred_answer  text, or null where there is no answer
      gt           a text or a list of texts (not needed with --data)
      id, query    where present, to find the item in --data
  clevr-count, superclevr
      model_output      the whole text of the model; or extracted_answer, a number or null
      ground_truth      a whole number (not needed with --data)
  geometry3k
      model_output      the whole text of the model
      ground_truth      a text (not needed with --data)
  refcoco, refcoco+, refcocog
      model_output      the whole text of the model; or extracted_answer, four numbers
      ground_truth      x1, y1, x2, y2 in the unit that the model uses (not needed with --data: 0 to 1000 relative)

suites:
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    suites = "\n".join(f"  {name:<12} {suite.line}" for name, suite in SUITES.items())
    command: argparse.ArgumentParser = commands.add_parser(
        "score",
        help="score a file of predictions in a benchmark's published format",
        description="Score a file of predictions. Exit status 0, or 1 where a file is missing or malformed.",
        epilog=FORMATS + suites,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("suite", choices=tuple(SUITES), metavar="SUITE", help="see below")
    command.add_argument("predictions", metavar="PREDICTIONS", help="see below")
    command.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="strict",
        help="strict: ours, every item counts (default). faithful: the published code, its faults included",
    )
    command.add_argument("--data", help="the benchmark's own items: a folder, a file or a hub name")
    command.add_argument("--part", help="which part of --data: val (the default), testA, testB or test of RefCOCO")
    command.add_argument(
        "--partial", action="store_true", help="score the rows that are there, not the whole benchmark"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    return command


def run(given: argparse.Namespace) -> int:
    """Score and print; the exit status."""
    result = score_file(given.suite, given.predictions, given.protocol, given.data, given.partial, given.part)
    if given.json:
        print(json.dumps(result.to_dict(), indent=2))
    else:
        show(result)
    return 0


def show(result: Result) -> None:
    """Print a table in percent: the result, a constant answer, and what papers report."""
    names = list(result.groups[0].metrics)
    table = Table(
        "", "part", "n", *(name.replace("_", " ") for name in names), title=f"{result.suite}, {result.protocol}"
    )
    for label, groups in (("predictions", result.groups), *result.baselines.items()):
        for k, group in enumerate(groups):
            table.add_row(escape(label) if k == 0 else "", group.name, str(group.n), *_cells(names, group))
        table.add_section()
    for label, metrics in result.published.items():
        table.add_row(f"published: {label}", "all", "", *_percents(names, metrics))
    out.print(table)
    out.print(escape(f"{result.rows} rows, {result.unanswered} unanswered"))
    for note in result.notes:
        out.print(escape(f"note: {note}"))
    if result.published and result.protocol == "strict":
        out.print(
            "note: published figures are of the protocol faithful and of other models; compare with --protocol faithful"
        )


def _cells(names: list[str], group: Group) -> list[str]:
    cells = []
    for name, value in zip(names, _percents(names, group.metrics), strict=True):
        # Of many metrics only the first has room for its interval; --json has them all.
        shown = len(names) < 4 or name == names[0]
        low, high = group.intervals.get(name, (None, None)) if shown else (None, None)
        cells.append(value if low is None or high is None else f"{value} ({100 * low:.1f} to {100 * high:.1f})")
    return cells


def _percents(names: list[str], metrics: Mapping[str, float]) -> list[str]:
    return [f"{100 * metrics[name]:.1f}" if name in metrics else "" for name in names]
