"""python -m sandbox check | serve | reap | build-image | search

check    hold a sandbox to its laws and set the hostile programs on it: a line each, then `N passed, M failed`
serve    run programs for trainers on other hosts, over HTTP
reap     remove containers that a killed trainer left behind
build-image  the image that sandbox="docker" starts its containers from
search   build an index over passages, or serve one: python -m sandbox search build | serve
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from .errors import SandboxError


def _check(arguments: list[str]) -> int:
    from .commands.check import main as check

    return check(arguments)


def _serve(arguments: list[str]) -> int:
    from .commands.serve import main as serve

    return serve(arguments)


def _reap(arguments: list[str]) -> int:
    from .commands.reap import main as reap

    return reap(arguments)


def _build_image(arguments: list[str]) -> int:
    from .commands.build_image import main as build_image

    return build_image(arguments)


def _search(arguments: list[str]) -> int:
    from .search.commands import main as search

    return search(arguments)


# Each takes what stands behind its name, and is imported when it is asked for: serving needs no terminal, and searching
# no lanes.
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "check": _check,
    "serve": _serve,
    "reap": _reap,
    "build-image": _build_image,
    "search": _search,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status. What a user did wrong exits with a message."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    command = parser.parse_args(given[:1]).command
    try:
        return COMMANDS[command](given[1:])
    except SandboxError as error:
        raise SystemExit(f"{command}: {error}") from None
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
