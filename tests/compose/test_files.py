"""What can be told of the Compose files without an engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.compose_stack import quick_start

ROOT = Path(__file__).parents[2]
FILES = sorted(path.name for path in ROOT.glob("compose*.yaml"))


class Loader(yaml.SafeLoader):
    """YAML with the two tags of Compose's own, which say how files are merged."""


def _as_it_stands(loader: Loader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else None


Loader.add_constructor("!reset", _as_it_stands)
Loader.add_constructor("!override", _as_it_stands)


def services(name: str) -> dict[str, Any]:
    return yaml.load((ROOT / name).read_text(), Loader=Loader)["services"]


MAIN = services("compose.yaml")


def test_the_files_are_the_main_one_and_four_that_go_on_top() -> None:
    assert FILES == [
        "compose.gpu.yaml",
        "compose.gvisor.yaml",
        "compose.trainers.yaml",
        "compose.web.yaml",
        "compose.yaml",
    ]


@pytest.mark.parametrize("service", MAIN)
def test_every_service_is_read_only_without_capabilities_and_bounded(service: str) -> None:
    given = MAIN[service]
    assert given["read_only"] is True and given["cap_drop"] == ["ALL"]
    assert given["security_opt"] == ["no-new-privileges:true"] and given["ipc"] == "private"
    assert "mem_limit" in given and "pids_limit" in given and "restart" in given
    assert given["logging"]["options"]["max-size"] and not given.get("privileged")
    assert given.get("cap_add", []) == (["SETUID", "SETGID"] if service == "executor" else [])


@pytest.mark.parametrize("name", FILES)
def test_no_container_has_the_engines_socket_or_the_hosts_namespaces(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "docker.sock" not in text and "privileged: true" not in text
    assert not re.search(r"(network_mode|pid|ipc|userns_mode|uts): *[\"']?host", text)


@pytest.mark.parametrize("name", FILES)
def test_ports_are_published_on_this_machine_alone(name: str) -> None:
    for given in services(name).values():
        assert all(str(port).startswith("127.0.0.1:") for port in given.get("ports") or [])


def test_executors_have_no_network_and_the_walls_of_a_lane_that_the_engine_is_asked_for() -> None:
    from sandbox.docker_lane import Walls

    given, walls = MAIN["executor"], Walls()
    assert given["network_mode"] == "none" and "networks" not in given
    assert given["pids_limit"] == walls.processes and given["cpus"] == walls.cpus
    assert given["mem_limit"] == given["memswap_limit"] == "1g" and walls.memory_bytes == 1 << 30
    assert given["ulimits"]["fsize"] == {"soft": walls.work_bytes, "hard": walls.work_bytes}
    tmpfs = dict(line.split(":", 1) for line in given["tmpfs"])
    assert tmpfs == walls.options()["tmpfs"]


def test_only_pages_have_a_network_from_which_ports_are_published() -> None:
    used = {name: given.get("networks") for name, given in MAIN.items()}
    assert used == {
        "executor": None,
        "search": ["inside"],
        "agent": ["inside"],
        "view": ["page"],
        "tensorboard": ["page"],
        "test": ["inside"],
    }
    networks = yaml.load((ROOT / "compose.yaml").read_text(), Loader=Loader)["networks"]
    assert networks["inside"]["internal"] is True
    assert networks["page"]["driver_opts"]["com.docker.network.bridge.enable_ip_masquerade"] == "false"


def test_a_way_out_is_opened_by_the_file_for_the_web_and_for_searches_alone() -> None:
    opened = {
        name for file in FILES for name, given in services(file).items() if "outside" in (given.get("networks") or [])
    }
    assert (
        opened
        == {"search"}
        == {n for n, g in services("compose.web.yaml").items() if "outside" in g.get("networks", [])}
    )


@pytest.mark.parametrize("name", FILES)
def test_no_secret_stands_in_a_file(name: str) -> None:
    for given in services(name).values():
        environment = given.get("environment") or {}
        for variable in environment if isinstance(environment, dict) else {}:
            if re.search("TOKEN|KEY|SECRET|PASSWORD", variable):
                assert environment[variable].startswith("${")


def test_the_version_that_images_are_labelled_with_is_the_packages() -> None:
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    for place in ("compose.yaml", "images/agent/Dockerfile", "images/agent-gpu/Dockerfile"):
        assert re.findall(r"VERSION(?::-|=)(\d[\d.]*\d)", (ROOT / place).read_text()) == [version[1]]


def test_git_and_what_runs_leave_behind_stay_out_of_a_build() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", "runs", "evaluations", ".venv*", ".env"} <= set(ignored)
    assert "images/agent/wheels" not in ignored


def test_the_quick_start_begins_with_up_and_ends_with_down() -> None:
    lines = quick_start()
    assert lines[0] == "docker compose up" and lines[-1] == "docker compose down -v"
    assert all(line.startswith("docker compose run --rm agent ") for line in lines[1:-1])
