"""python -m sandbox check --backend NAME [--conformance | --hostile] [--only NAME ...] [--list]

Holds a sandbox to its laws, then sets the hostile programs on it, all in one lane where the backend lets us choose.
An attack on something that the backend does not promise to hold is not run, and listed as "not promised".

Exit status: 0 all of it held; 1 something failed; 3 nothing failed, but not everything was shown: attacks were not
promised to be held, or the machine was too busy to tell.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..conformance import LAWS, check_sandbox
from ..contract import Sandbox
from ..hostile import ATTACKS, Attack, Outcome, run_suite
from ..hostile.honest import DishonestError
from ..hostile.running import FAILED, HELD, NOT_PROMISED, UNDECIDED
from ..opening import NAMES
from .lanes import open_lanes

T = TypeVar("T")
PASSED, BROKEN, NOT_SHOWN = 0, 1, 3
_MARKS = {HELD: "ok  ", FAILED: "FAIL", NOT_PROMISED: "-   ", UNDECIDED: "?   "}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m sandbox check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--backend", metavar="NAME", help=f"one of {', '.join(NAMES)}")
    made.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="only laws and attacks of this name; a pattern such as 'network.*' will do; may be given several times",
    )
    which = made.add_mutually_exclusive_group()
    which.add_argument("--conformance", action="store_true", help="only the laws")
    which.add_argument("--hostile", action="store_true", help="only the attacks")
    made.add_argument("--list", action="store_true", help="name every law and attack, and run none")
    return made


def main(arguments: list[str]) -> int:
    """Check a sandbox; the exit status."""
    command = parser()
    given = command.parse_args(arguments)
    out = Console(highlight=False, soft_wrap=True)
    laws = {} if given.hostile else _chosen(LAWS, given.only)
    attacks = {} if given.conformance else _chosen(ATTACKS, given.only)
    if not laws and not attacks:
        command.error(f"no law or attack is named {' or '.join(map(repr, given.only))}; --list names them")
    if given.list:
        _name_all(out, laws, attacks)
        return PASSED
    if given.backend is None:
        command.error(f"--backend must name what to check: {', '.join(NAMES)}")
    with open_lanes(given.backend, 1) as sandbox:
        return check(sandbox, given.backend, laws, list(attacks.values()), out)


def check(
    sandbox: Sandbox,
    name: str,
    laws: Mapping[str, Callable[[Sandbox], None]],
    attacks: Sequence[Attack],
    out: Console,
) -> int:
    """Print a line for each law and attack, and the counts; the exit status."""
    began = time.monotonic()
    counts = dict.fromkeys(_MARKS, 0)
    lanes: set[str] = set()
    tries = {attack.name: attack.tries for attack in attacks}
    for part, words in sandbox.isolation().items():
        out.print(escape(f"{part}: {words}"))
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=out,
        disable=not out.is_terminal,
        transient=True,
    )
    with bars:
        task = bars.add_task("", total=len(laws) + len(attacks))

        def tell(status: str, what: str, about: str, message: str) -> None:
            counts[status] += 1
            out.print(escape(f"{_MARKS[status]} {what:<32} {about}" + (f"\n       {message}" if message else "")))
            bars.update(task, advance=1, description=what)

        for law, held in laws.items():
            bars.update(task, description=law)
            finding = check_sandbox(sandbox, {law: held})[0]
            tell(HELD if finding.held else FAILED, law, "", finding.message)

        def noticed(outcome: Outcome) -> None:
            lanes.update({outcome.lane} - {""})
            tell(outcome.status, outcome.attack, tries[outcome.attack], outcome.message)

        try:
            if attacks:
                run_suite(sandbox, attacks, noticed)
        except DishonestError as error:
            tell(FAILED, "an honest program", "before any attack", str(error))
    found = f"{counts[HELD]} passed, {counts[FAILED]} failed"
    unshown = [f"{counts[status]} {status}" for status in (NOT_PROMISED, UNDECIDED) if counts[status]]
    found = ", ".join([found, *unshown])
    where = f", {len(lanes)} lane{'s' if len(lanes) != 1 else ''} used" if lanes else ""
    out.print(escape(f"{found} ({name}{where}, {time.monotonic() - began:.0f} s)"))
    return BROKEN if counts[FAILED] else NOT_SHOWN if unshown else PASSED


def _chosen(known: Mapping[str, T], only: Sequence[str] | None) -> dict[str, T]:
    return {k: v for k, v in known.items() if only is None or any(fnmatchcase(k, pattern) for pattern in only)}


def _name_all(out: Console, laws: Mapping[str, object], attacks: Mapping[str, Attack]) -> None:
    for law in laws:
        out.print(escape(law))
    for name, attack in attacks.items():
        out.print(escape(f"{name:<32} {attack.tries} (needs: {attack.needs})"))
    out.print(f"{len(laws)} laws, {len(attacks)} attacks")
