"""The process that can be killed: what hangs, what eats memory, threads, forks, and the end of its parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from envs.core import computer_algebra
from envs.core.computer_algebra import agree
from envs.core.errors import ComputerAlgebraError


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # The limit is processor time, so that little of it is enough for what should end, on any machine.
    monkeypatch.setattr(computer_algebra, "CPU_SECONDS", 0.4)
    computer_algebra._stop()
    yield
    computer_algebra._stop()


def child_pid() -> int:
    assert computer_algebra._child is not None
    return computer_algebra._child.process.pid


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


@pytest.mark.parametrize("said", ["9^{9^{9^9}}", "99999999999999999999!", "(" * 400 + "5" + ")" * 400])
def test_what_never_ends_is_no_answer_and_the_next_question_is_answered(said: str) -> None:
    assert agree(said, "5", None) is False
    assert agree("2+3", "5", None) is True


def test_memory_is_bounded_and_a_child_killed_between_questions_is_replaced() -> None:
    assert agree("2+3", "5", None) is True
    first = child_pid()
    limits = Path(f"/proc/{first}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max address space")]
    assert line.split()[3:5] == [str(1 << 30)] * 2
    os.kill(first, signal.SIGKILL)
    assert agree("2+3", "5", None) is True
    assert child_pid() != first


def test_a_child_killed_from_outside_during_a_question_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computer_algebra, "CPU_SECONDS", 60.0)
    assert agree("2+3", "5", None) is True
    first = child_pid()
    asked = threading.Thread(target=lambda: agree("99999999999999999999!", "5", None))
    asked.start()
    time.sleep(0.3)
    monkeypatch.setattr(computer_algebra, "CPU_SECONDS", 0.5)  # for the second child
    os.kill(first, signal.SIGKILL)
    asked.join(300)
    assert not asked.is_alive()
    assert not alive(first)


def test_a_child_that_is_stopped_is_an_error_and_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computer_algebra, "WALL_SECONDS", 0.3)
    ask = computer_algebra._Child.ask

    def stopped(child: computer_algebra._Child, question: dict[str, object]) -> dict[str, object]:
        os.kill(child.process.pid, signal.SIGSTOP)
        return ask(child, question)

    monkeypatch.setattr(computer_algebra._Child, "ask", stopped)
    with pytest.raises(ComputerAlgebraError, match="stopped or starved"):
        agree("2+3", "5", None)


def test_sixteen_threads_share_one_child() -> None:
    verdicts: dict[int, list[bool]] = {}

    def ask(k: int) -> None:
        verdicts[k] = [agree(f"{k}+1", str(k + 1), None), agree(f"{k}+1", str(k), None)]

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert verdicts == {k: [True, False] for k in range(16)}


def test_a_fork_has_a_child_of_its_own_and_leaves_ours_alone() -> None:
    assert agree("2+3", "5", None) is True
    mine = child_pid()
    held = computer_algebra._lock.acquire()  # as another thread would at the moment of the fork
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        verdict = agree("2+3", "5", None) and child_pid() != mine
        os.write(write, b"1" if verdict else b"0")
        os._exit(0)
    computer_algebra._lock.release()
    os.close(write)
    assert held and os.read(read, 1) == b"1"
    os.close(read)
    os.waitpid(pid, 0)
    assert agree("2+4", "6", None) is True
    assert child_pid() == mine


def test_the_child_ends_with_its_parent_however_that_ends() -> None:
    code = (
        "import os, sys, envs.core.computer_algebra as c\n"
        "assert c.agree('2+3', '5', None)\n"
        "print(c._child.process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert gone_within(int(done.stdout), 120.0)


def test_a_broken_installation_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "math_verify.py").write_text("raise ImportError('a broken wheel')\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ComputerAlgebraError, match="a broken wheel"):
        agree("2+3", "5", None)


def test_answers_compare_in_asynchronous_vector_environments() -> None:
    import gymnasium
    import numpy as np

    class Asks(gymnasium.Env[np.ndarray, int]):
        observation_space = gymnasium.spaces.Box(0, 1, (1,), dtype=np.float32)
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: object = None) -> tuple[np.ndarray, dict[str, object]]:
            return np.zeros(1, dtype=np.float32), {}

        def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, object]]:
            return np.zeros(1, dtype=np.float32), float(agree("2+3", str(5 + action), None)), False, False, {}

    assert agree("2+3", "5", None) is True  # so that both are forked from a parent that has a child
    envs = gymnasium.vector.AsyncVectorEnv([Asks, Asks])
    try:
        envs.reset()
        assert envs.step(np.array([0, 1]))[1].tolist() == [1.0, 0.0]
    finally:
        envs.close()
