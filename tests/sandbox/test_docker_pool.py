"""The sandbox of containers: the laws of every sandbox, its walls, and what happens when the sandbox fails."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from sandbox.conformance import LAWS, LIMITS, check_sandbox
from sandbox.contract import MIB, Sandbox
from sandbox.docker_engine import LABEL
from sandbox.docker_lane import DockerLane, Walls
from sandbox.docker_pool import DockerSandbox
from sandbox.errors import Lost, RequestError, Stalled

SHORT = Walls(orphan_seconds=2, silence=4.0)


@pytest.fixture(scope="module")
def sandbox(engine: Any) -> Iterator[DockerSandbox]:
    with DockerSandbox(lanes=1) as opened:
        yield opened


def lane_of(sandbox: DockerSandbox) -> DockerLane:
    """Its only lane, idle."""
    lane = sandbox.take(None)
    sandbox.give(lane)
    assert isinstance(lane, DockerLane)
    return lane


def container_of(sandbox: DockerSandbox, engine: Any) -> Any:
    return engine.containers.get(lane_of(sandbox).name)


def until(condition: Callable[[], bool], seconds: float = 45.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"it did not come to that within {seconds:g} s")
        time.sleep(0.1)


def test_it_is_a_sandbox(sandbox: DockerSandbox) -> None:
    assert isinstance(sandbox, Sandbox)


@pytest.mark.parametrize("law", LAWS)
def test_it_keeps_every_law(sandbox: DockerSandbox, law: str) -> None:
    (finding,) = check_sandbox(sandbox, {law: LAWS[law]})
    assert finding.message == ""


def test_nothing_of_its_isolation_fails_to_hold(sandbox: DockerSandbox) -> None:
    assert [words for words in sandbox.isolation().values() if words.startswith("NOT")] == []


def test_a_container_is_started_with_every_wall(sandbox: DockerSandbox, engine: Any) -> None:
    found = container_of(sandbox, engine).attrs
    host, walls = found["HostConfig"], sandbox.walls
    assert host["NetworkMode"] == "none" and host["ReadonlyRootfs"] is True and host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"] and sorted(host["CapAdd"]) == ["SETGID", "SETUID"]
    assert host["SecurityOpt"] == ["no-new-privileges"]  # and no "seccomp=unconfined"
    assert host["IpcMode"] == "private" and host["PidMode"] == "" and not host["Devices"]
    assert host["Memory"] == host["MemorySwap"] == walls.memory_bytes
    assert (host["PidsLimit"], host["NanoCpus"]) == (walls.processes, int(1e9 * walls.cpus))
    assert {limit["Name"] for limit in host["Ulimits"]} == {"nofile", "core", "fsize"}
    assert host["LogConfig"]["Config"] == {"max-file": "1", "max-size": "64k"}
    assert set(host["Tmpfs"]) == {"/work", "/tmp", "/dev/shm"}
    for options in host["Tmpfs"].values():
        assert (
            {"nosuid", "nodev", "noexec"} <= set(options.split(",")) and "size=" in options and "nr_inodes=" in options
        )
    assert [mount["Destination"] for mount in found["Mounts"]] == ["/run/lane"]
    assert "docker.sock" not in str(found["Mounts"])
    # Each check is a client, which would put off the end of a lane that has lost its owner.
    assert found["Config"]["Healthcheck"]["Test"] == ["NONE"]


def test_the_socket_is_for_the_trainers_group_alone(sandbox: DockerSandbox) -> None:
    folder = lane_of(sandbox).folder
    assert folder.stat().st_mode & 0o777 == 0o770
    assert (folder / "lane.sock").stat().st_mode & 0o777 == 0o660
    code = "import os\ntry: os.listdir('/run/lane')\nexcept PermissionError: print('shut')"
    assert sandbox.exec(code, {}, LIMITS).stdout == "shut\n"


def test_no_program_finds_traces_of_another_in_its_memory(sandbox: DockerSandbox) -> None:
    # The marker is written such that the search does not find itself.
    look = """
    import re
    found = 0
    marker = re.compile(rb'jade[f]alcon')
    with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as memory:
        for line in maps:
            where, rights = line.split()[:2]
            low, high = (int(part, 16) for part in where.split('-'))
            if rights.startswith('r') and '[v' not in line and high - low < 1 << 28:
                try:
                    memory.seek(low)
                    found += len(marker.findall(memory.read(high - low)))
                except OSError:
                    pass
    print(found)
    """
    leave = "x = 'jadefalcon' * 100\nprint(x, len(open('a').read()))"
    with sandbox.lease() as session:  # that it can be found at all
        mine = session.exec("kept = 'jadefalcon'\n" + textwrap.dedent(look), {}, LIMITS)
        assert int(mine.stdout) > 0
    for _ in range(3):
        sandbox.exec(leave, {"a": b"jadefalcon" * 10_000}, LIMITS)
        assert sandbox.exec(textwrap.dedent(look), {}, LIMITS).stdout == "0\n"


def test_gvisor_is_one_option(engine: Any) -> None:
    assert Walls(runtime="runsc").options()["runtime"] == "runsc"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"memory_bytes": 1}, "memory_bytes must be"),
        ({"cpus": 0}, "cpus must be"),
        ({"processes": True}, "processes must be"),
        ({"work_bytes": 2048 * MIB}, "must leave some"),
    ],
)
def test_a_wall_that_cannot_stand_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Walls(**change)


def test_inodes_and_space_run_out_for_the_program_only(sandbox: DockerSandbox) -> None:
    fill = {
        "inodes": "try:\n  for k in range(10**6): open(str(k), 'w').close()\nexcept OSError as e: print(e.errno)",
        "space": "try:\n  for k in range(100): open(f'/tmp/{k}', 'wb').write(bytes(3 << 20))\n"
        "except OSError as e: print(e.errno)",
    }
    with sandbox.lease() as session:
        for code in fill.values():
            result = session.exec(code, {}, replace(LIMITS, wall_seconds=60.0, cpu_seconds=60), outputs=[])
            assert result.stdout == "28\n"
        # The next program's files have no room: the earlier programs' doing, and no failure of the sandbox.
        result = session.exec("", {f"f{k}": b"x" for k in range(20)}, LIMITS, outputs=[])
        assert result.status == "error" and "left no room" in result.reason
    assert sandbox.exec("print(open('a').read())", {"a": b"1"}, LIMITS).stdout == "1\n"


def test_a_program_that_takes_all_the_memory_is_out_of_memory_and_nothing_is_lost(sandbox: DockerSandbox) -> None:
    code = "import os\nfor _ in range(6):\n  if os.fork() == 0: break\nx = bytearray(b'1') * (450 << 20)\nos.wait()"
    result = sandbox.exec(code, {}, replace(LIMITS, memory_bytes=600 * MIB))
    assert result.status in (
        "oom",
        "error",
        "ok",
        "timeout",
    )  # some of its processes went; which, is the kernel's choice
    alone = "x = [bytearray(b'1') * (200 << 20) for _ in range(9)]"
    assert sandbox.exec(alone, {}, replace(LIMITS, memory_bytes=4096 * MIB)).status == "oom"
    assert sandbox.exec("print(1)", {}, LIMITS).stdout == "1\n"


# --- when the sandbox fails -------------------------------------------------------------------------------------------


def call(sandbox: DockerSandbox, code: str, wall: float = 60.0) -> tuple[threading.Thread, list[Any]]:
    """Run a program in a thread. The list gets what came of it."""
    out: list[Any] = []

    def work() -> None:
        try:
            out.append(sandbox.exec(code, {}, replace(LIMITS, wall_seconds=wall, cpu_seconds=60)))
        except Exception as error:
            out.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.7)
    return thread, out


def test_replacing_lanes_leaves_no_file_open(engine: Any) -> None:
    with DockerSandbox(lanes=1, walls=SHORT, max_uses=1) as sandbox:
        assert sandbox.exec("print(1)", {}, LIMITS).ok
        assert sandbox.exec("print(1)", {}, LIMITS).ok
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(4):
            assert sandbox.exec("print(1)", {}, LIMITS).ok
        assert sandbox.stats()["replaced"] >= 5
        assert len(os.listdir("/proc/self/fd")) <= before + 2  # a lane that is being stopped may still have its own


def test_a_container_that_is_killed_costs_one_more_try(engine: Any) -> None:
    with DockerSandbox(lanes=1, walls=SHORT) as sandbox:
        container = container_of(sandbox, engine)
        thread, out = call(sandbox, "import time\ntime.sleep(1.5)\nprint(1)")
        container.kill()
        thread.join()
        assert getattr(out[0], "stdout", out[0]) == "1\n" and sandbox.stats()["retried"] == 1


@pytest.mark.parametrize("which", ["janitor", "zygote", "session"])
def test_whichever_part_of_the_worker_dies_another_lane_is_tried(engine: Any, which: str) -> None:
    with DockerSandbox(lanes=1, walls=SHORT) as sandbox:
        container = container_of(sandbox, engine)
        first = container.id
        thread, out = call(sandbox, "import time\ntime.sleep(1.5)\nprint(1)")
        _, *parts = sorted(int(row[1]) for row in container.top()["Processes"])
        os.kill(dict(zip(("janitor", "zygote", "session"), parts, strict=False))[which], signal.SIGKILL)
        thread.join()
        assert getattr(out[0], "stdout", out[0]) == "1\n" and sandbox.stats()["retried"] == 1
        assert container_of(sandbox, engine).id != first


def test_a_container_that_is_killed_in_a_lease_is_lost_and_never_the_programs_fault(engine: Any) -> None:
    with DockerSandbox(lanes=1, walls=SHORT) as sandbox:
        with sandbox.lease() as session:
            session.exec("", {}, LIMITS)
            engine.containers.get(session._lane.name).kill()
            with pytest.raises(Lost) as caught:
                session.exec("print(1)", {}, LIMITS)
            assert caught.value.infrastructure_failure
        assert sandbox.exec("print(1)", {}, LIMITS).stdout == "1\n"


def test_a_container_that_is_paused_is_given_up_and_replaced(engine: Any) -> None:
    with DockerSandbox(lanes=1, walls=SHORT) as sandbox:
        container = container_of(sandbox, engine)
        thread, out = call(sandbox, "import time\ntime.sleep(1.5)\nprint(1)")
        container.pause()
        thread.join()
        assert getattr(out[0], "stdout", out[0]) == "1\n" and sandbox.stats()["retried"] == 1
        until(lambda: len(engine.containers.list(filters={"label": f"{LABEL}.pool={sandbox.pool_id}"})) == 1)


def test_a_short_pause_gives_the_time_back(engine: Any) -> None:
    with DockerSandbox(lanes=1, walls=replace(SHORT, silence=30.0)) as sandbox:
        container = container_of(sandbox, engine)
        thread, out = call(sandbox, "import time\ntime.sleep(2.5)\nprint(1)", wall=3.0)
        container.pause()
        time.sleep(3.0)
        container.unpause()
        thread.join()
        assert getattr(out[0], "stdout", out[0]) == "1\n" and sandbox.stats()["retried"] == 0


def test_a_program_that_sleeps_is_to_blame_on_a_busy_machine(sandbox: DockerSandbox) -> None:
    cpus = os.cpu_count() or 1
    hogs = [subprocess.Popen([sys.executable, "-c", "while 1: pass"]) for _ in range(3 * cpus)]
    try:
        short = replace(LIMITS, wall_seconds=1.0)
        for code in (
            "import time\ntime.sleep(60)",
            "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
            "import os\nos.read(os.pipe()[0], 1)",
        ):
            assert sandbox.exec(code, {}, short).status == "timeout"
        assert sandbox.exec("input()", {}, LIMITS).status == "error"
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def test_a_program_that_the_machine_did_not_run_is_stalled(engine: Any) -> None:
    cpu = min(os.sched_getaffinity(0))
    with DockerSandbox(lanes=1, walls=Walls(orphan_seconds=2)) as sandbox:
        container = container_of(sandbox, engine)
        # On a processor that others want.
        for row in container.top()["Processes"]:
            os.sched_setaffinity(int(row[1]), {cpu})
        loop = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nprint(flush=True)\nwhile 1: pass"
        hogs = [
            # Sessions of their own, each of which counts as much to the scheduler as all containers together.
            subprocess.Popen([sys.executable, "-c", loop], stdout=subprocess.PIPE, start_new_session=True)
            for _ in range(12)
        ]
        try:
            for hog in hogs:
                assert hog.stdout is not None and hog.stdout.readline()
            with pytest.raises(Stalled):
                sandbox.exec("while True: pass", {}, replace(LIMITS, wall_seconds=1.0))
            assert sandbox.stats()["retried"] == 0
        finally:
            for hog in hogs:
                hog.kill()
                hog.communicate()


TRAINER = """
    import sys, threading, time
    from sandbox.conformance import LIMITS
    from sandbox.docker_lane import Walls
    from sandbox.docker_pool import DockerSandbox
    sandbox = DockerSandbox(lanes=2, walls=Walls(orphan_seconds=2))
    sandbox.exec("", {}, LIMITS)
    threading.Thread(target=lambda: sandbox.exec("import time\\ntime.sleep(60)", {}, LIMITS)).start()
    while sandbox.stats()["started"] < 2: time.sleep(0.05)
    time.sleep(0.3)
    print(sandbox.pool_id, flush=True)
    time.sleep(60)
