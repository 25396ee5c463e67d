"""Whose fault a time-out is."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox.worker_blame import Seen, Standing, blame


@pytest.mark.parametrize(
    ("what", "cpu", "waited", "changed", "machine"),
    [
        ("it slept", 0.0, 0.0, False, False),
        ("it slept on a busy machine", 0.1, 2.0, False, False),
        ("it looped", 9.9, 0.1, False, False),
        ("it looped beside one other", 5.0, 5.0, False, False),
        ("it looped beside three others", 2.5, 7.5, False, False),
        ("it was hardly run", 1.0, 9.0, False, True),
        ("it was not run at all", 0.0, 10.0, False, True),
        ("it lowered its own priority", 0.0, 10.0, True, False),
        ("its own processes were in each other's way", 18.0, 9.5, False, False),
    ],
)
def test_the_machine_is_to_blame_only_where_it_can_be_shown(
    what: str, cpu: float, waited: float, changed: bool, machine: bool
) -> None:
    assert bool(blame(10.0, cpu, Seen(waited, changed))) is machine, what


def test_the_evidence_is_told_in_seconds() -> None:
    assert "ready for 9.00 of its 10 s and was run for 1.00 s" in blame(10.0, 1.0, Seen(9.0, False))


def child(code: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("import time; print(flush=True); time.sleep(60)", False),
        ("import os, time; os.nice(1); print(flush=True); time.sleep(60)", True),
        (
            "import os, time; os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))\n"
            "print(flush=True); time.sleep(60)",
            True,
        ),
        # Also when somebody below did it.
        ("import os, time; os.fork() or (os.nice(1), print(flush=True)); time.sleep(60)", True),
    ],
)
def test_a_changed_scheduling_is_seen(code: str, changed: bool) -> None:
    process = child(code)
    try:
        assert Standing(process.pid, os.getpid()).take().changed is changed
    finally:
        below = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in [*map(int, below), process.pid]:
            os.kill(pid, 9)
        process.communicate()


def test_waiting_for_a_processor_is_counted_and_sleeping_is_not() -> None:
    cpu = min(os.sched_getaffinity(0))
    pin = f"import os, time; os.sched_setaffinity(0, {{{cpu}}}); print(flush=True)\n"
    loops, sleeper = [child(pin + "while 1: pass") for _ in range(3)], child(pin + "time.sleep(60)")
    try:
        time.sleep(1.0)
        waits = [Standing(process.pid, os.getpid()).take().waited for process in (loops[0], sleeper)]
        assert waits[0] > 0.3 and waits[1] < waits[0] / 2
    finally:
        for process in (*loops, sleeper):
            process.kill()
            process.communicate()
