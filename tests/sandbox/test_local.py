"""The local sandbox: the laws of every sandbox, and what happens when it is the sandbox that fails."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.conformance import LAWS, LIMITS, check_sandbox
from sandbox.contract import Sandbox
from sandbox.errors import Lost, QueueTimeout, RequestError, Stalled, Unavailable
from sandbox.local import LocalSandbox
from sandbox.local_worker import bubblewrap_works


@pytest.fixture(scope="module")
def sandbox() -> Iterator[LocalSandbox]:
    with LocalSandbox(bubblewrap=False, lanes=2) as opened:
        yield opened


def test_it_is_a_sandbox(sandbox: LocalSandbox) -> None:
    assert isinstance(sandbox, Sandbox)


@pytest.mark.parametrize("law", LAWS)
def test_it_keeps_every_law(sandbox: LocalSandbox, law: str) -> None:
    (finding,) = check_sandbox(sandbox, {law: LAWS[law]})
    assert finding.message == ""


@pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap is not installed, or may not make namespaces here")
@pytest.mark.parametrize("law", [law for law in LAWS if "time" not in law])
def test_it_keeps_the_laws_in_bubblewrap(wrapped: LocalSandbox, law: str) -> None:
    (finding,) = check_sandbox(wrapped, {law: LAWS[law]})
    assert finding.message == ""


@pytest.fixture(scope="module")
def wrapped() -> Iterator[LocalSandbox]:
    with LocalSandbox(bubblewrap=True, lanes=2) as opened:
        yield opened


def test_what_is_said_to_be_read_only_cannot_be_written(sandbox: LocalSandbox, tmp_path: Path) -> None:
    if not sandbox.isolation()["files"].startswith("read-only"):
        pytest.skip("no mount namespace is to be had here, as isolation() says")
    os.chmod(tmp_path, 0o777)
    result = sandbox.exec(f"open({str(tmp_path / 'a')!r}, 'w').write('x')", {}, LIMITS)
    assert result.status == "error" and not (tmp_path / "a").exists()


def test_what_is_said_to_be_hidden_cannot_be_signalled(sandbox: LocalSandbox) -> None:
    if not sandbox.isolation()["other processes"].startswith("hidden"):
        pytest.skip("no process namespace is to be had here, as isolation() says")
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        for target in (sleeper.pid, os.getpid(), -1):
            sandbox.exec(f"import os\nos.kill({target}, 9)", {}, LIMITS)
        # Its worker is the first process of its namespace, which nothing inside can kill.
        assert sandbox.exec("import os\nos.kill(os.getppid(), 9)\nprint(1)", {}, LIMITS).status in ("ok", "error")
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_the_processes_of_a_program_are_counted(sandbox: LocalSandbox) -> None:
    if sandbox.isolation()["processes"].startswith("NOT"):
        pytest.skip("root has no such limit, as isolation() says")
    code = """
    import os, time
    for k in range(8):
        try:
            if os.fork() == 0:
                time.sleep(60)
        except OSError:
            break
    print(k)
    """
    result = sandbox.exec(textwrap.dedent(code), {}, replace(LIMITS, processes=4))
    assert result.stdout == "3\n" or "yours" in sandbox.isolation()["processes"]


def test_what_does_not_hold_is_said_once_in_a_process_and_can_be_recorded() -> None:
    code = (
        "from sandbox.local import LocalSandbox\n"
        "for _ in range(2):\n"
        "  with LocalSandbox(bubblewrap=False, lanes=1, network='host') as s: print(s.isolation()['network'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 2 * "NOT cut: asked for by name\n"
    assert done.stderr.count("does NOT hold hostile code") == 1
    assert done.stderr.count("network: NOT cut") == 1


def worker_of(process: int) -> int:
    """The process that forks programs: the one below it may be all, or stay behind before it."""
    pid = process
    while True:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not below or "sandbox" not in Path(f"/proc/{below[0]}/cmdline").read_text():
            return pid
        pid = int(below[0])


def running(sandbox: LocalSandbox, code: str, wall: float = 60.0) -> tuple[threading.Thread, list[object], int]:
    """Start a program in a thread and wait until it runs. The list gets what came of it; also the worker's pid."""
    sandbox.exec("", {}, LIMITS)
    process = sandbox._idle[-1]._process.pid
    worker = worker_of(process)
    out: list[object] = []

    def call() -> None:
        try:
            out.append(sandbox.exec(code, {}, replace(LIMITS, wall_seconds=wall, cpu_seconds=60)))
        except Exception as error:
            out.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    children = Path(f"/proc/{worker}/task/{worker}/children")
    while not children.read_text().split() and not out:
        time.sleep(0.01)
    time.sleep(0.2)
    return thread, out, worker


