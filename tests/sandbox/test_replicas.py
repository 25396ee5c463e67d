"""Lanes as Compose scales them: containers of one command, whose sockets stand side by side in a folder."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sandbox import docker_image
from sandbox.conformance import LIMITS
from sandbox.docker_lane import Walls
from sandbox.socket_lane import SocketSandbox

CHECK = ["/opt/sandbox/bin/python", "-s", "-P", "-m", "sandbox.worker", "--ask", "/run/lane/"]


def until(condition: Callable[[], bool], seconds: float = 45.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"it did not come to that within {seconds:g} s")
        time.sleep(0.05)


def sockets(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def serve(sandbox: SocketSandbox, lanes: int) -> None:
    """So many programs at a time, each in a lane of its own."""
    with ExitStack() as stack:
        for lease in [stack.enter_context(sandbox.lease()) for _ in range(lanes)]:
            assert lease.exec("print(1)", {}, LIMITS).stdout == "1\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("lanes")
    made.chmod(0o755)  # as a volume is at first
    return made


@pytest.fixture(scope="module")
def replicas(engine: Any, folder: Path) -> Iterator[list[Any]]:
    """Three of them, with the image's own command and check, and hosts' names as the engine gives them."""
    options = {name: value for name, value in Walls().options().items() if name not in ("hostname", "healthcheck")}
    options |= {"auto_remove": False, "user": f"0:{os.getegid()}"}
    volumes = {str(folder): {"bind": "/run/lane", "mode": "rw"}}
    started = [engine.containers.run(docker_image.tag(), volumes=volumes, **options) for _ in range(3)]
    try:
        until(lambda: len(list(folder.glob("*.sock"))) == 3, 90.0)
        yield started
    finally:
        for container in started:
            container.remove(force=True)


def test_each_has_a_socket_of_its_own(replicas: list[Any], folder: Path) -> None:
    assert sockets(folder) == {f"{container.attrs['Config']['Hostname']}.sock" for container in replicas}


def test_programs_are_shut_out_of_the_folder(replicas: list[Any], folder: Path) -> None:
    code = "import os\ntry: os.listdir('/run/lane')\nexcept PermissionError: print('shut')"
    with SocketSandbox(str(folder)) as sandbox:
        assert sandbox.exec(code, {}, LIMITS).stdout == "shut\n"


def test_the_check_finds_them_well_also_while_a_program_runs(replicas: list[Any], folder: Path) -> None:
    with SocketSandbox(str(folder)) as sandbox:
        leases = [sandbox.lease() for _ in replicas]
        for lease in leases:
            lease.exec("print(1)", {}, LIMITS)
        for container in replicas:
            began = time.monotonic()
            assert container.exec_run(CHECK) == (0, b"")
            assert time.monotonic() - began < 5.0
        for lease in leases:
            lease.close()


def test_the_engine_calls_them_healthy(replicas: list[Any]) -> None:
    def healthy() -> bool:
        for container in replicas:
            container.reload()
        return all(container.attrs["State"]["Health"]["Status"] == "healthy" for container in replicas)

    until(healthy)


def test_one_that_is_told_to_stop_takes_its_socket_along_and_comes_back(replicas: list[Any], folder: Path) -> None:
    with SocketSandbox(str(folder)) as sandbox:
        until(lambda: sandbox.stats()["free"] == 3)
        began = time.monotonic()
        replicas[0].stop(timeout=20)
        assert time.monotonic() - began < 10.0
        assert sockets(folder) == {f"{container.attrs['Config']['Hostname']}.sock" for container in replicas[1:]}
        serve(sandbox, 2)
        replicas[0].start()
        serve(sandbox, 3)


def test_one_that_is_killed_is_missed_by_nobody_and_comes_back(replicas: list[Any], folder: Path) -> None:
    with SocketSandbox(str(folder)) as sandbox:
        until(lambda: sandbox.stats()["free"] == 3)
        replicas[1].kill()
        assert len(sockets(folder)) == 3  # it is left behind
        for _ in range(6):
            assert sandbox.exec("print(1)", {}, LIMITS).queue_ms < 1000
        serve(sandbox, 2)
        replicas[1].start()
        serve(sandbox, 3)


def test_a_program_that_runs_in_one_that_is_killed_is_run_again_in_another(replicas: list[Any], folder: Path) -> None:
    with SocketSandbox(str(folder)) as sandbox:
        until(lambda: sandbox.stats()["free"] == 3)
        with sandbox.lease() as session:
            name = session._lane.path.stem  # type: ignore[attr-defined]
            victim = next(c for c in replicas if c.attrs["Config"]["Hostname"] == name)
            victim.kill()
            assert session.exec("print(1)", {}, LIMITS).stdout == "1\n"
        assert sandbox.stats()["retried"] == 1 and sandbox.stats()["lost"] == 0
        victim.start()
