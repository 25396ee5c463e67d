"""Advantages by comparison with siblings: by hand, against a slow loop and against TRL."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from trl.trainer.utils import nanstd

from agent.objective.advantages_group import EPSILON, dr_grpo, gpg, group_statistics, grpo, opo, rloo
from tests.agent.objective.advantage_cases import Batch, assert_same, batches, estimates, oracle_estimates
from tests.oracle import advantages as oracle

SCORES = st.integers(-16, 16).map(lambda n: n / 8)  # sums and means of these are exact in float32
SQUARES = st.lists(st.lists(SCORES, min_size=4, max_size=4), min_size=1, max_size=5)
NAMES = ["grpo", "dr_grpo", "rloo", "opo", "gpg"]


def given_to(scores: list[float], groups: list[int], valid: list[bool] | None = None) -> tuple[Tensor, Tensor, Tensor]:
    return torch.tensor(scores), torch.tensor(groups), torch.tensor(valid or [True] * len(scores))


def assert_near(advantages: Tensor, expected: list[float], tolerance: float = 2e-6) -> None:
    torch.testing.assert_close(advantages, torch.tensor(expected, dtype=advantages.dtype), atol=tolerance, rtol=0)


def test_grpo_gives_the_numbers_worked_out_by_hand() -> None:
    """Scores 1, 2, 3, 6: mean 3, squared distances 4 + 1 + 0 + 9 = 14, variance 14 / 3, deviation 2.160247.
    A = (-2, -1, 0, 3) / 2.160247 = (-0.925820, -0.462910, 0, 1.388730)."""
    assert_near(grpo(*given_to([1.0, 2.0, 3.0, 6.0], [0, 0, 0, 0])), [-0.925820, -0.462910, 0.0, 1.388730])


def test_grpo_of_one_success_among_four_is_worked_out_by_hand() -> None:
    """Scores 0, 1, 0, 0: mean 1/4, squared distances 3 x 1/16 + 9/16 = 3/4, variance (3/4) / 3 = 1/4, deviation 1/2.
    A = (-1/2, 3/2, -1/2, -1/2). With the population's deviation (divisor n) it would be (-0.577, 1.732, ...)."""
    assert_near(grpo(*given_to([0.0, 1.0, 0.0, 0.0], [0] * 4)), [-0.5, 1.5, -0.5, -0.5], tolerance=1e-5)


def test_grpo_scaled_by_the_batch_is_worked_out_by_hand() -> None:
    """Scores 0, 1 | 2, 6: group means 1/2 and 4, distances (-1/2, 1/2, -2, 2). The batch's mean is 9/4, its squared
    distances 5.0625 + 1.5625 + 0.0625 + 14.0625 = 20.75, variance 20.75 / 3, deviation 2.629956.
    A = (-0.190117, 0.190117, -0.760469, 0.760469)."""
    advantages = grpo(*given_to([0.0, 1.0, 2.0, 6.0], [0, 0, 1, 1]), scale="batch")
    assert_near(advantages, [-0.190117, 0.190117, -0.760469, 0.760469])


def test_grpo_without_a_scale_is_dr_grpo() -> None:
    batch = given_to([0.0, 1.0, 2.0, 6.0], [0, 0, 1, 1])
    assert grpo(*batch, scale="none").tolist() == dr_grpo(*batch).tolist() == [-0.5, 0.5, -2.0, 2.0]


def test_grpo_is_scaled_by_the_group_if_nothing_is_said() -> None:
    batch = given_to([0.0, 1.0, 2.0, 6.0], [0, 0, 1, 1])
    assert torch.equal(grpo(*batch), grpo(*batch, scale="group"))


@pytest.mark.parametrize("scale", ["group", "batch"])
def test_a_millionth_is_added_to_the_deviation(scale: str) -> None:
    """Scores 0 and sqrt(2) x 1e-6: distances 0.707107e-6 from the mean, deviation 1e-6.
    A = 0.707107e-6 / (1e-6 + 1e-6) = 0.353553."""
    scores = torch.tensor([0.0, 2.0**0.5 * 1e-6], dtype=torch.float64)
    advantages = grpo(scores, torch.tensor([0, 0]), torch.tensor([True, True]), scale=scale)
    assert_near(advantages, [-0.353553, 0.353553], tolerance=1e-6)
    assert EPSILON == 1e-6


def test_dr_grpo_gives_the_numbers_worked_out_by_hand() -> None:
    """Scores 1, 2, 3, 6: mean 3, A = (-2, -1, 0, 3)."""
    assert dr_grpo(*given_to([1.0, 2.0, 3.0, 6.0], [0] * 4)).tolist() == [-2.0, -1.0, 0.0, 3.0]


