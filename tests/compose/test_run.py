"""The README's quick start with Docker, word for word, with executors and the search service dying meanwhile.

Tests stand in the order of the quick start: up, what it leaves while it stands, further commands, down.
"""

import json
import os
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.compose_stack import Stack, Trouble, quick_start
from tests.compose.outside import REACH, outside

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.compose,
    pytest.mark.xdist_group("compose"),
    pytest.mark.skipif("RLLAVA_REQUIRE_COMPOSE" not in os.environ, reason="brings containers up (.ci/compose does)"),
]
PROJECT = "rllava-gym"
SCAN = Path(__file__).with_name("port_scan.py")
HOSTILE = Path(__file__).with_name("hostile_episode.py")


@dataclass(frozen=True)
class Done:
    """The stack after its agent ended, and what happened on the way."""

    stack: Stack
    status: int
    said: str
    executors_killed: int
    searches_killed: int


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    stack = Stack()
    up, *_ = quick_start()
    log = tmp_path_factory.mktemp("compose") / "up.log"
    process = stack.start(up, log)
    try:
        print(f"first trained step after {stack.first_step('counting', 300):.0f} s")
        with Trouble(stack) as trouble:
            status = stack.wait_for("agent", 1500)
        yield Done(stack, status, log.read_text(errors="replace"), trouble.executors, trouble.searches)
    except TimeoutError:
        print(log.read_text(errors="replace")[-6000:])
        raise
    finally:
        process.terminate()
        process.wait(120)
        stack.compose("down", "-v", "--timeout", "5")


def report(done: Done, run: str) -> dict[str, Any]:
    return json.loads(done.stack.file(f"{run}/report.json"))


def greedy(done: Done, run: str) -> dict[str, float]:
    (found,) = [each for each in report(done, run)["paired_differences"] if each["decoding"] == "greedy"]
    return found


def metrics(done: Done, run: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in done.stack.file(f"{run}/metrics.jsonl").splitlines()]


def test_the_agent_learned_and_its_exit_status_says_so(done: Done) -> None:
    assert done.status == 0, done.said[-4000:]
    assert greedy(done, "counting")["low"] > 0


@pytest.mark.parametrize("run", ["search", "coding"])
def test_the_short_continuations_gain_too(done: Done, run: str) -> None:
    assert greedy(done, run)["value"] > 0


def test_the_report_at_the_end_is_that_of_every_run(done: Done) -> None:
    whole = json.loads(done.stack.file("report.json"))
    for run in ("counting", "search", "coding"):
        value = next(
            r["value"] for r in report(done, run)["rows"] if r["name"] == "after" and r["decoding"] == "greedy"
        )
        env_id = report(done, run)["rows"][0]["env_id"]
        assert value in [row["value"] for row in whole["rows"] if row["env_id"] == env_id]
        assert f"runs/{run}/report.html" in done.said


def test_executors_and_the_search_service_died_and_came_back(done: Done) -> None:
    assert done.executors_killed >= 3 and done.searches_killed == 1
    lanes = done.stack.inspect(*done.stack.ids("executor"))
    assert len(lanes) == 3 and sum(lane["RestartCount"] for lane in lanes) == done.executors_killed
    (search,) = done.stack.inspect(*done.stack.ids("search"))
    assert search["RestartCount"] == 1 and search["State"]["Health"]["Status"] == "healthy"


def test_no_episode_is_scored_for_what_the_infrastructure_did(done: Done) -> None:
    listed = done.stack.compose(
        "exec", "-T", "view", "sh", "-c", "ls runs/search/rollouts/*.jsonl runs/coding/rollouts/*.jsonl"
    )
    episodes = [
        json.loads(line) for path in listed.split() for line in done.stack.file(path.removeprefix("runs/")).splitlines()
    ]
    assert episodes
    failed = [each for each in episodes if each["outcome"]["end"] == "failed"]
    assert all(each["outcome"]["score"] is None for each in failed)


