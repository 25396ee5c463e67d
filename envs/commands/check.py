"""python -m envs check ID | --all"""

from __future__ import annotations

import argparse
import json
from typing import Any

from rich.markup import escape

from .. import CATALOGUE
from ..core.conformance import check_env
from .samples import prepared
from .terminal import add_kwargs, known, out

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
    for env_id in CATALOGUE if given.all else [given.id]:
        with prepared(known(env_id), given.kwargs) as made:
            report = check_env(env_id, **made.kwargs)
        found.append(report.to_dict() | {"sample": made.sample})
        if not report.ok:
            broken.append(env_id)
        if not given.json:
            where = f"\n({SAMPLE})" if made.sample else ""
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
