"""Two trainers, as on two hosts, against one sandbox service and one search service."""

import json
import os
import secrets
from collections.abc import Iterator

import pytest

from bench.compose_stack import Stack

pytestmark = [
    pytest.mark.compose,
    pytest.mark.xdist_group("compose"),
    pytest.mark.skipif("RLLAVA_REQUIRE_COMPOSE" not in os.environ, reason="brings containers up (.ci/compose does)"),
]
FILES = ["-f", "compose.yaml", "-f", "compose.trainers.yaml"]
TOKEN = secrets.token_hex(16)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    stack = Stack({"RLLAVA_SANDBOX_TOKEN": TOKEN, "TRAINERS_STEPS": "2"})
    try:
        stack.compose(*FILES, "up", "-d", "trainer-0", "trainer-1")
        yield stack
    finally:
        stack.compose(*FILES, "down", "-v", "--timeout", "5")


def test_both_end_well(stack: Stack) -> None:
    for name in ("trainer-0", "trainer-1"):
        (container,) = stack.compose(*FILES, "ps", "-aq", name).split()
        status = stack.run(["docker", "wait", container], 900).stdout
        assert status == "0\n", stack.run(["docker", "logs", "--tail", "60", container]).stderr


@pytest.mark.parametrize("run", ["trainers-search", "trainers-coding"])
def test_a_run_is_one_run_whose_weights_were_in_shards_over_both(stack: Stack, run: str) -> None:
    read = ["run", "--rm", "-T", "--no-deps", "--entrypoint", "cat", "agent"]
    report = json.loads(stack.compose(*FILES, *read, f"runs/{run}/report.json"))
    assert report["steps"] == 2 and len(report["paired_differences"]) == 2
    assert "train: fsdp2" in stack.compose(*FILES, *read, f"runs/{run}/config.yaml")


def test_the_token_stands_in_no_log_and_in_no_image(stack: Stack) -> None:
    assert TOKEN not in stack.compose(*FILES, "logs")
    for image in ("agent", "executor", "search"):
        history = stack.run(["docker", "history", "--no-trunc", f"rllava-gym/{image}"]).stdout
        inspected = stack.run(["docker", "image", "inspect", f"rllava-gym/{image}"]).stdout
        assert history and TOKEN not in history + inspected


def test_trainers_reach_executors_through_the_service_alone(stack: Stack) -> None:
    for name in ("trainer-0", "trainer-1"):
        (found,) = stack.inspect(*stack.compose(*FILES, "ps", "-aq", name).split())
        assert "/run/lane" not in [mount["Destination"] for mount in found["Mounts"]]