@pytest.mark.parametrize(("run", "steps"), [("search", 16), ("coding", 8)])
def test_every_step_is_there_and_what_was_dropped_is_counted(done: Done, run: str, steps: int) -> None:
    lines = metrics(done, run)
    assert [line["step"] for line in lines] == list(range(1, steps + 1))
    assert all(0 <= line["failed"] < 0.5 for line in lines)


@pytest.mark.parametrize("service", ["executor", "search", "view", "tensorboard"])
def test_a_container_is_hardened(done: Done, service: str) -> None:
    for found in done.stack.inspect(*done.stack.ids(service)):
        check_hardened(found, service)


def test_the_agent_was_hardened(done: Done) -> None:
    (found,) = done.stack.inspect(*done.stack.ids("agent", every=True))
    check_hardened(found, "agent")


def check_hardened(found: dict[str, Any], service: str) -> None:
    host, config = found["HostConfig"], found["Config"]
    assert host["ReadonlyRootfs"] and not host["Privileged"]
    assert host["CapDrop"] == ["ALL"]
    assert sorted(name.removeprefix("CAP_") for name in host["CapAdd"] or []) == (
        ["SETGID", "SETUID"] if service == "executor" else []
    )
    assert host["SecurityOpt"] == ["no-new-privileges:true"]  # and the engine's filter of system calls is not taken off
    assert host["IpcMode"] == "private" and host["PidMode"] == "" and host["UsernsMode"] == "" and not host["Devices"]
    assert host["Memory"] > 0 and 0 < host["PidsLimit"] <= 4096
    assert host["LogConfig"]["Config"]["max-size"] and host["LogConfig"]["Config"]["max-file"]
    assert host["RestartPolicy"]["Name"] == ("no" if service == "agent" else "unless-stopped")
    assert "docker.sock" not in json.dumps(found["Mounts"])
    assert config["User"].split(":")[0] not in ("", "0", "root") or service == "executor"
    assert not [name for name in config["Env"] if re.search("token|key|secret|password", name, re.IGNORECASE)]
    for bindings in (host["PortBindings"] or {}).values():
        assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}
    if service == "executor":
        assert host["NetworkMode"] == "none" and host["MemorySwap"] == host["Memory"] and host["PidsLimit"] == 128
        assert all("noexec" in options and "nosuid" in options for options in host["Tmpfs"].values())
        assert [mount["Destination"] for mount in found["Mounts"]] == ["/run/lane"]


def test_no_container_finds_a_way_out_though_others_on_this_machine_do(done: Done) -> None:
    with outside():
        control = ["docker", "run", "--rm", "--entrypoint", "/opt/search/bin/python", "rllava-gym/search", "-c", REACH]
        assert done.stack.run(control).stdout == "reached\n"
        for service in ("search", "view", "tensorboard"):
            python = "/opt/search/bin/python" if service == "search" else "python"
            assert done.stack.compose("exec", "-T", service, python, "-c", REACH) == "no way\n", service
        agent = ["run", "--rm", "-T", "--no-deps", "--entrypoint", "python", "agent"]
        assert done.stack.compose(*agent, "-c", REACH) == "no way\n"


def test_a_port_scan_from_inside_an_executor_finds_nothing(done: Done) -> None:
    services = done.stack.inspect(*done.stack.ids("search", "view", "tensorboard"))
    addresses = [
        network[key]
        for found in services
        for network in found["NetworkSettings"]["Networks"].values()
        for key in ("IPAddress", "Gateway")
        if network[key]
    ]
    assert len(addresses) >= 4
    scan = SCAN.read_text()
    for container in done.stack.ids("executor"):
        # As the worker itself, which may make sockets; programs may not even do that.
        ended = done.stack.run(["docker", "exec", container, "/opt/sandbox/bin/python", "-c", scan, *addresses], 300)
        assert ended.stdout.split("\n")[:2] == ["interfaces lo", "open 0"], ended.stderr


