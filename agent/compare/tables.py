"""A comparison as tables: one form, shown in the terminal and written as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from rich.table import Table as RichTable
from rich.text import Text

from ..report.results import change, duration, mean
from ..report.tokens import visible
from .between import Difference
from .groups import Benchmark, Group
from .summary import BASELINES, Cost, Outcome, Reached, Statistic

NOTHING = "-"


@dataclass(frozen=True)
class Table:
    """Cells of text; the first `left` columns are words, the others numbers. `note`: what the numbers mean."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    left: int = 1


def runs_table(groups: Sequence[Group]) -> Table:
    """Which runs are in which group, and how far each came."""
    rows = []
    for group in groups:
        for run in group.runs:
            state = "finished" if run.finished else f"unfinished, {run.step} of {run.steps}"
            rows.append((group.label, str(run.path), str(run.seed), str(run.step), state))
    note = "Runs of a group differ in nothing but `run.*`, such as run.seed."
    if mixed := [f"{group.label} (by label): {', '.join(group.mixed)}" for group in groups if group.mixed]:
        note = "Runs of a group differ in `run.*` alone, but for " + "; ".join(mixed) + "."
    return Table("runs", ("group", "run", "seed", "steps", "state"), tuple(rows), note, 2)


def options_table(groups: Sequence[Group]) -> Table | None:
    """The options in which groups differ, a line for each."""
    names = list(dict.fromkeys(name for group in groups for name in group.options))
    if not names:
        return None
    rows = tuple((name, *(_option(group.options, name) for group in groups)) for name in names)
    columns = ("option", *(group.label for group in groups))
    return Table("options that differ between groups", columns, rows, left=len(columns))


def results_table(benchmark: Benchmark, found: Mapping[str, Sequence[Outcome]]) -> Table:
    """Before, after and gain; `found`: outcomes by the label of their group."""
    metric = benchmark.metric or "return"
    rows = []
    for group in benchmark.groups:
        for outcome in found[group.label]:
            gain = outcome.gain
            told = outcome.after or outcome.before
            rows.append(
                (
                    group.title,
                    outcome.decoding,
                    _mean(outcome.before, metric),
                    _mean(outcome.after, metric),
                    NOTHING if gain is None else _interval(gain, lambda v: change(v, metric, "")),
                    _basis(told),
                )
            )
    note = (
        "Means with 95% bootstrap intervals, resampled over what the last column says: over seeds, for what another "
        "seed would give; over the test episodes of the one run there is, for what other tasks would give. "
        "Of a handful of seeds such intervals are too narrow."
    )
    columns = ("group", "decoding", "before", "after", "gain", "interval over")
    return Table(f"{benchmark.title}, on test tasks", columns, tuple(rows), note, 2)


def baselines_table(benchmark: Benchmark, found: Mapping[str, Mapping[str, Statistic]]) -> Table | None:
    """The environment's own players, a line for groups that were told the same."""
    metric = benchmark.metric or "return"
    told: dict[tuple[str, ...], list[str]] = {}
    for group in benchmark.groups:
        if own := found[group.label]:
            told.setdefault(tuple(_mean(own.get(name), metric) for name in BASELINES), []).append(group.label)
    if not told:
        return None
    rows = [("all groups" if len(told) == 1 else "; ".join(labels), *cells) for cells, labels in told.items()]
    return Table(f"{benchmark.title}, baselines", ("group", *BASELINES), tuple(rows))


def reached_table(benchmark: Benchmark, found: Mapping[str, Sequence[Reached]], chosen: bool) -> Table | None:
    """Steps and episodes to a threshold. `chosen`: the threshold was found and not given."""
    metric = benchmark.metric or "return"
    rows = []
    for group in benchmark.groups:
        for reach in found[group.label]:
            by = f"{reach.by} of {reach.of}" if reach.of else "no validation"
            cells = (_count(reach.steps), _count(reach.episodes))
            rows.append((group.title, mean(reach.threshold, metric), by, *cells))
    if not rows:
        return None
    note = (
        "The first greedy validation at or above the threshold: no sooner than validations were made. Means over the "
        "runs that got there, with 95% bootstrap intervals over seeds. Episodes are those played for learning, groups "
        "that dynamic sampling replaced included."
    )
    if chosen:
        note += " The threshold is the highest that every run reached; --threshold gives others."
    return Table(
        f"{benchmark.title}, sample efficiency", ("group", "validation", "runs", "steps", "episodes"), tuple(rows), note
    )


