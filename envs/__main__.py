"""python -m envs list | check | play | baselines | catalogue | score

list       the catalogue
check      hold an environment to the contract: each law, then `N passed, M failed`; exit status 1 if any failed
play       be the policy: read the text, open the PNG whose path is printed, type the answer
baselines  what the expert, a constant, a random and a blind answer score
catalogue  write envs/README.md and its pictures from the environments' cards
score      score a file of predictions in a benchmark's published format
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from .commands import baselines, catalogue, check, listing, play, score
from .core.errors import ArgumentError, ComputerAlgebraError, DatasetError, MissingExtraError

COMMANDS = {
    "list": listing,
    "check": check,
    "play": play,
    "baselines": baselines,
    "catalogue": catalogue,
    "score": score,
}


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status. Usage errors and unknown ids exit with a message."""
    root = Path(__file__).resolve().parent.parent
    for sentence in shadowing(root, [n for n in ("envs", "sandbox", "agent") if (root / n / "__init__.py").is_file()]):
        raise SystemExit(sentence)
    parser = argparse.ArgumentParser(
        prog="python -m envs", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS.values():
        command.add(commands)
    given = parser.parse_args(arguments)
    try:
        return COMMANDS[given.command].run(given)
    except (ArgumentError, DatasetError, MissingExtraError, ComputerAlgebraError, TypeError) as error:
        raise SystemExit(f"{getattr(given, 'id', None) or given.command}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
