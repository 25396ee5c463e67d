"""`python -m agent train | series | eval | replay | compare | view | plan | algorithms | recipes`."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence

USAGE = """usage: python -m agent COMMAND ...

  train RECIPE [--option value ...]   train a policy; the same command continues a run that was cut off
  series FILE [--folder runs]         train several recipes one after the other, with one summary at the end
  eval --model FOLDER|URL --env ID     evaluate checkpoints, chat servers, baselines; --suite NAME for benchmarks
  replay RUN [--step N]               go through a run's recorded steps again, without a model: is all the same?
  compare RUN RUN ...                 curves and tables of several runs: averaged over seeds, paired, with intervals
  view RUN [FOLDER ...]               one page of results, curves and trajectories; --serve shows it, or all of
                                      a folder of runs, in a browser
  plan RECIPE [--device-memory 24GiB] predict the memory that each phase of a run needs, and what to change first
  algorithms                          list families, advantage estimators and policy losses, with source and options
  recipes                             list the packaged recipes

Each command explains its options with --help.
"""


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit status: 0 done, 1 an error that was explained, 2 wrong usage, 3 a plan
    that does not fit or a series that did not learn, 130 interrupted."""
    _refuse_shadowed_packages()
    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "train": _train,
        "series": _series,
        "eval": _eval,
        "replay": _replay,
        "compare": _compare,
        "view": _view,
        "plan": _plan,
        "algorithms": _algorithms,
        "recipes": _recipes,
    }
    if not arguments or arguments[0] not in commands:
        known = bool(arguments) and arguments[0] in ("-h", "--help")
        print(USAGE, file=sys.stdout if known else sys.stderr)
        return 0 if known else 2
    # A module in the current folder or beside the recipe may hold a user's environment.
    _find_modules_in(os.getcwd())
    if len(arguments) > 1 and arguments[1].endswith((".yaml", ".yml")):
        _find_modules_in(os.path.dirname(os.path.abspath(arguments[1])))
    from .errors import AgentError

    try:
        return commands[arguments[0]](arguments[1:])
    except AgentError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"the disk is full ({error}); free some space and start the same command again: it continues from the last "
            "checkpoint, which is whole",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("stopped at once; the last checkpoint is whole", file=sys.stderr)
        return 130


def _train(arguments: Sequence[str]) -> int:
    from time import perf_counter

    started = perf_counter()

    from .cli import read_config

    config = read_config("train", arguments)  # before torch is imported: a mistake is told at once

    from rich.console import Console

    from .report import show_report
    from .run import run

    console = Console()
    ended = run(config, console, started)
    if ended.report is not None:
        show_report(console, config, ended.report)
    return 0 if ended.finished else 130


def _series(arguments: Sequence[str]) -> int:
    from .series.command import series_command

    return series_command(arguments)


def _eval(arguments: Sequence[str]) -> int:
    from .evaluate_command import evaluate_command

    return evaluate_command(arguments)


def _replay(arguments: Sequence[str]) -> int:
    from .replay.command import replay_command

    return replay_command(arguments)


def _compare(arguments: Sequence[str]) -> int:
    from .compare.command import compare_command

    return compare_command(arguments)


def _view(arguments: Sequence[str]) -> int:
    from .view_command import view_command

    return view_command(arguments)


def _plan(arguments: Sequence[str]) -> int:
    from .plan.command import plan_command

    return plan_command(arguments)


def _algorithms(arguments: Sequence[str]) -> int:
    from .algorithms_command import algorithms_command

    return algorithms_command(arguments)


def _recipes(arguments: Sequence[str]) -> int:
    from .recipes import packaged

    recipes = packaged()
    width = max(map(len, recipes))
    for name, path in recipes.items():
        print(f"{name:{width}}  {path.read_text().splitlines()[0].removeprefix('# ')}")
    return 0


def _find_modules_in(folder: str) -> None:
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that nothing there hides a library


def _refuse_shadowed_packages() -> None:
    """`agent` is a common name: make sure that this is ours and not a folder that happens to lie in the way."""
    import agent

    if getattr(agent, "DISTRIBUTION", None) != "rllava-gym":
        where = getattr(agent, "__file__", None) or list(agent.__path__)
        sys.exit(
            f"the package `agent` of rllava-gym is shadowed by {where}; run from another folder or rename that one"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