def test_a_worker_that_is_killed_is_replaced_and_its_program_tried_once_more() -> None:
    with LocalSandbox(bubblewrap=False, lanes=1) as sandbox:
        thread, out, worker = running(sandbox, "import time\ntime.sleep(1)\nprint(1)")
        os.kill(worker, signal.SIGKILL)
        thread.join()
        assert getattr(out[0], "stdout", out[0]) == "1\n"
        assert sandbox.stats()["retried"] == 1 and sandbox.stats()["started"] == 2


def test_a_lease_whose_worker_is_killed_is_lost() -> None:
    with LocalSandbox(bubblewrap=False, lanes=1) as sandbox:
        with sandbox.lease() as session:
            session.exec("", {}, LIMITS)
            os.killpg(session._lane._process.pid, signal.SIGKILL)
            with pytest.raises(Lost) as caught:
                session.exec("print(1)", {}, LIMITS)
            assert caught.value.infrastructure_failure
        assert sandbox.exec("print(1)", {}, LIMITS).stdout == "1\n"
        assert sandbox.stats()["lost"] == 1


def test_an_idle_worker_that_was_killed_is_replaced_without_a_word() -> None:
    with LocalSandbox(bubblewrap=False, lanes=1) as sandbox:
        sandbox.exec("", {}, LIMITS)
        process = sandbox._idle[-1]._process
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert sandbox.exec("print(1)", {}, LIMITS).stdout == "1\n"
        assert sandbox.stats()["lost"] == 0


def test_a_starved_program_is_the_machines_fault() -> None:
    with LocalSandbox(bubblewrap=False, lanes=1) as sandbox:
        sandbox.exec("", {}, LIMITS)
        worker = worker_of(sandbox._idle[-1]._process.pid)
        cpu = min(os.sched_getaffinity(0))
        # The worker's program inherits a class that runs when nobody else wants to, on a processor that others want.
        os.sched_setaffinity(worker, {cpu})
        os.sched_setscheduler(worker, os.SCHED_IDLE, os.sched_param(0))
        loop = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nprint(flush=True)\nwhile 1: pass"
        hogs = [
            # Sessions of their own: some kernels share a processor among sessions, whatever their classes.
            subprocess.Popen([sys.executable, "-c", loop], stdout=subprocess.PIPE, start_new_session=True)
            for _ in range(8)
        ]
        try:
            for hog in hogs:
                assert hog.stdout is not None and hog.stdout.readline()
            with pytest.raises(Stalled) as caught:
                sandbox.exec("while True: pass", {}, replace(LIMITS, wall_seconds=1.0))
            assert caught.value.infrastructure_failure
        finally:
            for hog in hogs:
                hog.kill()
                hog.communicate()


