"""python -m envs list"""

from __future__ import annotations

import argparse
from typing import Any

from rich.markup import escape
from rich.table import Table

from .. import CATALOGUE
from .terminal import out


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser("list", help="the catalogue")
    return command


def run(given: argparse.Namespace) -> int:
    """Print the catalogue."""
    table = Table("id", "what it asks", "data")
    for env_id, entry in CATALOGUE.items():
        table.add_row(env_id, escape(entry.line), "published, brought by you" if entry.sample else "procedural")
    out.print(table)
    return 0
