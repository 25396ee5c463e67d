"""python -m sandbox reap: remove containers that a killed trainer left behind.

A lane ends by itself some seconds after its owner is gone; this is for those that could not (a paused container, an
engine that was down). Containers of living owners, of other hosts, and of Compose are left alone.
"""

from __future__ import annotations

import argparse
from typing import Any

from ..docker_engine import connect, failures
from ..docker_owner import reap as reap_with
from ..errors import Unavailable


def reap(client: Any = None) -> list[str]:
    """Remove the containers of dead owners; their names. client: of the Docker SDK; None connects to the engine.

    Raises:
        Unavailable: the engine cannot be reached.
    """
    client = connect() if client is None else client
    try:
        return reap_with(client)
    except failures() as error:
        raise Unavailable(f"the engine did not answer: {error}") from None


def main(arguments: list[str]) -> int:
    """Reap and say what went; the exit status."""
    command = argparse.ArgumentParser(
        prog="python -m sandbox reap", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.parse_args(arguments)
    names = reap()
    for name in names:
        print(f"removed {name}")
    print(f"{len(names)} removed")
    return 0
