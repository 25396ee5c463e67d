"""`python -m agent replay RUN`: is what a run recorded what comes out now?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError

USAGE = """usage: python -m agent replay RUN [--step N]

Goes through the recorded steps of a run again, without a model and without its weights: environments are given the
recorded actions, rewards, advantages and losses are worked out once more, and all of it is compared with the record
bit for bit. The first difference of each step is named.

  RUN       a run's folder, such as runs/demo
  --step N  only this step; default: all that were recorded

Exit status: 0 all is equal, 1 something differs, or could not be checked (it is told what and why).
"""
SHOWN = 5


@dataclass(frozen=True)
class ReplayOptions:
    """What stands on the command line."""

    run: Path
    step: int | None = None


def replay_command(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status.

    Raises:
        AgentError: the run, its environment or its tokenizer cannot be had.
    """
    if not arguments or "-h" in arguments or "--help" in arguments:
        print(USAGE, file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    options = read_arguments(arguments)

    from rich.console import Console
    from rich.progress import Progress

    from .results import show_first, show_table
    from .run_folder import open_run
    from .step import Replayer

    console = Console()
    run = open_run(options.run)
    steps = run.steps
    if not steps:
        raise ConfigError(f"{run.path} has no recorded steps: {run.rollouts} is empty")
    if options.step is not None and options.step not in steps:
        raise ConfigError(f"--step: {options.step} was not recorded; recorded are {', '.join(map(str, steps))}")
    chosen = steps if options.step is None else [options.step]
    replayer, found = Replayer(run), []
    # Where there is no terminal, each step's line is the progress.
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bars:
        for step in chosen:
            recorded = run.read(step)
            bar = bars.add_task(f"step {step}", total=len(recorded.episodes) + len(recorded.greedy or ()))
            found.append(replayer.replay(recorded, lambda _, bar=bar: bars.advance(bar)))
            bars.remove_task(bar)
            show_first(console, found[-1])
    show_table(console, run.path, found)
    return 0 if all(not (one.differences or one.unchecked) for one in found) else 1


def read_arguments(arguments: Sequence[str]) -> ReplayOptions:
    """Raises ConfigError for what is not on the usage."""
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--step=") else [word])]
    step = None
    if "--step" in words:
        place = words.index("--step")
        given = words[place + 1] if place + 1 < len(words) else ""
        if not given.isascii() or not given.isdigit() or int(given) < 1:
            raise ConfigError(f"--step: must be the number of a step, 1 or above, got {given!r}")
        step = int(given)
        del words[place : place + 2]
    if len(words) != 1 or words[0].startswith("-"):
        raise ConfigError(f"replay takes one run's folder and --step N, got {' '.join(arguments)!r}; see --help")
    return ReplayOptions(Path(words[0]), step)
