"""A run as a process of its own: its status, what it hears of an interruption, and that nothing of it stays."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agent.interrupt import Interrupt
from agent.series.child import run_child

REPOSITORY = Path(__file__).parents[3]

# Writes a line for each SIGTERM and ends with 130 after it has had time for a second one.
POLITE = """
import signal, sys, time
heard = open(sys.argv[1], "a")
def handle(*_):
    heard.write("told\\n"); heard.flush()
signal.signal(signal.SIGTERM, handle)
heard.write("ready\\n"); heard.flush()
while "told" not in open(sys.argv[1]).read():
    time.sleep(0.05)
time.sleep(1)
sys.exit(130)
"""
# Hears no SIGTERM, and has a child of its own.
DEAF = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write(f"{child.pid}\\n")
time.sleep(60)
"""


def wait_for(file: Path, text: str) -> None:
    until = time.monotonic() + 30
    while not file.exists() or text not in file.read_text():
        assert time.monotonic() < until, f"no {text!r} in {file}"
        time.sleep(0.02)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(process: int) -> None:
    until = time.monotonic() + 30
    while alive(process):
        assert time.monotonic() < until, f"process {process} is still there"
        time.sleep(0.05)


@pytest.mark.parametrize(("program", "status"), [("", 0), ("import sys; sys.exit(7)", 7)])
def test_the_status_is_the_childs(program: str, status: int) -> None:
    with Interrupt() as stop:
        assert run_child([sys.executable, "-c", program], stop) == status


def test_a_child_that_a_signal_ends_has_a_status_below_zero() -> None:
    with Interrupt() as stop:
        assert run_child([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], stop) == -9


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_passed_on_once(number: int, tmp_path: Path) -> None:
    heard = tmp_path / "heard"

    def interrupt() -> None:
        wait_for(heard, "ready")
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with Interrupt() as stop:
        status = run_child([sys.executable, "-c", POLITE, str(heard)], stop)
    thread.join()
    assert stop.requested and status == 130
    assert heard.read_text() == "ready\ntold\n"


def test_a_childs_group_is_not_that_of_the_series(tmp_path: Path) -> None:
    """A terminal sends Ctrl-C to a whole group: the child would hear it twice, and not finish its step."""
    program = f"import os; open({str(tmp_path / 'group')!r}, 'w').write(str(os.getpgrp()))"
    with Interrupt() as stop:
        run_child([sys.executable, "-c", program], stop)
    assert int((tmp_path / "group").read_text()) != os.getpgrp()


def test_what_does_not_end_is_killed_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.series.child.LAST_WORDS", 0.5)
    wrote = tmp_path / "wrote"

    class Second:
        """An interruption that is followed by another at once."""

        @property
        def requested(self) -> bool:
            wait_for(wrote, "\n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_child([sys.executable, "-c", DEAF, str(wrote)], Second())
    wait_until_gone(int(wrote.read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_a_child_does_not_outlive_a_series_that_is_killed(tmp_path: Path) -> None:
    wrote = tmp_path / "wrote"
    child = f"import os, time; open({str(wrote)!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    program = (
        "import sys; from agent.interrupt import Interrupt; from agent.series.child import run_child\n"
        f"with Interrupt() as stop: run_child([sys.executable, '-c', {child!r}], stop)"
    )
    series = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY)
    wait_for(wrote, "\n")
    series.kill()
    series.wait()
    wait_until_gone(int(wrote.read_text()))