def test_a_program_that_lowers_its_own_priority_is_to_blame() -> None:
    with LocalSandbox(bubblewrap=False, lanes=1) as sandbox:
        cpu = min(os.sched_getaffinity(0))
        code = (
            f"import os\nos.sched_setaffinity(0, {{{cpu}}})\n"
            "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"
        )
        hog = subprocess.Popen([sys.executable, "-c", f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nwhile 1: pass"])
        try:
            assert sandbox.exec(code, {}, replace(LIMITS, wall_seconds=1.0)).status == "timeout"
        finally:
            hog.kill()
            hog.wait()


def test_a_worker_that_was_stopped_gives_the_time_back() -> None:
    with LocalSandbox(bubblewrap=False, lanes=1) as sandbox:
        thread, out, worker = running(sandbox, "import time\ntime.sleep(3)", wall=2.0)
        os.kill(worker, signal.SIGSTOP)
        time.sleep(2.4)  # the time is over when it wakes, and the program has not ended
        os.kill(worker, signal.SIGCONT)
        thread.join()
        assert getattr(out[0], "status", out[0]) == "ok"


def test_what_a_program_leaves_running_is_killed_and_its_worker_goes_on() -> None:
    with LocalSandbox(bubblewrap=False, lanes=1) as sandbox:
        law = "nothing that it started lives on"
        (finding,) = check_sandbox(sandbox, {law: LAWS[law]})
        assert finding.message == ""
        assert sandbox.stats()["started"] == 1


def test_a_caller_waits_for_a_lane_and_is_told_how_long() -> None:
    with LocalSandbox(bubblewrap=False, lanes=1) as sandbox:
        thread, out, _ = running(sandbox, "import time\ntime.sleep(0.6)")
        result = sandbox.exec("print(1)", {}, LIMITS)
        thread.join()
        assert result.queue_ms > 50 and getattr(out[0], "status", out[0]) == "ok"


def test_a_caller_does_not_wait_for_ever() -> None:
    with LocalSandbox(bubblewrap=False, lanes=1, queue_seconds=0.2) as sandbox:
        thread, out, _ = running(sandbox, "import time\ntime.sleep(1)")
        with pytest.raises(QueueTimeout, match="none of 1 lanes") as caught:
            sandbox.exec("print(1)", {}, LIMITS)
        assert caught.value.infrastructure_failure
        thread.join()
        assert getattr(out[0], "status", out[0]) == "ok"


def gone(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    for _ in range(400):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_a_killed_trainer_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    trainer = textwrap.dedent("""
        import sys, threading, time
        from sandbox.conformance import LIMITS
        from sandbox.local import LocalSandbox
        sandbox = LocalSandbox(bubblewrap=False, lanes=2)
        sandbox.exec("", {}, LIMITS)
        code = "import os, time\\nos.fork() or os.setsid()\\ntime.sleep(60)"
        threading.Thread(target=lambda: sandbox.exec(code, {}, LIMITS)).start()
        time.sleep(0.5)
        print(*[w._process.pid for w in sandbox._idle], flush=True)
        time.sleep(60)
    """)
    # Its temporary folder is ours, so that we see what it leaves.
    path = os.pathsep.join([os.getcwd(), *sys.path])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "TMPDIR": str(tmp_path)}
    os.chmod(tmp_path, 0o755)
    process = subprocess.Popen([sys.executable, "-c", trainer], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    below = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        below += [int(pid) for pid in (task / "children").read_text().split()]
    workers = {worker_of(pid) for pid in below}
    process.kill()
    process.communicate()
    assert workers and all(gone(pid) for pid in workers)
    for _ in range(100):
        if not any(p.name.startswith("run-") for p in tmp_path.rglob("*")):
            break
        time.sleep(0.05)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_closing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sandbox = LocalSandbox(bubblewrap=False, lanes=1)
    sandbox.exec("open('a', 'w').write('x')", {}, LIMITS)
    process = sandbox._idle[-1]._process
    sandbox.close()
    sandbox.close()
    assert process.returncode is not None
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Lost, match="closed"):
        sandbox.exec("", {}, LIMITS)


def test_a_forked_child_must_open_its_own(sandbox: LocalSandbox) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            sandbox.exec("", {}, LIMITS)
        except Lost:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_a_thousand_files_and_deep_folders_are_wiped(sandbox: LocalSandbox) -> None:
    code = """
    import os
    for k in range(1000): open(f'f{k}', 'w')
    for k in range(600):
        os.mkdir('d' * 50)
        os.chdir('d' * 50)
    os.chmod('.', 0)
    """
    assert sandbox.exec(textwrap.dedent(code), {}, LIMITS, outputs=[]).status == "ok"
    scratch = [Path(worker._scratch) for worker in sandbox._idle]
    assert [entry for folder in scratch for entry in folder.iterdir()] == []
    assert sandbox.exec("print(1)", {}, LIMITS).stdout == "1\n"


def test_the_trainers_environment_is_not_inherited(sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s3cr3t")
    with LocalSandbox(bubblewrap=False, lanes=1) as own:
        code = "import os\nprint([open(f'/proc/{p}/environ').read() for p in ('self', os.getppid())])"
        assert "s3cr3t" not in own.exec(code, {}, LIMITS).stdout


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({"lanes": 0}, "lanes"), ({"lanes": True}, "lanes"), ({"network": "web"}, "network")],
)
def test_a_bad_argument_is_refused_by_name(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        LocalSandbox(**kwargs)  # type: ignore[arg-type]


def test_without_opencv_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "cv2" else object())
    with pytest.raises(Unavailable, match=r"pip install 'rllava-gym\[sandbox\]'"):
        LocalSandbox()
