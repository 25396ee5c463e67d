"""`python -m agent compare RUN RUN ...`: several runs beside each other."""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import ConfigError
from .between import Difference, differences
from .draw import draw_comparison
from .groups import Benchmark, Group, benchmarks, grouped
from .runs import read_run
from .summary import Cost, Outcome, Reached, Statistic, baselines, common_threshold, cost, outcomes, reached
from .tables import (
    Table,
    baselines_table,
    cost_table,
    differences_table,
    in_markdown,
    in_terminal,
    options_table,
    reached_table,
    results_table,
    runs_table,
)

DESCRIPTION = """Curves and tables of several runs.

Runs whose options differ in run.* alone (run.seed, run.name) are one group and are averaged over their seeds. Groups
are called by the options in which they differ. Runs of different environments or metrics get tables of their own."""


@dataclass(frozen=True, eq=False)
class Compared:
    """All that is known of a benchmark's groups, by their labels. `chosen`: the threshold was not given."""

    benchmark: Benchmark
    outcomes: dict[str, tuple[Outcome, ...]]
    baselines: dict[str, dict[str, Statistic]]
    reached: dict[str, tuple[Reached, ...]]
    costs: dict[str, Cost]
    differences: list[Difference]
    chosen: bool


def compare_command(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status.

    Raises:
        AgentError: a folder is no run, or runs are not to be averaged.
    """
    options = _parser().parse_args(arguments)
    paths = [Path(run) for run in options.runs]
    if twice := [path for path in paths if [p.resolve() for p in paths].count(path.resolve()) > 1]:
        raise ConfigError(f"{twice[0]} is given more than once")
    groups = grouped([read_run(path) for path in paths], _labels(options.label))
    found = [_compared(benchmark, options.threshold) for benchmark in benchmarks(groups)]
    tables = _tables(groups, found)
    console = Console()
    for table in tables:
        console.print(in_terminal(table))
        console.print()
    if options.output:
        for path in _write(Path(options.output), groups, found, tables):
            console.print(f"  {path}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m agent compare", description=DESCRIPTION, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder, such as runs/NAME")
    parser.add_argument("--output", metavar="FOLDER", help="write compare.md, compare.json and compare.png there")
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="GLOB=NAME",
        help="put the runs whose folder's name (or path) fits GLOB into a group called NAME; may be repeated",
    )
    parser.add_argument(
        "--threshold",
        action="append",
        type=float,
        default=[],
        metavar="X",
        help="report when validation first was at X or above, as in 0.9; may be repeated. Default: the highest score "
        "that every run reached",
    )
    return parser


def _labels(given: Sequence[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in given:
        pattern, equals, name = text.partition("=")
        if not pattern or not equals or not name.strip():
            raise ConfigError(f"--label: expected GLOB=NAME such as 'rloo_*=RLOO', got {text!r}")
        labels[pattern] = name.strip()
    return labels


def _compared(benchmark: Benchmark, thresholds: Sequence[float]) -> Compared:
    groups = benchmark.groups
    chosen = common_threshold(groups) if not thresholds else None
    wanted = list(thresholds) if thresholds else [] if chosen is None else [chosen]
    return Compared(
        benchmark,
        {group.label: outcomes(group) for group in groups},
        {group.label: baselines(group) for group in groups},
        {group.label: tuple(reached(group, threshold) for threshold in wanted) for group in groups},
        {group.label: cost(group) for group in groups},
        differences(groups),
        chosen is not None,
    )


def _tables(groups: Sequence[Group], found: Sequence[Compared]) -> list[Table]:
    tables: list[Table | None] = [runs_table(groups), options_table(groups)]
    for one in found:
        tables += [
            results_table(one.benchmark, one.outcomes),
            baselines_table(one.benchmark, one.baselines),
            differences_table(one.benchmark, one.differences),
            reached_table(one.benchmark, one.reached, one.chosen),
            cost_table(one.benchmark, one.costs),
        ]
    return [table for table in tables if table is not None]


def _write(folder: Path, groups: Sequence[Group], found: Sequence[Compared], tables: Sequence[Table]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawn = draw_comparison([one.benchmark for one in found], folder / "compare.png")
        picture = "![curves](compare.png)\n\n" if drawn else ""
        text = "# Comparison\n\n" + picture + "\n".join(map(in_markdown, tables))
        (folder / "compare.md").write_text(text, encoding="utf-8")
        (folder / "compare.json").write_text(json.dumps(_json(groups, found), indent=1), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output {folder}: cannot be written ({error}); choose another folder") from error
    return [folder / name for name in ("compare.md", "compare.json", *(["compare.png"] if drawn else []))]


def _json(groups: Sequence[Group], found: Sequence[Compared]) -> Any:
    return _plain(
        {
            "groups": [
                {
                    "label": group.label,
                    "options": group.options,
                    "mixed": group.mixed,
                    "runs": [
                        {"path": str(run.path), "seed": run.seed, "step": run.step, "finished": run.finished}
                        for run in group.runs
                    ],
                }
                for group in groups
            ],
            "benchmarks": [
                {
                    "env_id": one.benchmark.env_id,
                    "metric": one.benchmark.metric,
                    "groups": {
                        group.label: {
                            "results": one.outcomes[group.label],
                            "baselines": one.baselines[group.label],
                            "reached": one.reached[group.label],
                            "cost": one.costs[group.label],
                        }
                        for group in one.benchmark.groups
                    },
                    "differences": one.differences,
                }
                for one in found
            ],
        }
    )


def _plain(value: Any) -> Any:
    """For JSON, which has no form for what is not a number."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