def cost_table(benchmark: Benchmark, found: Mapping[str, Cost]) -> Table:
    """Seconds of a step and of its phases, the largest memory, and the whole run."""
    rows = []
    for group in benchmark.groups:
        own = found[group.label]
        seconds = [_decimal(own.seconds.get(name), ".3g") for name in ("step", "rollout", "update")]
        total = NOTHING if own.total is None else duration(own.total.value)
        rows.append((group.title, *seconds, _decimal(own.peak_mib, ".0f"), total))
    note = (
        "Means over steps, then over runs; a step includes validations and recording. Memory is the largest of a run."
    )
    columns = ("group", "s a step", "s rollout", "s update", "peak MiB", "whole run")
    return Table(f"{benchmark.title}, cost", columns, tuple(rows), note)


def differences_table(benchmark: Benchmark, found: Sequence[Difference]) -> Table | None:
    """Paired differences of every two groups."""
    metric = benchmark.metric or "return"
    if not found:
        return None
    rows = []
    for one in found:
        names = f"{one.second} - {one.first}"
        if one.why:
            rows.append((names, f"not paired: {one.why}", *[NOTHING] * 4))
            continue
        low, high = (change(end, metric, "") for end in (one.low, one.high))
        basis = f"{one.count} {one.over}"
        rows.append((names, one.decoding, change(one.value, metric), f"{low} to {high}", _p(one.p), basis))
    seeds = sorted({seed for one in found for seed in one.seeds})
    used = f" Runs with seeds that both groups have: {', '.join(map(str, seeds))}." if seeds else ""
    note = (
        "After training, on the same test tasks: means of paired differences with 95% bootstrap intervals and "
        "two-sided p-values by sign flips. Over tasks: whether these policies differ on other tasks, each task being "
        f"the mean over runs; over seeds: whether other runs would differ.{used} Each p-value is for its line alone, "
        "not corrected for the number of lines."
    )
    columns = ("difference", "decoding", "points" if metric != "return" else "return", "95% interval", "p", "over")
    return Table(f"{benchmark.title}, differences", columns, tuple(rows), note, 2)


def in_terminal(table: Table) -> RichTable:
    """The table for rich, with nothing in it taken for markup."""
    shown = RichTable(title=Text(visible(table.title)), caption=Text(table.note) if table.note else None)
    shown.caption_justify = "left"
    for index, column in enumerate(table.columns):
        shown.add_column(Text(visible(column)), justify="left" if index < table.left else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(visible(cell)) for cell in row))
    return shown


def in_markdown(table: Table) -> str:
    """The table as GitHub's Markdown; what a name holds stays text."""
    rule = ["---" if index < table.left else "---:" for index in range(len(table.columns))]
    rows = [table.columns, rule, *table.rows]
    cells = [[cell if row is rule else escaped(cell) for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    title, note = f"## {escaped(table.title)}", [f"\n{escaped(table.note)}"] if table.note else []
    return "\n".join([title, "", *lines, *note, ""])


def escaped(text: str) -> str:
    """Text in which Markdown and HTML find nothing of theirs."""
    plain = visible(text, 2000).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\`*_[]|#~!$" else c for c in plain)


def _basis(statistic: Statistic | None) -> str:
    return NOTHING if statistic is None else f"{statistic.count} {statistic.over}".strip() or NOTHING


def _option(options: Mapping[str, object], name: str) -> str:
    return str(options[name]) if name in options else "(differs inside)"


def _mean(statistic: Statistic | None, metric: str) -> str:
    return NOTHING if statistic is None else _interval(statistic, lambda value: mean(value, metric).removesuffix("%"))


def _interval(statistic: Statistic, said: object) -> str:
    assert callable(said)
    value = said(statistic.value)
    return f"{value} ({said(statistic.low)} to {said(statistic.high)})" if isfinite(statistic.low) else str(value)


def _count(statistic: Statistic | None) -> str:
    if statistic is None:
        return NOTHING
    return _interval(statistic, lambda value: f"{value:,.0f}")


def _decimal(statistic: Statistic | None, form: str) -> str:
    return NOTHING if statistic is None else _interval(statistic, lambda value: format(value, form))


def _p(value: float) -> str:
    return NOTHING if not isfinite(value) else f"{value:.2g}" if value >= 1e-4 else f"{value:.0e}"