"""


def trainer() -> tuple[subprocess.Popen[str], str]:
    """Another process with a sandbox of two lanes, one of them busy; and its pool's name."""
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(TRAINER)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_trainer_that_is_killed_leaves_no_container(engine: Any) -> None:
    process, pool = trainer()
    assert pool and len(engine.containers.list(filters={"label": f"{LABEL}.pool={pool}"})) == 2
    process.kill()
    process.communicate()
    until(lambda: not engine.containers.list(all=True, filters={"label": f"{LABEL}.pool={pool}"}, ignore_removed=True))


def test_what_cannot_end_by_itself_is_reaped_when_the_next_sandbox_opens(engine: Any) -> None:
    process, pool = trainer()
    for container in engine.containers.list(filters={"label": f"{LABEL}.pool={pool}"}):
        container.pause()
    process.kill()
    process.communicate()
    with DockerSandbox(lanes=1, walls=SHORT) as sandbox:
        mine = container_of(sandbox, engine)
        assert engine.containers.list(all=True, filters={"label": f"{LABEL}.pool={pool}"}, ignore_removed=True) == []
        assert engine.containers.get(mine.id).status == "running"


def test_an_idle_connection_keeps_a_lane_alive(engine: Any) -> None:
    with DockerSandbox(lanes=1, walls=replace(SHORT, orphan_seconds=1)) as sandbox:
        first = container_of(sandbox, engine).id
        time.sleep(3.5)
        assert container_of(sandbox, engine).id == first


