"""Who makes the processes of programs, and buries them."""

import contextlib
import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.conformance import LIMITS
from sandbox.worker_identity import Cell, Identity
from sandbox.worker_nursery import Nursery, OwnNursery, Zygote, ZygoteLostError

CELL = Cell(Identity(None, "none"), None)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    made = Zygote(CELL)
    yield made
    made.let_go()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(made.pid, 0)


@pytest.fixture(params=["own", "zygote"])
def nursery(request: pytest.FixtureRequest, zygote: Zygote) -> Nursery:
    return OwnNursery(CELL) if request.param == "own" else zygote


def bear(nursery: Nursery, folder: Path, code: bytes, lasting: bool = False) -> tuple[int, int, int]:
    """Start a program; its number, and our ends of its stdout and of its orders."""
    pipes = [os.pipe() for _ in range(4)]
    theirs = [pipes[0][1], pipes[1][1], pipes[2][1], pipes[3][0]]
    pid = nursery.bear(str(folder), vars(LIMITS), lasting, theirs)
    os.write(pipes[3][1], struct.pack("=II", len(code), 5) + code)
    for fd in theirs:
        os.close(fd)
    _open.extend((pipes[0][0], pipes[1][0], pipes[2][0]))  # a program whose report is not read ends at once
    return pid, pipes[0][0], pipes[3][1]


_open: list[int] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while _open:
        os.close(_open.pop())


def buried(nursery: Nursery, pid: int, alone: bool) -> Any:
    """What is told of a process that has ended. The test's own process may have other children."""
    for _ in range(200):
        found = nursery.reap(pid, 0.05)
        if found.status is not None and (found.nobody_left or not alone):
            return found
    pytest.fail("it did not end")


def test_a_program_runs_and_is_buried_with_its_figures(nursery: Nursery, tmp_path: Path) -> None:
    pid, _, orders = bear(nursery, tmp_path, b"import os\nprint(os.getcwd())\nos._exit(3)")
    found = buried(nursery, pid, False)
    assert os.waitstatus_to_exitcode(found.status) == 3
    assert found.own_cpu > 0 and found.peak > 1 << 20
    os.close(orders)


def test_one_that_lives_is_not_buried(zygote: Zygote, tmp_path: Path) -> None:
    pid, _, orders = bear(zygote, tmp_path, b"import time\ntime.sleep(60)")
    found = zygote.reap(pid, 0.05)
    assert found.status is None and not found.nobody_left
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(buried(zygote, pid, True).status) == -9
    os.close(orders)


def test_what_lost_its_parent_is_the_zygotes_to_bury(zygote: Zygote, tmp_path: Path) -> None:
    code = b"import os, time\nif os.fork() == 0:\n  os.setsid()\n  print(os.getpid(), flush=True)\n  time.sleep(60)"
    pid, out, orders = bear(zygote, tmp_path, code)
    orphan = int(os.read(out, 100))
    for _ in range(200):
        found = zygote.reap(pid, 0.05)
        if found.status is not None:
            break
    assert not found.nobody_left
    os.kill(orphan, signal.SIGKILL)
    for _ in range(200):
        if zygote.reap(pid, 0.05).nobody_left:
            break
    else:
        pytest.fail("the orphan was not buried")
    os.close(orders)


def test_a_program_is_no_child_of_who_has_a_zygote(zygote: Zygote, tmp_path: Path) -> None:
    pid, out, orders = bear(zygote, tmp_path, b"import os\nprint(os.getppid(), flush=True)")
    assert int(os.read(out, 100)) == zygote.pid
    buried(zygote, pid, True)
    os.close(orders)


def test_when_the_orders_are_closed_a_lasting_process_ends(zygote: Zygote, tmp_path: Path) -> None:
    pid, out, orders = bear(zygote, tmp_path, b"print(1, flush=True)", lasting=True)
    assert os.read(out, 10) == b"1\n"
    os.close(orders)
    assert os.waitstatus_to_exitcode(buried(zygote, pid, True).status) == 0


def test_a_zygote_that_died_is_told() -> None:
    dead = Zygote(CELL)
    os.kill(dead.pid, signal.SIGKILL)
    os.waitpid(dead.pid, 0)
    with pytest.raises(ZygoteLostError):
        dead.reap(1, 0.0)
    with pytest.raises(ZygoteLostError):
        dead.bear("/", vars(LIMITS), False, [])
    dead.let_go()


def test_a_zygote_ends_when_nobody_can_ask_it_any_more() -> None:
    made = Zygote(CELL)
    made.let_go()
    for _ in range(200):
        if os.waitpid(made.pid, os.WNOHANG)[0]:
            return
        time.sleep(0.05)
    pytest.fail("it lives on")
