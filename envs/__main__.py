"""python -m envs list | check | play

list    the catalogue
check   hold an environment to the contract: each law, then `N passed, M failed`; exit status 1 if any failed
play    be the policy: read the text, open the PNG whose path is printed, type the answer
"""

import argparse
import difflib
import json
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import CATALOGUE
from .core.conformance import check_env
from .core.errors import ArgumentError
from .core.images import encode_png
from .core.tasks import SPLITS

out = Console(highlight=False, soft_wrap=True)


def shadowing(root: Path, names: Sequence[str]) -> list[str]:
    """One sentence for each of our packages that Python would load from elsewhere than `root`.

    The names are ordinary words, so that a folder or a file of the same name earlier on the path hides ours.
    """
    found = []
    for name in names:
        spec = find_spec(name)
        places = [] if spec is None else [*(spec.submodule_search_locations or []), spec.origin or ""]
        ours = (root / name).resolve()
        if spec is not None and not any(
            place and ours in (Path(place).resolve(), Path(place).resolve().parent) for place in places
        ):
            found.append(
                f"the package {name!r} in {root} is shadowed by {spec.origin or places[0]}: rename that or move it away"
            )
    return found


def _known(env_id: str) -> str:
    """`env_id` if it is registered (a `module:` prefix is imported first); otherwise exit with the nearest ids."""
    try:
        gymnasium.spec(env_id)
    except (gymnasium.error.Error, ImportError) as error:
        nearest = difflib.get_close_matches(env_id, list(CATALOGUE), n=3, cutoff=0.3) or list(CATALOGUE)
        raise SystemExit(f"unknown environment {env_id!r} ({error}). Did you mean {' or '.join(nearest)}?") from None
    return env_id


def _kwargs(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(
            f"expected a JSON object such as '{{\"cells\": 4}}'; got {text!r}: {error}"
        ) from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object such as '{{\"cells\": 4}}'; got {text!r}")
    return value


def list_environments() -> int:
    """Print the catalogue."""
    table = Table("id", "what it asks")
    for env_id, entry in CATALOGUE.items():
        table.add_row(env_id, entry.line)
    out.print(table)
    return 0


def check(ids: Sequence[str], kwargs: dict[str, Any], as_json: bool) -> int:
    """Check each environment; 1 if any law is broken."""
    reports = [check_env(_known(env_id), **kwargs) for env_id in ids]
    if as_json:
        print(json.dumps([report.to_dict() for report in reports], indent=2))
    else:
        for report in reports:
            out.print(escape(str(report)))
    return 0 if all(report.ok for report in reports) else 1


def play(env_id: str, kwargs: dict[str, Any], seed: int | None, task: int | None, folder: str | None) -> int:
    """Play one episode in the terminal. End of input or Ctrl-C ends it without a score."""
    env = gymnasium.make(_known(env_id), **kwargs)
    pictures = Path(folder or tempfile.mkdtemp(prefix="envs-play-"))
    pictures.mkdir(parents=True, exist_ok=True)
    observation, _ = env.reset(seed=seed, options=None if task is None else {"task": task})
    turn, score, over = 0, 0.0, False
    info: dict[str, Any] = {}
    try:
        while not over:
            out.print(escape(observation["text"]))
            for number, picture in enumerate(observation["images"]):
                path = pictures / f"turn{turn}_{number}.png"
                path.write_bytes(encode_png(picture))
                out.print(escape(f"picture: {path.resolve()}"))
            said = input("answer (or a whole turn with tags): ")
            text = said if "<" in said else f"<think>by hand</think><answer>{said}</answer>"
            observation, reward, terminated, truncated, info = env.step(text)
            score, over, turn = float(reward), bool(terminated or truncated), turn + 1
    except (EOFError, KeyboardInterrupt):
        out.print("\nstopped before the end of the episode")
        return 0
    finally:
        env.close()
    out.print(escape(f"reward {score:g}  {info.get('metrics', {})}"))
    if hasattr(env.unwrapped, "solve"):
        out.print(escape(f"gold: {env.unwrapped.solve()}"))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status. Usage errors and unknown ids exit with a message."""
    root = Path(__file__).resolve().parent.parent
    for sentence in shadowing(root, [n for n in ("envs", "sandbox", "agent") if (root / n / "__init__.py").is_file()]):
        raise SystemExit(sentence)
    parser = argparse.ArgumentParser(
        prog="python -m envs", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the catalogue")
    checking = commands.add_parser("check", help="hold an environment to the contract")
    checking.add_argument("id", nargs="?")
    checking.add_argument("--all", action="store_true", help="every environment of the catalogue")
    checking.add_argument("--json", action="store_true")
    playing = commands.add_parser("play", help="play an episode in the terminal")
    playing.add_argument("id")
    playing.add_argument("--seed", type=int)
    playing.add_argument("--task", type=int)
    playing.add_argument("--split", choices=SPLITS)
    playing.add_argument("--out", metavar="FOLDER", help="where the pictures go (a new temporary folder)")
    for command in (checking, playing):
        command.add_argument("--kwargs", type=_kwargs, default={}, metavar="JSON", help="keyword arguments")
    given = parser.parse_args(arguments)
    if given.command == "list":
        return list_environments()
    try:
        if given.command == "check":
            if (given.id is None) != given.all:
                checking.error("name one id, or give --all")
            return check(list(CATALOGUE) if given.all else [given.id], given.kwargs, given.json)
        kwargs = given.kwargs | ({"split": given.split} if given.split else {})
        return play(given.id, kwargs, given.seed, given.task, given.out)
    except (ArgumentError, TypeError) as error:
        raise SystemExit(f"{given.id or 'envs'}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