def test_rloo_gives_the_numbers_worked_out_by_hand() -> None:
    """Scores 1, 2, 3, 6: 1 - (2 + 3 + 6) / 3 = -8/3, 2 - 10/3 = -4/3, 3 - 9/3 = 0, 6 - 6/3 = 4."""
    assert_near(rloo(*given_to([1.0, 2.0, 3.0, 6.0], [0] * 4)), [-8 / 3, -4 / 3, 0.0, 4.0])


def test_rloo_leaves_an_invalid_sibling_out_of_the_baseline() -> None:
    """Scores 1, 2, 6 and one that does not count: 1 - 8/2 = -3, 2 - 7/2 = -3/2, 6 - 3/2 = 9/2."""
    advantages = rloo(*given_to([1.0, 2.0, 3.0, 6.0], [0] * 4, [True, True, False, True]))
    assert_near(advantages, [-3.0, -1.5, 0.0, 4.5])


@given(SQUARES)
def test_rloo_is_dr_grpo_times_n_over_n_minus_one(groups: list[list[float]]) -> None:
    batch = given_to([s for group in groups for s in group], [g for g in range(len(groups)) for _ in range(4)])
    torch.testing.assert_close(rloo(*batch), dr_grpo(*batch) * 4 / 3)


def test_opo_gives_the_numbers_worked_out_by_hand() -> None:
    """Scores 1, 0, 0 of 1, 2 and 5 tokens: baseline (1 x 1 + 2 x 0 + 5 x 0) / 8 = 1/8, where the mean is 1/3."""
    advantages = opo(*given_to([1.0, 0.0, 0.0], [0] * 3), torch.tensor([1, 2, 5]))
    assert advantages.tolist() == [0.875, -0.125, -0.125]


def test_opo_of_trajectories_without_tokens_is_zero() -> None:
    assert opo(*given_to([1.0, 0.0], [0, 0]), torch.tensor([0, 0])).tolist() == [0.0, 0.0]


def test_opo_of_one_token_counts_it_once() -> None:
    """Scores 1 and 0 of 0 and 1 tokens: baseline 0 / 1. Of 1 and 0 tokens: baseline 1 / 1."""
    assert opo(*given_to([1.0, 0.0], [0, 0]), torch.tensor([0, 1])).tolist() == [1.0, 0.0]
    assert opo(*given_to([1.0, 0.0], [0, 0]), torch.tensor([1, 0])).tolist() == [0.0, -1.0]


def test_opo_of_equal_lengths_is_dr_grpo() -> None:
    batch = given_to([1.0, 2.0, 3.0, 6.0], [0] * 4)
    assert torch.equal(opo(*batch, torch.full((4,), 8)), dr_grpo(*batch))


def test_gpg_gives_the_numbers_worked_out_by_hand() -> None:
    """Scores 0, 1 | 1, 1: two of four have no gradient, so the others count 4 / 2 times. A = 2 x (-1/2, 1/2)."""
    assert gpg(*given_to([0.0, 1.0, 1.0, 1.0], [0, 0, 1, 1])).tolist() == [-1.0, 1.0, 0.0, 0.0]


def test_gpg_counts_valid_trajectories_only() -> None:
    """Scores 0, 1 and a broken one | 1, 1 | 3: of five valid ones three have no gradient. A = 5/2 x (-1/2, 1/2)."""
    batch = given_to([0.0, 1.0, 9.0, 1.0, 1.0, 3.0], [0, 0, 0, 1, 1, 2], [True, True, False, True, True, True])
    assert gpg(*batch).tolist() == [-1.25, 1.25, 0.0, 0.0, 0.0, 0.0]


def test_gpg_is_dr_grpo_if_every_group_has_a_gradient() -> None:
    batch = given_to([0.0, 1.0, 2.0, 6.0], [0, 0, 1, 1])
    assert torch.equal(gpg(*batch), dr_grpo(*batch))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=50)
@given(batch=batches())
def test_every_one_equals_the_slow_loop(name: str, batch: Batch) -> None:
    assert_same(estimates(name, batch), oracle_estimates(name, batch), tolerance=1e-9)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@settings(max_examples=50)
@given(batch=batches())
def test_grpo_of_every_scale_equals_the_slow_loop(scale: str, batch: Batch) -> None:
    assert_same(estimates("grpo", batch, scale=scale), oracle_estimates("grpo", batch, scale=scale), tolerance=1e-9)


