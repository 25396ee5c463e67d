"""python -m envs check ID | --all"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from typing import Any

from rich.markup import escape

from .. import CATALOGUE
from ..core.conformance import check_env
from ..core.report import Report
from .samples import prepared
from .terminal import add_kwargs, known, out

MOST_WORKERS = 8
SAMPLE = "on a synthetic sample in the published format, which is not the published data"


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser("check", help="hold an environment to the contract")
    command.add_argument("id", nargs="?")
    command.add_argument("--all", action="store_true", help="every environment of the catalogue")
    command.add_argument("--json", action="store_true")
    add_kwargs(command)
    command.set_defaults(parser=command)
    return command


def run(given: argparse.Namespace) -> int:
    """Check each environment; 1 if any law is broken."""
    if (given.id is None) != given.all:
        given.parser.error("name one id, or give --all")
    found, broken = [], []
    for report, sample in _all(given.kwargs) if given.all else [_one(known(given.id), given.kwargs)]:
        found.append(report.to_dict() | {"sample": sample})
        if not report.ok:
            broken.append(report.env)
        if not given.json:
            where = f"\n({SAMPLE})" if sample else ""
            name, _, laws = str(report).partition("\n")
            out.print(escape(f"{name}{where}\n{laws}"))
    if given.json:
        print(json.dumps(found, indent=2))
    elif given.all:
        out.print(
            escape(
                f"{len(found) - len(broken)} of {len(found)} environments hold every law"
                + "".join(f"\nbroken: {i}" for i in broken)
            )
        )
    return 1 if broken else 0


def _one(env_id: str, kwargs: dict[str, Any]) -> tuple[Report, bool]:
    """The report on an environment, and whether it was made with a sample."""
    with prepared(env_id, kwargs) as made:
        return check_env(env_id, **made.kwargs), made.sample


def _all(kwargs: dict[str, Any]) -> Iterator[tuple[Report, bool]]:
    """The reports on the whole catalogue in its order, several at a time in processes of their own."""
    workers = min(len(CATALOGUE), MOST_WORKERS, os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_one, CATALOGUE, repeat(kwargs))
