"""An environment's own players."""

from typing import Any

import pytest

from agent.errors import EnvironmentFault
from agent.evaluation.baselines import baseline_scores
from tests.agent.guessing import Bare, Guessing, pool


def test_the_expert_scores_the_maximum_and_a_constant_is_right_where_it_is() -> None:
    assert baseline_scores(pool(), "oracle", 5, 0) == [1.0] * 5
    assert baseline_scores(pool(), "constant", 5, 0) == [0.0, 0.0, 0.0, 1.0, 0.0]


def test_without_a_metric_a_baseline_scores_the_sum_of_its_rewards() -> None:
    class Unmeasured(Guessing):
        primary_metric = None  # type: ignore[assignment]

    assert baseline_scores(pool(Unmeasured), "constant", 5, 0) == [-0.5, -0.5, -0.5, 0.5, -0.5]


def test_a_random_baseline_depends_on_seed_and_task_alone() -> None:
    short, long = (baseline_scores(pool(tasks=40), "random", n, 7) or [] for n in (10, 40))
    assert short == long[:10]
    assert baseline_scores(pool(tasks=40), "random", 40, 8) != long


def test_a_baseline_that_is_not_provided_has_no_scores() -> None:
    assert baseline_scores(pool(Bare), "oracle", 3, 0) is None
    assert baseline_scores(pool(Bare), "constant", 3, 0) is None
    assert baseline_scores(pool(), "blind", 3, 0) is None  # others are, this one is not


def test_a_baselines_episode_that_the_infrastructure_breaks_has_no_score() -> None:
    class Breaking(Guessing):
        def step(self, action: str) -> Any:
            if self.number == 1:
                error = RuntimeError("container lost")
                error.infrastructure_failure = True  # type: ignore[attr-defined]
                raise error
            return super().step(action)

    assert baseline_scores(pool(Breaking), "oracle", 3, 0) == [1.0, None, 1.0]


def test_an_authors_fault_under_a_baseline_stops_the_run_and_names_the_place() -> None:
    class Faulty(Guessing):
        def step(self, action: str) -> Any:
            raise KeyError("scene")

    with pytest.raises(
        EnvironmentFault, match=r"Test/Guessing-v0 \(task 0, seed \d+\), played by 'oracle': step\(\) raised KeyError"
    ):
        baseline_scores(pool(Faulty), "oracle", 3, 0)


def test_a_baseline_without_the_measure_scores_0_as_a_policy_would() -> None:
    assert baseline_scores(pool(), "silent", 2, 0) == [0.0, 0.0]


def test_a_baseline_ends_even_where_the_environment_never_does() -> None:
    assert baseline_scores(pool(endless=True), "constant", 1, 0) == [0.0]
    assert baseline_scores(pool(endless=True), "oracle", 1, 0) is not None


def test_a_baseline_gives_its_environment_back() -> None:
    lent = pool()
    baseline_scores(lent, "oracle", 2, 0)
    assert lent.sample.resets  # type: ignore[attr-defined]