def test_closing_leaves_nothing(engine: Any) -> None:
    sandbox = DockerSandbox(lanes=1)
    sandbox.exec("", {}, LIMITS)
    folder = lane_of(sandbox).folder
    sandbox.close()
    assert engine.containers.list(all=True, filters={"label": f"{LABEL}.pool={sandbox.pool_id}"}) == []
    assert not folder.parent.exists()


def test_an_engine_that_is_gone_is_told_at_once_and_found_again(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with DockerSandbox(lanes=1, walls=SHORT) as sandbox:
        container = container_of(sandbox, engine)
        source = sandbox._containers
        honest = source._client

        class Gone:
            @property
            def containers(self) -> Any:
                raise ConnectionRefusedError("no engine")

            def close(self) -> None: ...

        # A lane that is warm needs no engine.
        source._client = Gone()
        assert sandbox.exec("print(1)", {}, LIMITS).stdout == "1\n"
        container.kill()
        until(lambda: sandbox._breaker.open or not lane_is_there(sandbox))
        with pytest.raises(Lost, match="no engine"):
            sandbox.exec("print(1)", {}, LIMITS)
        source._client = honest
        until(lambda: sandbox.stats()["free"] == 1)
        assert sandbox.exec("print(1)", {}, LIMITS).stdout == "1\n"


def lane_is_there(sandbox: DockerSandbox) -> bool:
    try:
        sandbox.exec("", {}, LIMITS)
    except Lost:
        return False
    return True


def test_a_worker_without_its_rights_says_why_it_does_not_start(engine: Any) -> None:
    class Bare(Walls):
        def options(self) -> dict[str, Any]:
            return super().options() | {"cap_add": []}

    with DockerSandbox(lanes=1, walls=Bare(orphan_seconds=2)) as sandbox, pytest.raises(Lost, match="CAP_SETUID"):
        sandbox.exec("", {}, LIMITS)


def test_a_signal_to_the_worker_ends_its_container(engine: Any) -> None:
    with DockerSandbox(lanes=1, walls=SHORT) as sandbox:
        container = container_of(sandbox, engine)
        container.kill(signal=signal.SIGTERM)
        until(lambda: engine.containers.list(all=True, filters={"id": container.id}, ignore_removed=True) == [])
