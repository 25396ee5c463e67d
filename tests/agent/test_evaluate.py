"""Scores, intervals and baselines."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.evaluate import (
    bootstrap_interval,
    evaluate_policy,
    evaluation_tasks,
    paired_difference,
    primary_metric,
    scores_of,
    summarise,
    task_count,
    task_scores,
)
from agent.rollout.engine import Request
from agent.rollout.episode import Budget
from agent.rollout.episodes import EpisodeDriver
from agent.rollout.render import Renderer
from agent.rollout.scripted import ScriptedEngine
from agent.types import Outcome, Trajectory
from tests.agent.guessing import Bare, pool
from tests.oracle.bootstrap import percentile_interval

FAILED = Outcome("failed", None, "lost")
VALUES = st.lists(st.floats(-5, 5), min_size=1, max_size=12)


def ended(score: float, task: int = 0, **told: Any) -> Trajectory:
    return Trajectory("E-v0", task, 0, (), Outcome("terminated", score), **told)


def lost(**told: Any) -> Trajectory:
    return Trajectory("E-v0", 0, 0, (), FAILED, **told)


# Intervals.


@pytest.mark.parametrize("values", [[0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0], [0.1, 0.9, 0.35, 0.6, -1.0], [2.0] * 4])
def test_the_interval_is_that_of_a_slow_bootstrap(values: list[float]) -> None:
    slow = percentile_interval(values, 4000, np.random.default_rng(1))
    # Two bootstraps differ by chance: a percentile of 2,000 means is off by some hundredths of a deviation.
    assert bootstrap_interval(values) == pytest.approx(slow, abs=0.1 * float(np.std(values)) + 1e-9)


def test_the_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        low, high = bootstrap_interval((rng.random(40) < 0.3).astype(float))
        covered += low <= 0.3 <= high
    # 95% of 300 is 285; a percentile bootstrap of 40 values covers a little less.
    assert 270 <= covered <= 297


@settings(max_examples=30)
@given(VALUES)
def test_the_interval_is_within_the_values_and_the_same_every_time(values: list[float]) -> None:
    low, high = bootstrap_interval(values)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    assert (low, high) == bootstrap_interval(values)


def test_no_values_have_no_interval() -> None:
    assert all(math.isnan(bound) for bound in bootstrap_interval([]))


def test_a_paired_difference_is_that_of_each_task() -> None:
    before = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    value, low, high = paired_difference(before, [b + 0.25 for b in before])
    # Every task gained the same, so there is no doubt about the gain, however much tasks differ.
    assert (value, low, high) == pytest.approx((0.25, 0.25, 0.25))
    assert paired_difference([b + 0.25 for b in before], before)[0] == pytest.approx(-0.25)


def test_a_paired_difference_leaves_out_a_task_without_a_score_on_either_side() -> None:
    assert paired_difference([0.0, None, 1.0, 0.0], [1.0, 1.0, None, 0.0])[0] == 0.5


def test_a_paired_difference_of_different_tasks_is_refused() -> None:
    with pytest.raises(ValueError, match="the same tasks, got 2 and 1"):
        paired_difference([0.0, 1.0], [0.0])


def test_a_paired_difference_of_nothing_is_no_number() -> None:
    assert all(math.isnan(value) for value in paired_difference([None], [0.5]))


# Scores.


def test_a_score_is_the_sum_of_rewards_where_there_is_no_metric() -> None:
    assert scores_of([ended(0.5), lost(), ended(-1.0)], None) == [0.5, -1.0]


def test_a_score_is_the_metric_and_0_where_the_episode_ended_without_it() -> None:
    cut = Trajectory("E-v0", 0, 0, (), Outcome("truncated", 0.9, "context"))
    trajectories = [ended(0.1, metrics={"accuracy": 1.0, "f1": 0.5}), cut, lost(metrics={"accuracy": 1.0})]
    assert scores_of(trajectories, "accuracy") == [1.0, 0.0]


def test_scores_of_tasks_keep_their_places() -> None:
    assert task_scores([ended(0.5), lost(), ended(1.0)], None) == [0.5, None, 1.0]


def test_a_summary_leaves_broken_episodes_out_and_does_not_count_them() -> None:
    row = summarise("after", "E-v0", "greedy", None, [0.0, None, 1.0], 3)
    assert (row.value, row.episodes, row.metric, row.seed) == (0.5, 2, "return", 3)
    assert row.low <= 0.5 <= row.high


def test_a_summary_of_nothing_has_no_value() -> None:
    row = summarise("after", "E-v0", "greedy", "accuracy", [], 3)
    assert math.isnan(row.value) and math.isnan(row.low) and row.episodes == 0


# Tasks.


def test_evaluation_plays_the_splits_first_tasks() -> None:
    tasks = evaluation_tasks(pool(split="test"), 3)
    assert [task for task, _ in tasks] == [0, 1, 2]
    assert len({reset for _, reset in tasks}) == 3
    assert tasks == evaluation_tasks(pool(split="test", tasks=9), 3)


def test_the_tasks_counted_are_the_splits_own() -> None:
    assert (task_count(pool(split="test")), task_count(pool(split="train")), task_count(pool())) == (15, 5, 5)


def test_more_episodes_than_tasks_are_refused_with_both_numbers() -> None:
    with pytest.raises(ConfigError, match="6 evaluation episodes were asked for, the split has 5 tasks"):
        evaluation_tasks(pool(), 6)


def test_an_environment_without_numbered_tasks_is_reset_by_seeds_alone() -> None:
    tasks = evaluation_tasks(pool(Bare), 4)
    assert [task for task, _ in tasks] == [None] * 4
    assert len({reset for _, reset in tasks}) == 4
    assert task_count(pool(Bare)) is None and primary_metric(pool(Bare)) is None


def test_a_policys_dice_depend_on_seed_and_task_alone(one_renderer: Renderer) -> None:
    def run(episodes: int, seed: int) -> tuple[list[Trajectory], list[int]]:
        def say(request: Request) -> tuple[list[int], list[float]]:
            number = one_renderer.processor.encode(str(request.sampling.seed % 10))
            return [*number, *request.sampling.stop_ids], [-1.0] * (len(number) + 1)

        engine = ScriptedEngine(say)
        driver = EpisodeDriver(engine, one_renderer, pool(tasks=20))
        trajectories = evaluate_policy(driver, episodes, Budget(1.0, 5, 500, 5), seed)
        return trajectories, sorted(request.sampling.seed for request in engine.requests if request.images == ())

    few, many = run(5, 0)[0], run(20, 0)[0]
    assert few == many[:5]
    assert [t.task for t in many] == list(range(20))
    assert run(20, 1)[1] != run(20, 0)[1]


def test_progress_hears_of_every_episode(one_renderer: Renderer) -> None:
    heard: list[Trajectory] = []
    engine = ScriptedEngine(lambda request: ([*request.sampling.stop_ids], [-1.0]))
    driver = EpisodeDriver(engine, one_renderer, pool())
    assert sorted(t.task or 0 for t in evaluate_policy(driver, 5, Budget(0.0, 5, 500, 5), 0, heard.append)) == [
        t.task for t in sorted(heard, key=lambda t: t.task or 0)
    ]
