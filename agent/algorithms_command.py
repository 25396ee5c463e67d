"""`python -m agent algorithms`: every family, estimator and loss, with its source and its options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from .algorithm import FAMILIES
from .objective.advantage import ADVANTAGES
from .objective.aggregation import AGGREGATIONS
from .objective.kl import KL_ESTIMATORS
from .objective.plugin import Estimator, PolicyLoss
from .objective.policy_loss import POLICY_LOSSES
from .objective.signature import spelled
from .objective.value import VALUE_LOSSES

USAGE = """usage: python -m agent algorithms

Lists what `--algorithm.family`, `--algorithm.advantage` and `--algorithm.policy_loss` may be. Your own function is
named "package.module:function" there; the docstring of agent/objective/plugin.py says what it is given.
"""


def algorithms_command(arguments: Sequence[str], console: Console | None = None) -> int:
    """Print the lists; the exit status."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=160)  # into a file or a pipe: as wide as the lists read well
    if arguments:
        console.print(USAGE, end="", markup=False, highlight=False)
        return 0 if arguments[0] in ("-h", "--help") else 2
    families = Table("family", "advantage", "policy loss", "aggregation", "source", title="--algorithm.family")
    for name, family in FAMILIES.items():
        beside = f"; see also {family.beside}" if family.beside else ""
        families.add_row(name, family.advantage, family.policy_loss, family.aggregation, family.source + beside)
    console.print(families)
    for title, registry, group in (
        ("--algorithm.advantage", ADVANTAGES, "rllava_gym.advantages"),
        ("--algorithm.policy_loss", POLICY_LOSSES, "rllava_gym.policy_losses"),
    ):
        options = Column("options", overflow="fold")
        table = Table("name", "what it is", "needs", options, "source", title=title)
        for name, entry in registry.items():
            table.add_row(name, _line(entry.function), _needs(entry), _options(entry), escape(entry.source))
        for point in metadata.entry_points(group=group):
            table.add_row(point.name, f"of an installed package: {point.value}", "", "", "")
        console.print(table)
    others = Table("option", "allowed", title="Beside them")
    others.add_row("--algorithm.aggregation", ", ".join(AGGREGATIONS))
    for name, estimator in KL_ESTIMATORS.items():
        others.add_row(f"--algorithm.divergence.estimator {name}", _whole(estimator))
    for name, loss in VALUE_LOSSES.items():
        others.add_row(f"--critic.loss {name}", _line(loss))
    console.print(others)
    return 0


def _line(function: Callable[..., object]) -> str:
    first = (function.__doc__ or "").strip().split("\n\n")[0]
    return escape(" ".join(first.replace(":math:", "").split()).removesuffix("."))


def _whole(function: Callable[..., object]) -> str:
    """The docstring's words after its equation: what value and gradient estimate."""
    lines = [line.strip() for line in (function.__doc__ or "").strip().split("\n")]
    return escape(" ".join(lines[1:]).strip() or lines[0])


def _needs(entry: Estimator | PolicyLoss) -> str:
    told = []
    if "values" in entry.needs:
        told.append("a critic")
    if "greedy_scores" in entry.needs:
        told.append("a greedy episode of each task")
    if isinstance(entry, Estimator) and entry.smallest_group > 1:
        told.append(f"groups of {entry.smallest_group}")
    if "sequence" in entry.needs:
        told.append("whole trajectories")
    return ", ".join(told)


def _options(entry: Estimator | PolicyLoss) -> str:
    return escape(
        "\n".join(f"{name}: {spelled(kind)} = {default!r}" for name, (kind, default) in entry.options.items())
    )
