"""A step's episodes: what is replaced, and what is played without chance."""

from pathlib import Path

import torch

from agent.algorithm import resolve
from agent.collect import collect
from agent.config_algorithm import SelectionConfig
from agent.failures import LONELY, NO_BASELINE
from tests.agent.run_fixtures import BrokenSandboxError, Hooks
from tests.agent.test_train import prepared

MANY = {"prompts_per_step": 6, "group_size": 3}
FRAGILE = {"kwargs": {"fault": "sandbox"}}  # turns of odd length fail at the infrastructure
ODD = {"kwargs": {"fault": "odd worlds"}}  # in worlds of an odd seed all scores are equal


def equal_groups(trajectories: list, size: int = 3) -> list[bool]:
    groups = [trajectories[i : i + size] for i in range(0, len(trajectories), size)]
    return [len({t.outcome.score for t in group}) == 1 for group in groups]


def test_groups_that_say_nothing_are_replaced_and_the_others_stay(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, rollout=MANY, env=ODD)
    plain = collect(config, parts, 0).trajectories
    config, parts = prepared(
        tmp_path / "again", rollout=MANY, env=ODD, algorithm={"selection": SelectionConfig(resample_rounds=1)}
    )
    once = collect(config, parts, 0)
    before, after = equal_groups(plain), equal_groups(once.trajectories)
    assert any(before) and not all(before) and sum(after) < sum(before)
    for group, said_nothing in enumerate(before):
        ours, theirs = once.trajectories[3 * group], plain[3 * group]
        assert (ours.seed != theirs.seed) == said_nothing
    assert once.metrics["resampled"] == sum(before) / 6


def test_replacing_ends_with_its_rounds(tmp_path: Path) -> None:
    config, parts = prepared(
        tmp_path,
        rollout=MANY,
        env={"kwargs": {"fault": "constant"}},
        algorithm={"selection": SelectionConfig(resample_rounds=2)},
    )
    collected = collect(config, parts, 0)
    assert len(collected.trajectories) == 18 and all(equal_groups(collected.trajectories))
    assert collected.metrics["resampled"] == 2.0


def test_what_is_replaced_depends_on_the_step_alone(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        config, parts = prepared(
            tmp_path / name, rollout=MANY, env=ODD, algorithm={"selection": SelectionConfig(resample_rounds=2)}
        )
        found.append([t.rows for t in collect(config, parts, 3).trajectories])
    assert found[0] == found[1]


def test_each_task_is_played_once_without_chance_where_that_is_the_baseline(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, rollout=MANY, algorithm={"family": "remax"})
    collected = collect(config, parts, 0)
    assert collected.greedy_scores is not None and collected.greedy_scores.shape == (18,)
    assert all(len(collected.greedy_scores[3 * g : 3 * g + 3].unique()) == 1 for g in range(6))
    assert torch.equal(collected.siblings, torch.arange(6).repeat_interleave(3))
    assert len(collected.greedy_scores.unique()) > 1


def test_a_group_whose_greedy_episode_broke_is_dropped(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, rollout={**MANY, "threads": 1}, algorithm={"family": "remax"})
    assert resolve(config).needs_greedy

    def break_two(count: int) -> None:
        if count - 18 * 2 in (2, 5):  # the first turns of the greedy episodes follow those of all others
            raise BrokenSandboxError("gone")

    Hooks.set(break_two)
    try:
        collected = collect(config, parts, 0)
    finally:
        Hooks.set(None)
    expected = [NO_BASELINE if place // 3 in (1, 4) else "" for place in range(18)]
    assert [t.dropped for t in collected.trajectories] == expected
    assert None not in [t.outcome.score for t in collected.trajectories]
    assert (collected.failures.failed, collected.failures.played) == (2, 18 + 6)
    assert collected.metrics["failed/groups"] == 2.0


def test_a_group_with_fewer_than_two_valid_siblings_is_dropped_and_keeps_its_scores(tmp_path: Path) -> None:
    config, parts = prepared(tmp_path, rollout=MANY, env=FRAGILE)
    collected = collect(config, parts, 0)
    assert len(collected.trajectories) == 18
    found = set()
    for place in range(0, 18, 3):
        group = collected.trajectories[place : place + 3]
        left = [t for t in group if t.outcome.end != "failed"]
        found.add(len(left))
        assert all(t.outcome.score is not None for t in left)
        assert [t.dropped for t in left] == ["" if len(left) > 1 else LONELY] * len(left)
        assert [t.valid for t in left] == [len(left) > 1] * len(left)
    assert {1, 2} <= found
    lost = [not any(t.valid for t in collected.trajectories[place : place + 3]) for place in range(0, 18, 3)]
    assert collected.metrics["failed/groups"] == sum(lost)


def test_a_group_of_one_has_no_sibling_to_lose(tmp_path: Path) -> None:
    config, parts = prepared(
        tmp_path, rollout={"prompts_per_step": 12, "group_size": 1}, env=FRAGILE, algorithm={"family": "reinforce_pp"}
    )
    collected = collect(config, parts, 0)
    valid = [t.valid for t in collected.trajectories]
    assert any(valid) and not all(valid)
    assert not any(t.dropped for t in collected.trajectories)
    assert collected.metrics["failed/groups"] == len(valid) - sum(valid)


def test_failures_of_replaced_groups_are_counted_too(tmp_path: Path) -> None:
    config, parts = prepared(
        tmp_path,
        rollout=MANY,
        env={"kwargs": {"fault": "always sandbox"}},
        algorithm={"selection": SelectionConfig(resample_rounds=2)},
    )
    collected = collect(config, parts, 0)
    assert collected.failures.played == collected.failures.failed == 3 * 18
    assert (collected.metrics["failed"], collected.metrics["failed/groups"]) == (1.0, 6.0)
    assert collected.metrics["failed/cause/BrokenSandboxError"] == 54.0


def test_a_greedy_baseline_has_the_terms_of_the_reward_too(tmp_path: Path) -> None:
    found = []
    for name, terms in (("plain", {}), ("short", {"short": {"kind": "length", "weight": -1.0}})):
        config, parts = prepared(tmp_path / name, rollout=MANY, algorithm={"family": "remax"}, reward={"terms": terms})
        found.append(collect(config, parts, 0).greedy_scores)
    assert found[0] is not None and found[1] is not None
    assert bool((found[1] < found[0] - 1.5).all())
