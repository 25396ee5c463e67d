"""Advantages by comparison with the whole batch, or with a greedy episode: by hand and against a slow loop."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.objective.advantages_batch import discounted_sums, reinforce_pp, reinforce_pp_baseline, remax, whitened
from agent.objective.advantages_group import group_statistics
from tests.agent.objective.advantage_cases import Batch, assert_same, batches, estimates, oracle_estimates

MASK = torch.tensor([[True, True], [True, False]])
BOTH = torch.tensor([True, True])


def test_reinforce_pp_gives_the_numbers_worked_out_by_hand() -> None:
    """Rewards 0, 1 of one trajectory and 0 of another: what is still to come is 1, 1 and 0; mean 2/3, squared
    distances 1/9 + 1/9 + 4/9 = 2/3, variance (2/3) / 2 = 1/3, deviation 0.577350.
    A = (1/3, 1/3, -2/3) / 0.577350 = (0.577350, 0.577350, -1.154701)."""
    advantages = reinforce_pp(torch.tensor([[0.0, 1.0], [0.0, 7.0]]), MASK, BOTH)
    torch.testing.assert_close(advantages, torch.tensor([[0.577350, 0.577350], [-1.154701, 0.0]]), atol=3e-6, rtol=0)


def test_reinforce_pp_with_a_discount_is_worked_out_by_hand() -> None:
    """Discount 1/2: what is still to come is 1/2, 1 and 0; mean 1/2, variance (1/4 + 1/4) / 2, deviation 1/2.
    A = (0, 1, -1)."""
    advantages = reinforce_pp(torch.tensor([[0.0, 1.0], [0.0, 7.0]]), MASK, BOTH, discount=0.5)
    torch.testing.assert_close(advantages, torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), atol=3e-6, rtol=0)


def test_a_reward_is_no_merit_of_the_tokens_after_it() -> None:
    """Rewards 1 and 0 in turn: what is still to come is 1 and 0, mean 1/2, deviation 0.707107."""
    advantages = reinforce_pp(torch.tensor([[1.0, 0.0]]), torch.tensor([[True, True]]), torch.tensor([True]))
    torch.testing.assert_close(advantages, torch.tensor([[0.707107, -0.707107]]), atol=3e-6, rtol=0)


def test_reinforce_pp_baseline_gives_the_numbers_worked_out_by_hand() -> None:
    """Scores 0 and 1 of 1 and 3 tokens: A' = -1/2 once and 1/2 three times; mean 1/4, squared distances
    9/16 + 3 x 1/16 = 3/4, variance (3/4) / 3, deviation 1/2. A = (-3/4, 1/4) / (1/2) = (-3/2, 1/2)."""
    advantages = reinforce_pp_baseline(torch.tensor([0.0, 1.0]), torch.tensor([0, 0]), BOTH, torch.tensor([1, 3]))
    torch.testing.assert_close(advantages, torch.tensor([-1.5, 0.5]), atol=5e-6, rtol=0)


def test_reinforce_pp_baseline_normalises_over_the_groups_together() -> None:
    """Scores 0, 2 | 0, 4, all of one token: A' = (-1, 1, -2, 2), mean 0, variance 10 / 3, deviation 1.825742.
    A = (-0.547723, 0.547723, -1.095445, 1.095445)."""
    advantages = reinforce_pp_baseline(
        torch.tensor([0.0, 2.0, 0.0, 4.0]), torch.tensor([0, 0, 1, 1]), torch.tensor([True] * 4), torch.ones(4).long()
    )
    expected = torch.tensor([-0.547723, 0.547723, -1.095445, 1.095445])
    torch.testing.assert_close(advantages, expected, atol=2e-6, rtol=0)


def test_reinforce_pp_baseline_leaves_lone_trajectories_out_of_mean_and_deviation() -> None:
    scores, groups = torch.tensor([0.0, 2.0, 9.0]), torch.tensor([0, 0, 1])
    lengths = torch.tensor([1, 2, 50])
    together = reinforce_pp_baseline(scores, groups, torch.tensor([True] * 3), lengths)
    alone = reinforce_pp_baseline(scores[:2], groups[:2], BOTH, lengths[:2])
    assert torch.equal(together, torch.cat([alone, torch.zeros(1)]))


def test_reinforce_pp_baseline_of_a_group_of_equal_scores_is_what_the_mean_makes_of_it() -> None:
    """Scores 0, 1 | 5, 5, of 1, 3, 1, 1 tokens: A' = -1/2, 3 times 1/2, twice 0: mean 1/6, squared distances
    4/9 + 3 x 1/9 + 2 x 1/36 = 5/6, variance 1/6, deviation 0.408248. The equal ones get (0 - 1/6) / 0.408248."""
    advantages = reinforce_pp_baseline(
        torch.tensor([0.0, 1.0, 5.0, 5.0]),
        torch.tensor([0, 0, 1, 1]),
        torch.tensor([True] * 4),
        torch.tensor([1, 3, 1, 1]),
    )
    expected = torch.tensor([-1.632993, 0.816497, -0.408248, -0.408248])
    torch.testing.assert_close(advantages, expected, atol=5e-6, rtol=0)


def test_a_group_of_equal_scores_counts_as_exactly_zero_though_its_mean_misses_it() -> None:
    """Scores 0.1 of seven siblings and nothing else that differs: all is zero, and not a rounding made large."""
    for size in range(2, 20):
        advantages = reinforce_pp_baseline(
            torch.full((size,), 0.1), torch.zeros(size).long(), torch.ones(size).bool(), torch.arange(1, size + 1)
        )
        assert not advantages.any()


def test_remax_is_the_score_beyond_the_greedy_one() -> None:
    advantages = remax(torch.tensor([1.0, 0.0, 0.5]), torch.tensor([0.25, 0.25, 2.0]), torch.tensor([True] * 3))
    assert advantages.tolist() == [0.75, -0.25, -1.5]


@pytest.mark.parametrize("name", ["reinforce_pp", "reinforce_pp_baseline", "remax"])
@settings(max_examples=50)
@given(batch=batches())
def test_every_one_equals_the_slow_loop(name: str, batch: Batch) -> None:
    assert_same(estimates(name, batch), oracle_estimates(name, batch))


@settings(max_examples=50)
@given(batch=batches(), discount=st.sampled_from([0.0, 0.5, 0.9, 1.0]))
def test_reinforce_pp_with_a_discount_equals_the_slow_loop(batch: Batch, discount: float) -> None:
    options = {"discount": discount}
    assert_same(estimates("reinforce_pp", batch, **options), oracle_estimates("reinforce_pp", batch, **options))


@settings(max_examples=50)
@given(batch=batches())
def test_one_number_a_trajectory_is_normalised_as_its_tokens_are(batch: Batch) -> None:
    """REINFORCE++ with a baseline equals the plain one on rewards that are A' at the last token, for every token."""
    lengths, mask = batch["lengths"], batch["mask"]
    by_trajectory = estimates("reinforce_pp_baseline", batch)[0]
    centred = estimates("dr_grpo", batch)[0]
    _, _, sizes = group_statistics(batch["scores"], batch["groups"], batch["valid"])
    compared = batch["valid"] & (sizes > 1)
    last = mask & (mask.cumsum(1) == lengths[:, None])
    rewards = torch.where(last, centred[:, None], 0.0)
    by_token = reinforce_pp(rewards, mask, compared)
    torch.testing.assert_close(torch.where(mask, by_trajectory[:, None], 0.0), by_token, atol=1e-8, rtol=1e-8)


