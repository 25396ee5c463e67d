"""`python -m agent series FILE`: several recipes, one after the other."""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

from ..interrupt import Interrupt
from .child import run_child
from .plan import PlannedRun, Series, read_series

DESCRIPTION = """Run several recipes one after the other and sum them up. FILE is YAML:

  judged: counting            the run by whose gain all are judged; may be left out
  runs:
    - recipe: counting        a packaged recipe, or a file beside this one
    - recipe: search
      name: searching         of the run and its folder; the recipe's where it is left out
      options:                over the recipe's
        env.kwargs.search: http://search:8001
        optimizer.steps: 30

Interrupted once, the step that runs is finished and saved. The same command goes on where it ended; what is finished is
not run again. Exit status: 0 all runs are finished, and the judged one learned (the 95% interval of what it gained on
the same test tasks, greedily, lies above 0); 3 all are finished, and it did not; 1 a run failed, or a mistake in FILE;
2 wrong usage; 130 interrupted."""

INTERRUPTED = 130  # as shells have it, and as `python -m agent train` ends
NOT_LEARNED = 3


def series_command(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status.

    Raises:
        AgentError: a mistake in the file, told before anything runs; a report that cannot be read or written.
    """
    options = _parser().parse_args(arguments)
    series = read_series(options.file, options.folder)
    if options.only:
        series = series.only(options.only)
    with Interrupt() as stop:
        for place, run in enumerate(series.runs, 1):
            status = INTERRUPTED if stop.requested else _run(run, place, len(series.runs), stop)
            if stop.requested and status in (INTERRUPTED, -SIGTERM, -SIGINT):
                print(f"\ninterrupted in run {place} of {len(series.runs)}, {run.name}; the same command goes on there")
                return INTERRUPTED
            if status:
                _tell_failure(run, status, series.runs[place:])
                return 1
    return _sum_up(series, options.folder)


def _run(run: PlannedRun, place: int, runs: int, stop: Interrupt) -> int:
    command = ["-m", "agent", "train", *run.arguments]
    print(f"\nrun {place} of {runs}: {run.name}\n  python {shlex.join(command)}", flush=True)
    return run_child([sys.executable, *command], stop)


def _tell_failure(run: PlannedRun, status: int, left: Sequence[PlannedRun]) -> None:
    how = f"was ended by {_signal(-status)}" if status < 0 else f"failed with status {status}"
    rest = f"; not started: {', '.join(other.name for other in left)}" if left else ""
    print(
        f"the run {run.name} {how}{rest}. Once the cause is mended, the same command goes on: what is finished is not "
        "run again",
        file=sys.stderr,
    )


def _signal(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def _sum_up(series: Series, folder: Path) -> int:
    """The table, the report and the verdict; returns the exit status."""
    from rich.console import Console

    from ..report.results import change
    from .summary import read_finished, series_report, summary_table, write_series_report

    runs = [read_finished(run.name, folder / run.name) for run in series.runs]
    report = series_report(runs, series.judged)
    console = Console()
    console.print()
    console.print(summary_table(runs))
    pages = [run.folder / "report.html" for run in runs]
    for path in [*pages, write_series_report(folder, report)]:
        if path.exists():
            console.print(f"  {path}", markup=False, highlight=False, soft_wrap=True)
    if "judged" not in report:
        return 0
    name, low, learned = (report["judged"][key] for key in ("run", "low", "learned"))
    row = next(run for run in runs if run.name == name).row("after")
    verdict = "learned" if learned else "is not shown to have learned"
    told = "there is none" if low is None else f"it is {change(low, row['metric'] if row else 'return')}"
    console.print(
        f"{name} {verdict}: the lower end of its gain's interval has to be above 0, and {told}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return 0 if learned else NOT_LEARNED


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m agent series",
        description=DESCRIPTION,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the series, in YAML")
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="where the runs' folders and report.json go")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these runs alone, in the file's order")
    return parser
