"""Lanes behind sockets in a folder: containers that somebody else started, as Compose would."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sandbox import docker_image, frames, socket_lane
from sandbox.conformance import LAWS, LIMITS, check_sandbox
from sandbox.contract import Sandbox
from sandbox.docker_lane import Walls
from sandbox.errors import Lost, Unavailable
from sandbox.lane import BusyError
from sandbox.opening import open_sandbox
from sandbox.socket_lane import SocketSandbox, dial
from sandbox.worker_door import Door

LANES = ("one", "two")
ANSWER: dict[str, Any] = {
    "status": "ok",
    "reason": "",
    "exit_code": 0,
    "signal": None,
    "wall_ms": 1.0,
    "cpu_ms": 1.0,
    "peak_memory": 1,
    "stdout_dropped": 0,
    "stderr_dropped": 0,
    "names": [],
    "files_left_out": [],
    "variables_lost": False,
    "spent": False,
    "ended": 1,
}
WALLS = {
    "interfaces": [],
    "root_writable": False,
    "capabilities": "c0",
    "no_new_privileges": True,
    "outer_filter": True,
    "memory_bytes": 1 << 30,
    "processes": 128,
    "kernel": "6",
}
HELLO: dict[str, Any] = {
    "hello": frames.PROTOCOL,
    "modules": {},
    "isolation": {"uid": 1, "filter": True, "walls": WALLS, "wiped": ["/work"]},
}
MARK = f"socket-lane-{os.getpid()}"  # other processes test beside us


def start(engine: Any, folder: Path, name: str, restart: bool = False) -> Any:
    """A lane that restarts when it ends, and that nobody's death ends."""
    options = Walls().options() | {"auto_remove": False}
    return engine.containers.run(
        docker_image.tag(),
        ["--listen", f"/run/lane/{name}.sock", "--scratch", "/work"],
        user=f"0:{os.getegid()}",
        volumes={str(folder): {"bind": "/run/lane", "mode": "rw"}},
        restart_policy={"Name": "always"},
        labels={"rllava-gym.test": MARK},
        **options,
    )


