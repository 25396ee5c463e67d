"""Paired differences between groups, against those worked out by hand."""

from math import isnan
from pathlib import Path
from typing import Any

from agent.compare.between import Difference, differences
from agent.compare.groups import grouped
from agent.compare.runs import read_run
from agent.evaluate import paired_difference
from tests.agent.compare.written import write_run

RLOO: dict[str, Any] = {"algorithm": {"family": "rloo"}}


def between(tmp_path: Path, *runs: dict[str, Any]) -> list[Difference]:
    paths = [write_run(tmp_path, f"run{i}", **options) for i, options in enumerate(runs)]
    return differences(grouped([read_run(path) for path in paths], {}))


def test_the_second_minus_the_first_on_the_same_tasks(tmp_path: Path) -> None:
    low, high = [0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]
    (found,) = between(tmp_path, {"after": low}, {"after": high, **RLOO})
    assert (found.first, found.second) == ("algorithm.family: grpo", "algorithm.family: rloo")
    assert (found.value, found.low, found.high) == paired_difference(low, high)
    assert (found.p, found.count, found.over, found.seeds) == (2 / 8, 4, "tasks", (0,))


def test_tasks_are_averaged_over_the_seeds_that_both_have(tmp_path: Path) -> None:
    zero, half, one = [0.0] * 4, [0.0, 1.0, 0.0, 1.0], [1.0] * 4
    first = [{"seed": 0, "after": zero}, {"seed": 1, "after": half}, {"seed": 7, "after": one}]
    second = [{"seed": 0, "after": half, **RLOO}, {"seed": 1, "after": one, **RLOO}, {"seed": 8, "after": zero, **RLOO}]
    tasks, seeds = between(tmp_path, *first, *second)
    assert tasks.seeds == (0, 1)
    assert (tasks.over, tasks.value, tasks.p, tasks.count) == ("tasks", 0.5, 2 / 16, 4)
    assert (seeds.over, seeds.value, seeds.p, seeds.count) == ("seeds", 0.5, 2 / 4, 2)


def test_without_a_common_seed_all_runs_are_used_and_it_is_told(tmp_path: Path) -> None:
    (found,) = between(tmp_path, {"seed": 0, "after": [0.0] * 4}, {"seed": 1, "after": [1.0] * 4, **RLOO})
    assert (found.value, found.seeds, found.over) == (1.0, (), "tasks")


def test_a_shorter_test_is_compared_on_its_tasks(tmp_path: Path) -> None:
    (found,) = between(tmp_path, {"before": [0.0] * 2, "after": [0.0, 0.0]}, {"after": [1.0, 0.0, 1.0, 1.0], **RLOO})
    assert (found.value, found.count) == (0.5, 2)


def test_a_task_without_a_score_in_one_run_is_left_out(tmp_path: Path) -> None:
    (found,) = between(tmp_path, {"after": [0.0, None, 0.0, 0.0]}, {"after": [1.0, 1.0, None, 0.0], **RLOO})
    assert (found.value, found.count) == (0.5, 2)


def test_other_tasks_are_not_paired(tmp_path: Path) -> None:
    (found,) = between(tmp_path, {}, {"env": {"kwargs": {"cells": 4}}})
    assert isnan(found.value) and isnan(found.p) and "test tasks differ" in found.why


def test_an_unfinished_group_is_not_paired(tmp_path: Path) -> None:
    (found,) = between(tmp_path, {}, {"after": None, **RLOO})
    assert found.why == "no test after training yet"


def test_every_two_groups_are_compared(tmp_path: Path) -> None:
    found = between(tmp_path, {}, RLOO, {"algorithm": {"family": "ppo"}})
    names = [(one.first.rpartition(" ")[2], one.second.rpartition(" ")[2]) for one in found]
    assert names == [("grpo", "rloo"), ("grpo", "ppo"), ("rloo", "ppo")]