def test_sums_are_discounted_from_where_they_stand() -> None:
    """1 + 1/2 x (2 + 1/2 x 4) = 3, 2 + 1/2 x 4 = 4, 4."""
    sums = discounted_sums(torch.tensor([[1.0, 2.0, 4.0]]), torch.ones(1, 3).bool(), 0.5)
    assert sums.tolist() == [[3.0, 4.0, 4.0]]


def test_sums_pass_over_what_does_not_count_without_a_discount_for_it() -> None:
    """1 + 1/2 x 4 = 3: the step between does not exist."""
    sums = discounted_sums(torch.tensor([[1.0, 9.0, 4.0]]), torch.tensor([[True, False, True]]), 0.5)
    assert sums.tolist() == [[3.0, 0.0, 4.0]]


def test_whitened_numbers_have_mean_0_and_sample_deviation_1() -> None:
    numbers = torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 5
    result = whitened(numbers, torch.ones(50).bool())
    torch.testing.assert_close(result, (numbers - numbers.mean()) / numbers.std(), atol=1e-5, rtol=1e-5)


def test_a_millionth_is_added_to_the_deviation() -> None:
    """0 and sqrt(2) x 1e-6: 0.707107e-6 / (1e-6 + 1e-6) = 0.353553."""
    result = whitened(torch.tensor([0.0, 2.0**0.5 * 1e-6], dtype=torch.float64), BOTH)
    torch.testing.assert_close(result, torch.tensor([-0.353553, 0.353553]).double(), atol=1e-6, rtol=0)


def test_a_weight_counts_a_number_as_often() -> None:
    numbers, weights = torch.tensor([1.0, 2.0, 5.0, 9.0]), torch.tensor([1, 3, 0, 2])
    repeated = whitened(numbers.repeat_interleave(weights), torch.ones(6).bool())
    weighted = whitened(numbers, torch.ones(4).bool(), weights)
    torch.testing.assert_close(weighted[[0, 1, 1, 1, 3, 3]], repeated)


def test_numbers_that_differ_only_where_nothing_weighs_are_all_equal() -> None:
    assert not whitened(torch.tensor([1.0, 1.0, 5.0]), torch.ones(3).bool(), torch.tensor([2, 1, 0])).any()
    assert not whitened(torch.tensor([1.0, 5.0]), BOTH, torch.tensor([0, 0])).any()


def test_one_number_alone_is_zero() -> None:
    assert whitened(torch.tensor([4.0, 7.0]), torch.tensor([False, True])).tolist() == [0.0, 0.0]


def test_the_rounding_of_a_mean_is_no_advantage() -> None:
    """In float32 the mean of seven times 0.1 is not 0.1: normalising what is left of it would make it large."""
    scores = torch.tensor([0.1] * 7 + [0.2] * 8)
    groups = torch.tensor([0] * 7 + [1] * 8)
    valid, lengths = torch.ones(15, dtype=torch.bool), torch.full((15,), 3)
    mean, _, _ = group_statistics(scores, groups, valid)
    assert bool((scores != mean).any())
    assert not reinforce_pp_baseline(scores, groups, valid, lengths).any()
