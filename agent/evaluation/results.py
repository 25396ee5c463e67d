"""An evaluation's results as plain data, as a table and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..report.results import change, mean

Row = Mapping[str, Any]
NARROW = 2  # policies whose intervals a terminal has room for


def show(console: Console, results: Mapping[str, Any]) -> None:
    """A table for each benchmark and metric, breakdowns, comparisons, and what a reader must know."""
    for title, rows in _tables(results):
        table = Table(title=Text(title), title_justify="left")
        for column in ("policy", "decoding"):
            table.add_column(column, overflow="fold")
        for column in ("mean", "95% interval", "episodes"):
            table.add_column(column, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*map(Text, cells(row)), style="dim" if row.get("published") else None)
        console.print(table)
    for title, heads, lines in _breakdowns(results, NARROW):
        table = Table(title=Text(title), title_justify="left")
        for place, head in enumerate(heads):
            table.add_column(Text(head), justify="left" if not place else "right", overflow="fold")
        for line in lines:
            table.add_row(*map(Text, line))
        console.print(table)
    for row in results["pass_at_k"]:
        told = f"{row['benchmark']}, {row['name']}: pass@{row['k']} "
        console.print(Text(f"{told}{mean(row['value'], 'pass')} ({_numbers(row)[1]})"), soft_wrap=True)
    for row in results["comparisons"]:
        console.print(Text(compared(row)), soft_wrap=True)
    for note in results["notes"]:
        console.print(Text(f"note: {note}"), soft_wrap=True)


def markdown(results: Mapping[str, Any]) -> str:
    """The same for a paper or a README."""
    lines: list[str] = []
    for title, rows in _tables(results):
        lines += [
            f"**{_plain(title)}**",
            "",
            "| policy | decoding | mean | 95% interval | episodes |",
            "|---|---|---|---|---|",
        ]
        lines += ["| " + " | ".join(map(_plain, cells(row))) + " |" for row in rows] + [""]
    for title, heads, rows in _breakdowns(results, len(results["rows"])):
        lines += [f"**{_plain(title)}**", "", "| " + " | ".join(map(_plain, heads)) + " |", "|" + "---|" * len(heads)]
        lines += ["| " + " | ".join(map(_plain, row)) + " |" for row in rows] + [""]
    if results["pass_at_k"]:
        lines += ["| benchmark | policy | k | pass@k | 95% interval | tasks |", "|---|---|---|---|---|---|"]
        for row in results["pass_at_k"]:
            told = (row["benchmark"], row["name"], str(row["k"]), *_numbers(row, "pass"), str(row["tasks"]))
            lines.append("| " + " | ".join(map(_plain, told)) + " |")
        lines.append("")
    lines += [f"- {_plain(compared(row))}" for row in results["comparisons"]]
    lines += [f"- {_plain(note)}" for note in results["notes"]]
    return "\n".join(lines).rstrip() + "\n"


def cells(row: Row) -> tuple[str, ...]:
    """A row of a table: policy, decoding, mean, interval, episodes."""
    if row.get("published"):
        return (f"published: {row['name']}", "", mean(row["value"], row["metric"]), "", "")
    name = f"{row['name']}, {row['variant']}" if row.get("variant") else row["name"]
    decoding = "" if row["decoding"] == "none" else row["decoding"]
    return (name, decoding, *_numbers(row), str(row["episodes"]))


def compared(row: Row) -> str:
    """A comparison in words."""
    value = change(row["value"], row["metric"])
    low, high = (change(row[key], row["metric"], "") for key in ("low", "high"))
    return (
        f"{row['benchmark']} ({row['split']}), {row['decoding']}: {row['after']} - {row['before']} = {value} "
        f"({low} to {high}), p = {row['p_value']:.2g}, {row['tasks']} same tasks"
    )


def _tables(results: Mapping[str, Any]) -> list[tuple[str, list[Row]]]:
    """Rows of one benchmark, split and metric each, published figures last."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in [*results["rows"], *results["measures"]]:
        if row["shown"]:
            groups.setdefault((row["benchmark"], row["split"], row["protocol"], row["metric"]), []).append(row)
    tables = []
    for (benchmark, split, protocol, metric), rows in groups.items():
        told = [f"{benchmark} ({split})", metric] + ([f"protocol {protocol}"] if protocol != "strict" else [])
        tables.append((", ".join(told), sorted(rows, key=lambda row: bool(row.get("published")))))
    return tables


def _breakdowns(results: Mapping[str, Any], most: int) -> list[tuple[str, list[str], list[list[str]]]]:
    """A table for each tag of each benchmark: title, columns, lines. A line is a value of the tag.

    most: Policies beside each other that have room for their intervals.
    """
    groups: dict[tuple[str, ...], dict[str, dict[str, Row]]] = {}
    for row in results["breakdowns"]:
        if row["shown"]:
            group = groups.setdefault((row["benchmark"], row["split"], row["metric"], row["tag"]), {})
            policy = ", ".join(
                part for part in (row["name"], row["variant"], row["decoding"]) if part not in ("", "none")
            )
            group.setdefault(row["value_of_tag"], {})[policy] = row
    tables = []
    for (benchmark, split, metric, tag), values in groups.items():
        policies = list(dict.fromkeys(policy for found in values.values() for policy in found))
        lines = [
            [value, str(max(row["tasks"] for row in found.values()))]
            + [_interval(found.get(policy), len(policies) <= most) for policy in policies]
            for value, found in values.items()
        ]
        tables.append((f"{benchmark} ({split}), {metric} by {tag}", [tag, "tasks", *policies], lines))
    return tables


def _interval(row: Row | None, room: bool) -> str:
    value, interval = ("", "") if row is None else _numbers(row)
    return f"{value} ({interval})" if interval and room else value


def _numbers(row: Row, metric: str | None = None) -> tuple[str, str]:
    metric = metric or row["metric"]
    if not isfinite(row["value"]):
        return "none", ""
    if not isfinite(row["low"]):
        return mean(row["value"], metric), ""
    return mean(row["value"], metric), f"{mean(row['low'], metric)} to {mean(row['high'], metric)}"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\|`*_<>[]" else " " if c in "\r\n" else c for c in text)
