"""`python -m agent eval`."""

from __future__ import annotations

from collections.abc import Sequence

from .cli import read_options
from .evaluation.options import EvaluateConfig


def evaluate_command(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    description = "Evaluate checkpoints, chat servers or baselines on environments."
    options = read_options("eval", arguments, EvaluateConfig, description)

    from rich.console import Console

    from .evaluation.command import evaluate

    return evaluate(options, Console())