def test_hostile_programs_of_every_class_change_nothing(done: Done) -> None:
    command = ["docker", "compose", "run", "--rm", "-T", "--no-deps", "--entrypoint", "python", "agent"]
    with HOSTILE.open() as program:
        ended = subprocess.run(
            command, stdin=program, cwd=ROOT, env=done.stack.environment, capture_output=True, text=True, timeout=600
        )
    assert ended.returncode == 0, ended.stderr[-3000:]
    said = json.loads(ended.stdout.splitlines()[-1])
    found = said["found"][1:]
    assert {each["attack"].partition(".")[0] for each in found} == set(said["classes"]) and len(said["classes"]) >= 18
    assert [each for each in found if each["got_in"] or not each["went_on"]] == []
    assert [each for each in said["found"] if each["score"] != 1.0] == []


def test_the_page_of_every_run_is_served_on_this_machine_alone(done: Done) -> None:
    index = urllib.request.urlopen("http://127.0.0.1:8080/", timeout=60).read().decode()
    for run in ("counting", "search", "coding"):
        assert f'href="/{run}/"' in index or f'href="{run}/"' in index
        page = urllib.request.urlopen(f"http://127.0.0.1:8080/{run}/", timeout=120).read().decode()
        assert "RLLaVA/" in page
    assert b"TensorBoard" in urllib.request.urlopen("http://127.0.0.1:6006/", timeout=60).read()
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for address in (address for address in others if not address.startswith("127.")):
        with socket.socket() as connection:
            connection.settimeout(1.0)
            assert connection.connect_ex((address, 8080)) != 0


def test_the_rest_of_the_quick_start_does_what_it_says(done: Done) -> None:
    _, *lines = quick_start()
    down = [line for line in lines if line.startswith("docker compose down")]
    assert down == [lines[-1]]
    for line in lines[:-1]:
        ended = done.stack.run(line, 600)
        assert ended.returncode == 0, f"{line}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"


def test_images_say_of_which_version_and_commit_they_are(done: Done) -> None:
    labels = json.loads(done.stack.run(["docker", "image", "inspect", f"{PROJECT}/agent"]).stdout)[0]["Config"][
        "Labels"
    ]
    head = done.stack.run("git rev-parse HEAD").stdout.strip()
    assert labels["org.opencontainers.image.revision"] == head
    assert f'version = "{labels["org.opencontainers.image.version"]}"' in (ROOT / "pyproject.toml").read_text()


def test_the_tests_run_in_a_container_too(done: Done) -> None:
    ended = done.stack.run(
        "docker compose run --rm -T test -q tests/envs/core/test_rewards.py tests/agent/test_types.py"
    )
    assert ended.returncode == 0 and " passed" in ended.stdout, ended.stdout[-2000:] + ended.stderr[-2000:]


def test_an_environment_of_ones_own_trains_in_folders_of_ones_own(done: Done, tmp_path: Path) -> None:
    text, user = (ROOT / "CONTRIBUTING.md").read_text(), 12345
    mine, runs = tmp_path / "mine", tmp_path / "runs"
    mine.mkdir()
    runs.mkdir()
    for name in ("parity.py", "parity.yaml"):
        (block,) = re.findall(rf"```\w+\n# {name}\n(.*?)```", text, re.DOTALL)
        (mine / name).write_text(block)
    os.chown(runs, user, user)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    (line,) = re.findall(r"^docker compose run .*parity.*$", text, re.MULTILINE)
    stack = Stack({"PLUGINS": str(mine), "RUNS": str(runs), "RUN_AS": f"{user}:{user}"})
    short = (
        "--cold_start.max_steps 2 --optimizer.steps 1 --evaluation.test_episodes 8 --evaluation.validation_episodes 8"
    )
    ended = stack.run(f"{line} {short}", 300)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    (made,) = [folder for folder in runs.iterdir() if folder.is_dir()]
    assert (made / "report.json").stat().st_uid == user


def test_down_leaves_nothing(done: Done) -> None:
    *_, down = quick_start()
    assert done.stack.run(down, 120).returncode == 0
    label = f"label=com.docker.compose.project={PROJECT}"
    for kind in (["ps", "-a"], ["volume", "ls"], ["network", "ls"]):
        left = done.stack.run(["docker", *kind, "-q", "--filter", label]).stdout
        assert left == "", kind
