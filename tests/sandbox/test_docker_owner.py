"""Whose a container is."""

import os
import subprocess
from typing import Any

import pytest

from sandbox import docker_owner
from sandbox.docker_engine import LABEL
from sandbox.docker_owner import labels, orphaned, reap


def test_a_container_of_a_living_process_is_not_orphaned() -> None:
    assert not orphaned(labels("p"))


def test_a_container_of_a_dead_process_is() -> None:
    process = subprocess.Popen(["sleep", "60"])
    marks = labels("p") | {
        f"{LABEL}.pid": str(process.pid),
        f"{LABEL}.started": str(docker_owner._start_time(process.pid)),
    }
    assert not orphaned(marks)
    process.kill()
    while docker_owner._start_time(process.pid) is not None:  # a dead process that nobody waited for is dead
        pass
    assert orphaned(marks)
    process.wait()
    assert orphaned(marks)


def test_a_number_that_is_used_again_is_another_process() -> None:
    assert orphaned(labels("p") | {f"{LABEL}.started": "1"})


@pytest.mark.parametrize(
    "change",
    [{f"{LABEL}.host": "another"}, {LABEL: "image"}, {f"{LABEL}.pid": "x"}, {f"{LABEL}.pid": ""}],
    ids=str,
)
def test_what_cannot_be_judged_is_left_alone(change: dict[str, str]) -> None:
    assert not orphaned(labels("p") | {f"{LABEL}.started": "1"} | change)


class Container:
    def __init__(self, name: str, marks: dict[str, str], error: Exception | None = None) -> None:
        self.name, self.labels, self.error, self.removed = name, marks, error, False

    def remove(self, force: bool) -> None:
        if self.error is not None:
            raise self.error
        self.removed = force


class Client:
    def __init__(self, *containers: Container) -> None:
        self._all = list(containers)
        self.containers = self

    def list(self, **_: Any) -> "list[Container]":
        return self._all


def test_only_orphans_are_removed_and_one_that_goes_by_itself_stops_nothing() -> None:
    dead = labels("p") | {f"{LABEL}.started": "1"}
    mine, gone, orphan = (
        Container("mine", labels("p")),
        Container("gone", dead, OSError("no such container")),
        Container("orphan", dead),
    )
    assert reap(Client(mine, gone, orphan)) == ["orphan"]
    assert (mine.removed, orphan.removed) == (False, True)


def test_its_labels_name_this_process_and_this_run_of_the_machine() -> None:
    marks = labels("p")
    assert marks[f"{LABEL}.pid"] == str(os.getpid()) and marks[f"{LABEL}.pool"] == "p"
    assert os.readlink("/proc/self/ns/pid") in marks[f"{LABEL}.host"]
