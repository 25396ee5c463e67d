"""The two servers of these tests: ours, which speaks the protocol, and openenv-core's own where it is installed.

openenv-core pins libraries that do not go together with this project's, so it stands in an environment of its own:
`OPENENV_PYTHON=/path/to/python pytest tests/envs/openenv` runs every test on both.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.envs.openenv.wire import WireServer, guess

SCRIPT = Path(__file__).with_name("guess_server.py")


@pytest.fixture(params=["wire", pytest.param("openenv-core", marks=pytest.mark.slow)])
def start_server(request: pytest.FixtureRequest) -> Iterator[Callable[[int], str]]:
    """Starts a server that allows this many sessions; returns its URL."""
    python = os.environ.get("OPENENV_PYTHON", "")
    if request.param == "openenv-core" and not python:
        if find_spec("openenv") is None:
            pytest.skip("openenv-core is not installed, and OPENENV_PYTHON names no interpreter that has it")
        python = sys.executable
    with ExitStack() as stack:

        def start(sessions: int) -> str:
            if request.param == "wire":
                return stack.enter_context(WireServer(guess, sessions)).url
            process = stack.enter_context(
                subprocess.Popen([python, SCRIPT, str(sessions)], stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            port = process.stdout.readline()
            assert port.strip().isdigit(), "the server did not start"
            return f"http://127.0.0.1:{port.strip()}"

        yield start