@pytest.fixture(scope="module")
def folder(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("lanes")
    made.chmod(0o770)
    containers = [start(engine, made, name) for name in LANES]
    try:
        deadline = time.monotonic() + 60
        while len(list(made.glob("*.sock"))) < len(LANES) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield made
    finally:
        for container in containers:
            container.remove(force=True)


@pytest.fixture(scope="module")
def sandbox(folder: Path) -> Iterator[SocketSandbox]:
    with SocketSandbox(str(folder)) as opened:
        yield opened


def test_it_is_a_sandbox(sandbox: SocketSandbox) -> None:
    assert isinstance(sandbox, Sandbox)


@pytest.mark.parametrize("law", LAWS)
def test_it_keeps_every_law(sandbox: SocketSandbox, law: str) -> None:
    (finding,) = check_sandbox(sandbox, {law: LAWS[law]})
    assert finding.message == ""


def test_every_socket_is_a_lane(sandbox: SocketSandbox) -> None:
    with sandbox.lease() as first, sandbox.lease() as second:
        first.exec("open('a', 'w').close()", {}, LIMITS)
        assert second.exec("import os\nprint(os.listdir('.'))", {}, LIMITS).stdout == "[]\n"


def test_a_name_opens_it(folder: Path) -> None:
    opened = open_sandbox(f"unix:{folder}")
    assert opened.exec("print(1)", {}, LIMITS).stdout == "1\n"
    opened.close()


def test_two_trainers_share_the_lanes_and_wait_for_each_other(sandbox: SocketSandbox, folder: Path) -> None:
    code = (
        "import sys\nfrom sandbox.conformance import LIMITS\nfrom sandbox.socket_lane import SocketSandbox\n"
        "with SocketSandbox(sys.argv[1]) as s, s.lease() as a, s.lease() as b:\n"
        "  a.exec('', {}, LIMITS); b.exec('', {}, LIMITS)\n  print('both', flush=True)\n  sys.stdin.readline()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdin is not None and other.stdout is not None and other.stdout.readline() == "both\n"
    out: list[Any] = []
    thread = threading.Thread(target=lambda: out.append(sandbox.exec("print(1)", {}, LIMITS)))
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()  # it waits
    other.communicate("\n")
    thread.join()
    assert out[0].stdout == "1\n" and out[0].queue_ms > 400


def test_a_lane_that_was_restarted_is_used_again(sandbox: SocketSandbox, folder: Path, engine: Any) -> None:
    (container, *_) = engine.containers.list(filters={"label": f"rllava-gym.test={MARK}"})
    container.restart(timeout=0)
    deadline = time.monotonic() + 45
    while time.monotonic() < deadline:
        with suppress(Lost), sandbox.lease() as first, sandbox.lease() as second:
            results = [first.exec("print(1)", {}, LIMITS), second.exec("print(2)", {}, LIMITS)]
            assert [result.stdout for result in results] == ["1\n", "2\n"]
            return
    pytest.fail("the second lane did not come back")


def test_nobody_connected_ends_no_lane_that_is_not_owned(folder: Path, engine: Any) -> None:
    found = engine.containers.list(filters={"label": f"rllava-gym.test={MARK}"})
    assert len(found) == len(LANES)
    assert all("--orphan-seconds" not in container.attrs["Config"]["Cmd"] for container in found)


def test_a_client_that_stalls_in_a_message_keeps_nobody_else_out(sandbox: SocketSandbox, folder: Path) -> None:
    slow = [dial(path) for path in folder.glob("*.sock")]
    for connection in slow:
        connection.sendall(b"RLG1\0")  # and nothing more
    assert sandbox.exec("print(1)", {}, LIMITS).stdout == "1\n"
    for connection in slow:
        connection.close()


def test_a_client_that_goes_in_the_middle_of_a_program_frees_its_lane(folder: Path) -> None:
    path = folder / f"{LANES[0]}.sock"
    client = dial(path)
    frames.receive(client, time.monotonic() + 10)
    frames.send(client, {"do": "lease", "state": "files"})
    header = {"do": "run", "limits": vars(LIMITS), "outputs": [], "names": [], "last": True}
    frames.send(client, header, [b"import time\ntime.sleep(60)"])
    time.sleep(0.3)
    client.close()
    with SocketSandbox(str(folder)) as again:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(BusyError), again.lease() as first, again.lease() as second:
                assert first.exec("print(1)", {}, LIMITS).stdout == second.exec("print(1)", {}, LIMITS).stdout == "1\n"
                return
        pytest.fail("the lane is still held")


# --- without an engine ------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        SocketSandbox(str(tmp_path / "none"))


def test_a_folder_without_lanes_is_told_soon(tmp_path: Path) -> None:
    with SocketSandbox(str(tmp_path), queue_seconds=0.3) as sandbox, pytest.raises(Lost, match=r"no lane: .*\*\.sock"):
        sandbox.exec("", {}, LIMITS)


def test_a_socket_behind_which_nobody_is_is_told(tmp_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "a.sock"))
    dead.close()
    with SocketSandbox(str(tmp_path)) as sandbox, pytest.raises(Lost, match=r"a\.sock"):
        sandbox.exec("", {}, LIMITS)


class FakeLane:
    """A worker that says "ok" to every program, behind a socket that it makes as a worker does."""

    def __init__(self, path: Path) -> None:
        self._listener = Door(str(path)).open()
        self._clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, frames.ClosedError, frames.BrokenFrameError):
            frames.send(client, HELLO)
            while True:
                asked, _ = frames.receive(client)
                frames.send(client, {"leased": 1} if asked["do"] == "lease" else ANSWER, [b"1\n", b""])

    def kill(self) -> None:
        """Its socket stays behind."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Callable[[str], FakeLane]]:
    started: list[FakeLane] = []

    def start(name: str) -> FakeLane:
        started.append(FakeLane(tmp_path / f"{name}.sock"))
        return started[-1]

    yield start
    for lane in started:
        lane.kill()


def lanes(sandbox: SocketSandbox, number: int, seconds: float) -> bool:
    """Whether it comes to have so many lanes in time."""
    deadline = time.monotonic() + seconds
    while sandbox.stats()["free"] != number and time.monotonic() < deadline:
        time.sleep(0.01)
    return sandbox.stats()["free"] == number


def test_an_abandoned_socket_is_no_error_and_no_wait_while_a_lane_lives(tmp_path: Path, fake: Any) -> None:
    fake("a").kill()
    fake("b")
    fake("c").kill()
    with SocketSandbox(str(tmp_path)) as sandbox:
        assert lanes(sandbox, 1, 5.0)
        waits = [sandbox.exec("print(1)", {}, LIMITS).queue_ms for _ in range(200)]
    assert max(waits) < 500


def test_a_lane_that_was_killed_is_used_again_as_soon_as_it_is_back(
    tmp_path: Path, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_lane, "RECHECK_SECONDS", 0.05)
    fake("a")
    killed = fake("b")
    with SocketSandbox(str(tmp_path)) as sandbox:
        assert lanes(sandbox, 2, 5.0)
        killed.kill()
        for _ in range(4):
            assert sandbox.exec("print(1)", {}, LIMITS).stdout == "1\n"
        time.sleep(
            1.7
        )  # trials of what is missed would have become seldom by now: the next, three seconds from the first
        fake("b")
        assert lanes(sandbox, 2, 0.6)


def test_lanes_that_were_all_killed_are_used_again(tmp_path: Path, fake: Any) -> None:
    only = fake("a")
    with SocketSandbox(str(tmp_path)) as sandbox:
        assert lanes(sandbox, 1, 5.0)
        only.kill()
        with pytest.raises(Lost, match=r"a\.sock"):
            sandbox.exec("", {}, LIMITS)
        fake("a")
        assert lanes(sandbox, 1, 10.0)
        assert sandbox.exec("print(1)", {}, LIMITS).stdout == "1\n"


def test_a_lane_that_is_gone_with_its_socket_is_not_missed(tmp_path: Path, fake: Any) -> None:
    fake("a")
    gone = fake("b")
    with SocketSandbox(str(tmp_path)) as sandbox:
        assert lanes(sandbox, 2, 5.0)
        (tmp_path / "b.sock").unlink()
        gone.kill()
        for _ in range(4):
            assert sandbox.exec("print(1)", {}, LIMITS).stdout == "1\n"
        assert sandbox.stats()["lanes"] == 1 and sandbox.stats()["lost"] == 0


def test_a_path_longer_than_an_address_can_be_dialled(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(folder)
    try:
        listener.bind("a.sock")
    finally:
        os.chdir(here)
    listener.listen()
    dial(folder / "a.sock").close()
    listener.close()
