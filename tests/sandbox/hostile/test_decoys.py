"""Who comes to a decoy is seen."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from sandbox.contract import ExecResult
from sandbox.hostile.decoys import VARIABLE, Decoys


def caught_soon(decoys: Decoys) -> str:
    deadline = time.monotonic() + 10
    found = ""
    while not found and time.monotonic() < deadline:
        found = decoys.caught([])
        time.sleep(0.01)
    return found


def test_nothing_is_caught_when_nothing_comes() -> None:
    with Decoys() as decoys:
        assert decoys.caught([ExecResult(status="ok", stdout="x", files={"a": b"y"}), None]) == ""


def test_a_visit_is_caught_once() -> None:
    with Decoys() as decoys:
        where = json.loads(decoys.target)
        with socket.create_connection(("127.0.0.1", where["tcp"])) as visit:
            assert visit.recv(100).decode() == decoys.secret
        assert "reached" in caught_soon(decoys)
        assert decoys.caught([]) == ""
        with socket.socket(socket.AF_UNIX) as visit:
            visit.connect("\0" + where["abstract"])
        assert "reached" in caught_soon(decoys)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", ("127.0.0.1", where["udp"]))
        assert "datagram" in caught_soon(decoys)


def test_the_secret_is_caught_wherever_it_comes_back() -> None:
    with Decoys() as decoys:
        assert os.environ[VARIABLE] == decoys.secret
        assert Path(json.loads(decoys.target)["file"]).read_text() == decoys.secret
        assert decoys.secret.encode() not in decoys.target
        for field, value in (
            ("stdout", f"x{decoys.secret}"),
            ("stderr", decoys.secret),
            ("files", {"a": decoys.secret.encode()}),
        ):
            given: dict[str, Any] = {field: value}
            assert "secret" in decoys.caught([None, ExecResult(status="ok", **given)]), field


def test_an_object_that_was_loaded_is_caught() -> None:
    with Decoys() as decoys:
        os.mkdir(json.loads(decoys.target)["pickled"])
        assert "loaded" in decoys.caught([])
        assert decoys.caught([]) == ""


def test_nothing_of_them_is_left() -> None:
    with Decoys() as decoys:
        where = json.loads(decoys.target)
    assert VARIABLE not in os.environ
    assert not Path(where["file"]).parent.exists()
    with socket.socket() as visit:
        assert visit.connect_ex(("127.0.0.1", where["tcp"])) != 0
