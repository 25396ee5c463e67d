"""python -m sandbox build-image [--base IMAGE] [--wheels DIR]: the image that sandbox="docker" starts its lanes from.

Its name holds a hash of the worker's files, so that a change to them needs a new image and a stale one is never used.
The last line printed is the name.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..docker_image import DEFAULT_BASE, build, tag


def main(arguments: list[str]) -> int:
    """Build the image; the exit status."""
    command = argparse.ArgumentParser(
        prog="python -m sandbox build-image", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument(
        "--base", default=DEFAULT_BASE, metavar="IMAGE", help=f"Python 3.11 or newer with venv ({DEFAULT_BASE})"
    )
    command.add_argument(
        "--wheels",
        type=Path,
        metavar="DIR",
        help="wheels of images/sandbox/requirements.txt, where no package index can be reached",
    )
    command.add_argument("--quiet", action="store_true", help="print the name only")
    command.add_argument("--name", action="store_true", help="print the name, and build nothing")
    given = command.parse_args(arguments)
    if given.name:
        print(tag())
        return 0
    print(build(base=given.base, wheels=given.wheels, say=lambda line: None if given.quiet else print(line)))
    return 0
