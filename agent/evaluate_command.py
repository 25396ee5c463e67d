"""`python -m agent eval`."""

from __future__ import annotations

from collections.abc import Sequence

from .cli import read_options
from .errors import ConfigError
from .evaluation.options import EvaluateConfig


def evaluate_command(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    if any(argument.startswith("--env.") for argument in arguments):
        raise ConfigError("--env takes ids and recipes, such as --env RLLaVA/Counting-v0; their arguments are --kwargs")
    description = "Evaluate checkpoints, chat servers or baselines on environments."
    options = read_options("eval", arguments, EvaluateConfig, description)

    from rich.console import Console

    from .evaluation.command import evaluate

    return evaluate(options, Console())
