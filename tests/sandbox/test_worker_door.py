"""The socket of a container's worker, and the check that asks whether anybody is behind it."""

import multiprocessing
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sandbox import frames, worker_door
from sandbox.worker_door import Door, NoPlaceError, ask, place_of
from sandbox.worker_front import CLIENTS, Front

HELLO = {"hello": frames.PROTOCOL, "modules": {}, "isolation": {}}


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_stands_for_a_socket_that_is_named_after_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slash: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "4f2e7a.lane-1")
    assert place_of(f"{tmp_path}{slash}") == f"{tmp_path}/4f2e7a.lane-1.sock"


def test_a_path_that_is_no_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert place_of(f"{tmp_path}/a.sock") == f"{tmp_path}/a.sock"


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a b", "x" * 65, "é", "-rf", "a\n"])
def test_a_host_without_a_plain_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    with pytest.raises(NoPlaceError, match=r"Name the socket itself: .*/NAME\.sock"):
        place_of(f"{tmp_path}/")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoPlaceError, match=r"there is no folder .*/none/: mount one"):
        place_of(f"{tmp_path}/none/")


def test_what_was_made_is_taken_away_with_all_that_is_beside_it(tmp_path: Path) -> None:
    door = Door(str(tmp_path / "a.sock"))
    with door.open():
        assert stat.S_IMODE((tmp_path / "a.sock").stat().st_mode) == 0o660
        (tmp_path / "a.sock.why").write_text("of an earlier start")
        door.close()
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_succeeds_takes_back_what_an_earlier_one_said(tmp_path: Path) -> None:
    door = Door(str(tmp_path / "a.sock"))
    door.explain("no filter")
    with door.open():
        assert [file.name for file in tmp_path.iterdir()] == ["a.sock"]


def test_the_socket_of_a_worker_that_was_killed_is_replaced(tmp_path: Path) -> None:
    Door(str(tmp_path / "a.sock")).open().close()
    with Door(str(tmp_path / "a.sock")).open() as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "a.sock"))
        listener.accept()[0].close()


def test_two_workers_of_one_name_are_told_and_neither_takes_the_others_socket(tmp_path: Path) -> None:
    with Door(str(tmp_path / "a.sock")).open() as listener:
        second = Door(str(tmp_path / "a.sock"))
        with pytest.raises(OSError, match=r"another worker listens .*: give each host its own name"):
            second.open()
        second.close()
        listener.accept()[0].close()  # the second one's, which looked
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "a.sock"))


def test_a_socket_that_was_made_anew_by_another_process_is_left_alone(tmp_path: Path) -> None:
    first = Door(str(tmp_path / "a.sock"))
    with first.open():
        os.rename(tmp_path / "a.sock", tmp_path / "kept")  # or its number would be given to the next
        with Door(str(tmp_path / "a.sock")).open():
            first.close()
            assert (tmp_path / "a.sock").exists()


def test_a_child_takes_nothing_away(tmp_path: Path) -> None:
    door = Door(str(tmp_path / "a.sock"))
    with door.open():
        child = multiprocessing.get_context("fork").Process(target=door.close)
        child.start()
        child.join()
        assert child.exitcode == 0 and (tmp_path / "a.sock").exists()


def test_a_folder_of_our_own_is_shut_to_all_but_the_group(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Door(str(tmp_path / "a.sock")).shut_folder()
    found = tmp_path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o750 and found.st_gid == os.getegid()


def test_a_folder_for_everybody_stays_open(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    Door(str(tmp_path / "a.sock")).shut_folder()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777


# --- asking -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Path]:
    """A worker's first process, as it is; of the session behind it there is only the connection."""
    path = tmp_path / "a.sock"
    ours, theirs = socket.socketpair()
    listener = Door(str(path)).open()
    served = threading.Thread(target=Front(HELLO, ours, listener, 0.0).serve)
    served.start()
    yield path
    theirs.close()
    served.join()
    ours.close()
    listener.close()


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5.0)
    client.connect(str(path))
    return client


def test_a_worker_that_greets_is_well(front: Path) -> None:
    assert ask(str(front)) == ""


def test_a_worker_that_is_leased_to_somebody_else_is_well_and_stays_leased(front: Path) -> None:
    with connect(front) as holder, connect(front) as other:
        frames.receive(holder)
        frames.send(holder, {"do": "lease", "state": "files"})
        assert frames.receive(holder)[0] == {"leased": 1}
        assert ask(str(front)) == ""
        frames.receive(other)
        frames.send(other, {"do": "lease", "state": "files"})
        assert frames.receive(other)[0] == {"busy": 1}


def test_those_who_asked_take_no_place_from_clients(front: Path) -> None:
    for _ in range(2 * CLIENTS):
        assert ask(str(front)) == ""


def test_a_worker_with_all_its_clients_is_told_from_one_that_is_gone(front: Path) -> None:
    clients = [connect(front) for _ in range(CLIENTS)]
    for client in clients:
        frames.receive(client)
    assert "as many clients as it takes" in ask(str(front))
    for client in clients:
        client.close()


def test_nobody_there_is_told_in_a_line(tmp_path: Path) -> None:
    Door(str(tmp_path / "left.sock")).open().close()
    assert ask(str(tmp_path / "none.sock")) == f"no worker answers at {tmp_path}/none.sock: No such file or directory"
    assert ask(str(tmp_path / "left.sock")) == f"no worker answers at {tmp_path}/left.sock: Connection refused"
    assert "there is no folder" in ask(f"{tmp_path}/none/")


@pytest.mark.parametrize(
    ("said", "told"),
    [(b"HTTP/1.1 200 OK\r\n\r\n", "no worker answers"), (b'RLG1\0\0\0\x19{"hello": 1, "blobs": []}', "protocol")],
)
def test_what_says_something_else_is_no_worker(tmp_path: Path, said: bytes, told: str) -> None:
    with Door(str(tmp_path / "a.sock")).open() as listener:

        def answer() -> None:
            with listener.accept()[0] as client:
                client.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        assert told in ask(str(tmp_path / "a.sock"))
        thread.join()


def test_a_worker_that_says_nothing_is_not_waited_for_longer_than_a_check_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker_door.ASK_SECONDS < 3.0
    monkeypatch.setattr(worker_door, "ASK_SECONDS", 0.3)
    with Door(str(tmp_path / "a.sock")).open():
        began = time.monotonic()
        assert "said nothing for 0.3 s" in ask(str(tmp_path / "a.sock"))
        assert time.monotonic() - began < 1.5


def test_a_worker_that_says_a_byte_now_and_then_is_not_waited_for_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_door, "ASK_SECONDS", 0.3)
    with Door(str(tmp_path / "a.sock")).open() as listener:

        def drip() -> None:
            with suppress(OSError), listener.accept()[0] as client:
                for sign in b"RLG1\0\0\0\xff" + b" " * 100:
                    client.sendall(bytes([sign]))
                    time.sleep(0.05)

        thread = threading.Thread(target=drip)
        thread.start()
        assert "said nothing for 0.3 s" in ask(str(tmp_path / "a.sock"))
        thread.join()


def test_the_command_exits_as_a_health_check_should(front: Path) -> None:
    def check(path: Path) -> Any:
        command = [sys.executable, "-m", "sandbox.worker", "--ask", str(path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=10)

    well, ill = check(front), check(front.parent / "none.sock")
    assert (well.returncode, well.stdout, well.stderr) == (0, "", "")
    assert ill.returncode == 1 and ill.stdout.count("\n") == 1 and "no worker answers" in ill.stdout and not ill.stderr
