"""The janitor: with a program's rights, and out of its reach."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.worker_identity import own_users
from sandbox.worker_janitor import Janitor, JanitorLostError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def user() -> int:
    return own_users()[0]


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        with contextlib.suppress(PermissionError):
            folder.chmod(folder.stat().st_mode | 0o011)
    made = tmp_path / "scratch"
    made.mkdir()
    made.chmod(0o1777)
    return made


@pytest.fixture
def janitor(user: int, scratch: Path) -> Iterator[Janitor]:
    made = Janitor(user, user + 1, str(scratch), [])
    made.begin()
    yield made
    made.let_go()
    with contextlib.suppress(ChildProcessError):
        os.wait()


def as_program(user: int, what: str) -> int:
    """A process of the program's user that runs a shell command; its pid."""
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        os.execvp("sh", ["sh", "-c", what])
    return pid


def the_janitor() -> int:
    """The newest child; other tests of this process may have left some."""
    every = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return max(
        map(int, every), key=lambda pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    )


def test_it_works_as_the_program_would(janitor: Janitor, user: int) -> None:
    janitor.lay_out({"a": b"1"})
    info = os.stat(Path(janitor.folder, "a"))
    assert (info.st_uid, info.st_gid) == (user, user)
    os.waitstatus_to_exitcode(os.waitpid(as_program(user, f"echo 2 > {janitor.folder}/b"), 0)[1])
    assert janitor.collect(["*"], 10, 100) == ({"b": b"2\n"}, [])


def test_it_has_no_right_beyond_the_programs(janitor: Janitor) -> None:
    status = Path(f"/proc/{the_janitor()}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0000000000000000"}
    assert fields["NoNewPrivs"].strip() == "1"


def test_the_program_can_neither_signal_nor_trace_nor_read_it(janitor: Janitor, user: int) -> None:
    pid = the_janitor()
    attempt = f"kill -9 {pid} || cat /proc/{pid}/environ /proc/{pid}/mem || ls /proc/{pid}/fd"
    assert os.waitpid(as_program(user, attempt), 0)[1] != 0
    janitor.lay_out({"a": b"1"})


def test_it_kills_everything_of_the_programs_and_nothing_else(janitor: Janitor, user: int) -> None:
    ours = os.fork()
    if ours == 0:
        signal.pause()
        os._exit(0)
    theirs = [as_program(user, "trap '' TERM HUP; sleep 60 & sleep 60") for _ in range(3)]
    time.sleep(0.2)
    assert not janitor.clear(1.0)  # somebody is left
    janitor.kill(theirs[0])
    assert [os.WTERMSIG(os.waitpid(pid, 0)[1]) for pid in theirs] == [9, 9, 9]
    assert os.waitpid(ours, os.WNOHANG) == (0, 0)
    os.kill(ours, 9)
    os.waitpid(ours, 0)
    for _ in range(100):
        if janitor.clear(1.0):
            break
        time.sleep(0.02)
    else:
        pytest.fail("the program's grandchildren are not gone")


def test_a_folder_that_nobody_may_enter_does_not_stop_it(janitor: Janitor, user: int, scratch: Path) -> None:
    code = f"cd {janitor.folder} && mkdir -p a/b && touch a/b/c && chmod 0 a/b a . && ln -s / {scratch}/link"
    assert os.waitpid(as_program(user, code), 0)[1] == 0
    assert janitor.clear(10.0) and list(scratch.iterdir()) == []


def test_what_is_not_the_programs_to_delete_is_told(janitor: Janitor, scratch: Path) -> None:
    (scratch / "roots").write_text("x")
    assert not janitor.clear(1.0)


def test_a_janitor_that_died_is_told_from_a_program_that_failed(janitor: Janitor) -> None:
    os.kill(the_janitor(), 9)
    with pytest.raises(JanitorLostError):
        janitor.lay_out({})