@pytest.mark.parametrize("scale", ["group", "batch"])
@given(groups=SQUARES)
def test_grpo_equals_trl_but_for_the_epsilon(scale: str, groups: list[list[float]]) -> None:
    """TRL divides by std + 1e-4, here it is std + 1e-6: the ratio of the two is known exactly."""
    scores = torch.tensor(groups)
    deviation = nanstd(scores, dim=1)[:, None] if scale == "group" else nanstd(scores)
    theirs = (scores - scores.nanmean(1, keepdim=True)) / (deviation + 1e-4)
    batch = given_to(scores.flatten().tolist(), [g for g in range(len(groups)) for _ in range(4)])
    ours = grpo(*batch, scale=scale).view(-1, 4)
    torch.testing.assert_close(ours, theirs * (deviation + 1e-4) / (deviation + EPSILON), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", ["group", "batch"])
def test_a_missing_score_is_treated_as_trl_treats_it(scale: str) -> None:
    """TRL marks a completion without a score by NaN and leaves it out of mean and deviation, as `valid` does here."""
    scores = torch.tensor([0.0, 1.0, float("nan"), 3.0])
    theirs = (scores - scores.nanmean()) / (nanstd(scores) + EPSILON)
    ours = grpo(*given_to(scores.tolist(), [0] * 4, [True, True, False, True]), scale=scale)
    torch.testing.assert_close(ours, theirs.nan_to_num(0.0), atol=1e-6, rtol=1e-6)


def test_rloo_treats_a_missing_score_as_trl_treats_it() -> None:
    """The lines of TRL's RLOOTrainer: the sum of the scores there are, less one's own, over their number less 1."""
    scores = torch.tensor([[0.0, 1.0, float("nan"), 3.0], [2.0, float("nan"), 5.0, 4.0]])
    counts = (~scores.isnan()).sum(1, keepdim=True)
    theirs = (scores - (scores.nansum(1, keepdim=True) - scores) / (counts - 1)).nan_to_num(0.0)
    ours = rloo(
        *given_to(scores.flatten().tolist(), [0] * 4 + [1] * 4, scores.isnan().logical_not().flatten().tolist())
    )
    torch.testing.assert_close(ours.view(2, 4), theirs)


@settings(max_examples=50)
@given(batch=batches())
def test_advantages_of_a_group_sum_to_zero_and_rise_with_the_score(batch: Batch) -> None:
    advantages = grpo(batch["scores"], batch["groups"], batch["valid"])
    for group in range(int(batch["groups"].max()) + 1):
        members = ((batch["groups"] == group) & batch["valid"]).nonzero()[:, 0]
        assert abs(float(advantages[members].sum())) < 1e-8
        ranked = members[batch["scores"][members].argsort()]
        assert bool((advantages[ranked].diff() >= 0).all())


def test_each_group_is_compared_with_itself() -> None:
    apart = torch.cat([grpo(*given_to([1.0, 2.0], [0, 0])), grpo(*given_to([10.0, 30.0, 50.0], [0, 0, 0]))])
    assert torch.equal(grpo(*given_to([1.0, 2.0, 10.0, 30.0, 50.0], [0, 0, 1, 1, 1])), apart)


@pytest.mark.parametrize("name", NAMES)
def test_a_group_without_any_trajectory_disturbs_nothing(name: str) -> None:
    batch = {"scores": torch.tensor([1.0, 2.0, 5.0, 3.0]), "valid": torch.tensor([True] * 4)}
    batch["lengths"] = torch.tensor([1, 2, 3, 4])
    gap, none = torch.tensor([0, 0, 7, 7]), torch.tensor([0, 0, 1, 1])
    assert_same(estimates(name, batch | {"groups": gap}), estimates(name, batch | {"groups": none}), tolerance=0.0)


def test_statistics_count_the_valid_siblings() -> None:
    """Scores 1, 3 and a broken one: mean 2, variance (1 + 1) / 1, deviation 1.414214. Score 4 alone: deviation 0."""
    mean, deviation, sizes = group_statistics(*given_to([1.0, 3.0, 9.0, 4.0], [0, 0, 0, 1], [True, True, False, True]))
    assert mean.tolist() == [2.0, 2.0, 2.0, 4.0]
    assert sizes.tolist() == [2, 2, 2, 1]
    torch.testing.assert_close(deviation, torch.tensor([2.0**0.5] * 3 + [0.0]))


def test_statistics_of_a_group_without_valid_trajectories_are_zero() -> None:
    mean, deviation, sizes = group_statistics(*given_to([1.0, 3.0, 5.0], [0, 0, 1], [False, False, True]))
    assert (mean.tolist(), deviation.tolist(), sizes.tolist()) == ([0.0, 0.0, 5.0], [0.0] * 3, [0, 0, 1])


def test_equal_scores_have_no_deviation_though_their_mean_misses_them_by_one_rounding() -> None:
    """Three times 0.1 and more, in single precision, do not sum to a multiple of it."""
    for size in range(2, 40):
        _, deviation, _ = group_statistics(*given_to([0.1] * size, [0] * size))
        assert deviation.tolist() == [0.0] * size


def test_the_loop_itself_gives_the_numbers_worked_out_by_hand() -> None:
    scores, groups, valid = [1.0, 2.0, 3.0, 6.0], [0] * 4, [True] * 4
    assert oracle.rloo(scores, groups, valid) == pytest.approx([-8 / 3, -4 / 3, 0.0, 4.0])
    assert oracle.grpo(scores, groups, valid) == pytest.approx([-0.925820, -0.462910, 0.0, 1.388730], abs=2e-6)
