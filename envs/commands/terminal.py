"""What every command needs of the terminal: where it prints, keyword arguments as JSON, and ids that exist."""

from __future__ import annotations

import argparse
import difflib
import json
from typing import Any

import gymnasium
from rich.console import Console

from .. import CATALOGUE

out = Console(highlight=False, soft_wrap=True)


def known(env_id: str) -> str:
    """`env_id` if it is registered (a `module:` prefix is imported first); otherwise exit with the nearest ids."""
    try:
        gymnasium.spec(env_id)
    except (gymnasium.error.Error, ImportError) as error:
        nearest = difflib.get_close_matches(env_id, list(CATALOGUE), n=3, cutoff=0.3) or list(CATALOGUE)
        raise SystemExit(f"unknown environment {env_id!r} ({error}). Did you mean {' or '.join(nearest)}?") from None
    return env_id


def json_object(text: str) -> dict[str, Any]:
    """A JSON object from the command line, as argparse takes types."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(
            f"expected a JSON object such as '{{\"cells\": 4}}'; got {text!r}: {error}"
        ) from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object such as '{{\"cells\": 4}}'; got {text!r}")
    return value


def add_kwargs(command: argparse.ArgumentParser) -> None:
    """The option `--kwargs`."""
    command.add_argument("--kwargs", type=json_object, default={}, metavar="JSON", help="keyword arguments")
