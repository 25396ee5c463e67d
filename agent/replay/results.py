"""What came of a replay, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .step import StepAgain


def show_first(console: Console, again: StepAgain) -> None:
    """A step's first difference, and what could not be checked; of a step in order, that it is."""
    if not again.differences and not again.unchecked:
        _say(console, "", f"step {again.step}: {result_of(again)}")
    if again.differences:
        more = len(again.differences) - 1
        told = f" ({more} more)" if more else ""
        _say(console, "red", f"step {again.step} differs{told}: {again.differences[0]}")
    for part, reason in again.unchecked.items():
        _say(console, "yellow", f"step {again.step}, {part} not checked: {reason}")
    if again.episodes.failed:
        count = again.episodes.failed
        _say(console, "", f"step {again.step}: {count} episodes failed at the infrastructure then and are not repeated")
    if again.near:
        _say(console, "", f"step {again.step}: recorded on {again.near}; numbers are compared up to rounding")


def show_table(console: Console, path: Path, found: Sequence[StepAgain]) -> None:
    """A line a step."""
    table = Table(title=Text(f"replay of {path}"))
    table.add_column("step", justify="right")
    for column in ("episodes", "pictures", "tokens", "losses"):
        table.add_column(column, justify="right")
    table.add_column("result")
    for again in found:
        episodes = again.episodes
        counts = (episodes.played, episodes.pictures, episodes.tokens, again.losses)
        table.add_row(str(again.step), *(f"{count:,}" for count in counts), Text(result_of(again)))
    console.print(table)


def result_of(again: StepAgain) -> str:
    """In a few words."""
    if again.differences:
        return f"differs: {', '.join(dict.fromkeys(difference.part for difference in again.differences))}"
    equal = "equal up to rounding" if again.near else "equal"
    return f"{equal}, but not checked: {', '.join(again.unchecked)}" if again.unchecked else equal


def _say(console: Console, style: str, message: str) -> None:
    # Not as markup: a message may quote what the policy wrote, brackets and all.
    console.print(Text(message, style), soft_wrap=True)
