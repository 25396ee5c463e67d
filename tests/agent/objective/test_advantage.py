"""Advantage estimators: by hand, against a slow loop and against TRL."""

import random
from typing import get_args, get_type_hints

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trl.trainer.utils import nanstd

from agent.config import AlgorithmConfig
from agent.objective.advantage import ADVANTAGES, EPSILON, group_statistics, grpo
from tests.oracle import objective as oracle

SCORES = st.integers(-16, 16).map(lambda n: n / 8)  # sums and means of these are exact in float32


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[float], list[int], list[bool]]:
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    scores = draw(st.lists(SCORES, min_size=len(groups), max_size=len(groups)))
    valid = draw(st.lists(st.booleans(), min_size=len(groups), max_size=len(groups)))
    return scores, groups, valid


def estimate(scores: list[float], groups: list[int], valid: list[bool] | None = None) -> torch.Tensor:
    return grpo(
        torch.tensor(scores), torch.tensor(groups), torch.tensor([True] * len(scores) if valid is None else valid)
    )


def test_grpo_gives_the_numbers_worked_out_by_hand() -> None:
    """Scores 1, 2, 3, 6: mean 3, squared distances 4 + 1 + 0 + 9 = 14, variance 14 / 3, deviation 2.160247.
    A = (-2, -1, 0, 3) / 2.160247 = (-0.925820, -0.462910, 0, 1.388730)."""
    expected = torch.tensor([-0.925820, -0.462910, 0.0, 1.388730])
    torch.testing.assert_close(estimate([1.0, 2.0, 3.0, 6.0], [0, 0, 0, 0]), expected, atol=2e-6, rtol=0)


def test_grpo_of_one_success_among_four_is_worked_out_by_hand() -> None:
    """Scores 0, 1, 0, 0: mean 1/4, squared distances 3 x 1/16 + 9/16 = 3/4, variance (3/4) / 3 = 1/4, deviation 1/2.
    A = (-1/2, 3/2, -1/2, -1/2). With the population's deviation (divisor n) it would be (-0.577, 1.732, ...)."""
    torch.testing.assert_close(
        estimate([0.0, 1.0, 0.0, 0.0], [0] * 4), torch.tensor([-0.5, 1.5, -0.5, -0.5]), atol=1e-5, rtol=0
    )


def test_each_group_is_compared_with_itself() -> None:
    apart = torch.cat([estimate([1.0, 2.0], [0, 0]), estimate([10.0, 30.0, 50.0], [0, 0, 0])])
    assert torch.equal(estimate([1.0, 2.0, 10.0, 30.0, 50.0], [0, 0, 1, 1, 1]), apart)


@given(batches())
def test_grpo_equals_the_slow_loop(batch: tuple[list[float], list[int], list[bool]]) -> None:
    torch.testing.assert_close(estimate(*batch), torch.tensor(oracle.grpo(*batch)), atol=1e-5, rtol=1e-5)


@given(st.lists(st.lists(SCORES, min_size=4, max_size=4), min_size=1, max_size=5))
def test_grpo_equals_trl_but_for_the_epsilon(groups: list[list[float]]) -> None:
    """TRL divides by std + 1e-4, here it is std + 1e-6: the ratio of the two is known exactly."""
    scores = torch.tensor(groups)
    deviation = nanstd(scores, dim=1)[:, None]
    theirs = (scores - scores.nanmean(1, keepdim=True)) / (deviation + 1e-4)
    ours = estimate(scores.flatten().tolist(), [g for g in range(len(groups)) for _ in range(4)]).view(-1, 4)
    torch.testing.assert_close(ours, theirs * (deviation + 1e-4) / (deviation + EPSILON), atol=1e-5, rtol=1e-5)


def test_a_missing_score_is_treated_as_trl_treats_it() -> None:
    """TRL marks a completion without a score by NaN and leaves it out of mean and deviation, as `valid` does here."""
    scores = torch.tensor([0.0, 1.0, float("nan"), 3.0])
    theirs = (scores - scores.nanmean()) / (nanstd(scores) + EPSILON)
    ours = estimate(scores.tolist(), [0] * 4, [True, True, False, True])
    torch.testing.assert_close(ours, theirs.nan_to_num(0.0), atol=1e-6, rtol=1e-6)


@given(batches(), st.sampled_from([float("nan"), float("inf"), 1e30, -7.0]))
def test_what_stands_at_an_invalid_trajectory_changes_nothing(
    batch: tuple[list[float], list[int], list[bool]], garbage: float
) -> None:
    scores, groups, valid = batch
    spoiled = [s if v else garbage for s, v in zip(scores, valid, strict=True)]
    assert torch.equal(estimate(spoiled, groups, valid), estimate(scores, groups, valid))


def test_an_invalid_trajectory_gets_no_advantage_and_leaves_its_siblings_as_if_it_were_not_there() -> None:
    with_it = estimate([0.0, 1.0, 0.0, 5.0], [0] * 4, [True, True, False, True])
    without = estimate([0.0, 1.0, 5.0], [0] * 3)
    assert torch.equal(with_it[[0, 1, 3]], without)
    assert float(with_it[2]) == 0.0


@pytest.mark.parametrize("score", [0.0, 1.0, 0.1, 1 / 3, -2.7, 1e6])
@pytest.mark.parametrize("size", [2, 3, 7, 8])
def test_a_group_of_equal_scores_gives_exactly_zero(score: float, size: int) -> None:
    assert estimate([score] * size, [0] * size).tolist() == [0.0] * size


def test_a_lone_valid_trajectory_gets_exactly_zero() -> None:
    assert estimate([3.0, 4.0, 5.0], [0, 0, 1], [True, False, True]).tolist() == [0.0, 0.0, 0.0]


@given(batches(), st.randoms(use_true_random=False))
def test_the_order_of_trajectories_does_not_matter(
    batch: tuple[list[float], list[int], list[bool]], dice: random.Random
) -> None:
    scores, groups, valid = batch
    order = list(range(len(scores)))
    dice.shuffle(order)
    moved = estimate([scores[i] for i in order], [groups[i] for i in order], [valid[i] for i in order])
    torch.testing.assert_close(moved, estimate(scores, groups, valid)[order], atol=1e-6, rtol=1e-6)


@given(batches())
@settings(max_examples=50)
def test_advantages_of_a_group_sum_to_zero_and_rise_with_the_score(
    batch: tuple[list[float], list[int], list[bool]],
) -> None:
    scores, groups, valid = batch
    advantages = estimate(scores, groups, valid)
    for group in set(groups):
        members = [i for i, (g, v) in enumerate(zip(groups, valid, strict=True)) if g == group and v]
        assert abs(float(advantages[members].sum())) < 1e-4
        ranked = sorted(members, key=lambda i: scores[i])
        assert advantages[ranked].tolist() == sorted(advantages[members].tolist())


def test_statistics_count_the_valid_siblings() -> None:
    mean, deviation, sizes = group_statistics(
        torch.tensor([1.0, 3.0, 9.0, 4.0]), torch.tensor([0, 0, 0, 1]), torch.tensor([True, True, False, True])
    )
    assert mean.tolist() == [2.0, 2.0, 2.0, 4.0]
    assert sizes.tolist() == [2, 2, 2, 1]
    torch.testing.assert_close(deviation, torch.tensor([2.0**0.5] * 3 + [0.0]))


def test_every_name_a_recipe_may_give_is_registered() -> None:
    assert set(get_args(get_type_hints(AlgorithmConfig)["advantage"])) == set(ADVANTAGES)
