"""Advantages with a critic: by hand, at the ends of lambda, and against a slow sum."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agent.objective.advantages_batch import discounted_sums
from agent.objective.advantages_gae import gae, turn_gae
from tests.agent.objective.advantage_cases import Batch, assert_same, batches, estimates, oracle_estimates

HALVES = {"discount": 0.5, "gae_lambda": 0.5, "whiten": False}
REWARDS, VALUES = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.5, 0.25, 0.75]])
ALL, YES, NO = torch.ones(1, 3).bool(), torch.tensor([True]), torch.tensor([False])
OPTIONS = st.fixed_dictionaries(
    {
        "discount": st.sampled_from([0.0, 0.5, 0.9, 1.0]),
        "gae_lambda": st.sampled_from([0.0, 0.5, 0.95, 1.0]),
        "whiten": st.booleans(),
        "bootstrap_truncated": st.booleans(),
    }
)


def numbers(*rows: list[float]) -> Tensor:
    return torch.tensor(rows)


def test_gae_gives_the_numbers_worked_out_by_hand() -> None:
    """Rewards 0, 0, 1; values 1/2, 1/4, 3/4; gamma = lambda = 1/2. Errors: 1 - 3/4 = 0.25,
    1/2 x 3/4 - 1/4 = 0.125, 1/2 x 1/4 - 1/2 = -0.375. A = 0.25, 0.125 + 1/4 x 0.25 = 0.1875,
    -0.375 + 1/4 x 0.1875 = -0.328125. Returns = A + V."""
    advantages, returns, valued = gae(REWARDS, VALUES, ALL, YES, NO, torch.zeros(1), **HALVES)
    assert advantages.tolist() == [[-0.328125, 0.1875, 0.25]]
    assert returns.tolist() == [[0.171875, 0.4375, 1.0]]
    assert valued.tolist() == [[True, True, True]]


def test_a_truncated_episode_goes_on_with_the_final_value_if_asked() -> None:
    """As above with a final value of 2: errors 1 + 1/2 x 2 - 3/4 = 1.25, 0.125, -0.375. A = 1.25,
    0.125 + 1/4 x 1.25 = 0.4375, -0.375 + 1/4 x 0.4375 = -0.265625."""
    given_ = (REWARDS, VALUES, ALL, YES, YES, torch.tensor([2.0]))
    advantages, returns, _ = gae(*given_, **HALVES, bootstrap_truncated=True)
    assert advantages.tolist() == [[-0.265625, 0.4375, 1.25]]
    assert returns.tolist() == [[0.234375, 0.6875, 2.0]]


@pytest.mark.parametrize("name", ["gae", "turn_gae"])
@settings(max_examples=25)
@given(batch=batches())
def test_truncated_episodes_end_like_others_unless_asked(name: str, batch: Batch) -> None:
    never = dict(batch, truncated=torch.zeros_like(batch["truncated"]))
    assert_same(estimates(name, batch), estimates(name, never), tolerance=0.0)
    assert_same(estimates(name, never, bootstrap_truncated=True), estimates(name, never), tolerance=0.0)


@pytest.mark.parametrize("name", ["gae", "turn_gae"])
def test_without_bootstrapping_no_final_value_is_needed_and_with_it_one_is(name: str) -> None:
    batch = {"rewards": REWARDS, "values": VALUES, "mask": ALL, "valid": YES, "truncated": YES, "final_values": None}
    batch["turns"] = torch.tensor([[0, 0, 1]])
    with_zero = estimates(name, {**batch, "final_values": torch.zeros(1)})
    assert_same(estimates(name, batch), with_zero, tolerance=0.0)
    with pytest.raises(
        ValueError,
        match=r"^bootstrap_truncated needs final_values: the critic's value of the last state of each episode$",
    ):
        estimates(name, batch, bootstrap_truncated=True)


def test_advantages_are_whitened_and_targets_are_not() -> None:
    """Two episodes of one token, rewards 3 and 1, values 0: A = 3 and 1, mean 2, deviation 1.414214."""
    given_ = (numbers([3.0], [1.0]), torch.zeros(2, 1), torch.ones(2, 1).bool(), torch.tensor([True, True]))
    advantages, returns, _ = gae(*given_, torch.tensor([False, False]), None)
    torch.testing.assert_close(advantages, numbers([0.707107], [-0.707107]), atol=2e-6, rtol=0)
    assert returns.tolist() == [[3.0], [1.0]]


def test_whitening_over_tokens_counts_each_action_token_of_a_valid_trajectory() -> None:
    """A = 3 for two tokens and 0 for one: mean 2, variance (1 + 1 + 4) / 2 = 3, deviation 1.732051.
    (1, 1, -2) / 1.732051 = (0.577350, 0.577350, -1.154701)."""
    advantages, _, _ = gae(
        numbers([0.0, 3.0], [0.0, 9.0], [50.0, 50.0]),
        torch.zeros(3, 2),
        torch.tensor([[True, True], [True, False], [True, True]]),
        torch.tensor([True, True, False]),
        torch.zeros(3).bool(),
        None,
    )
    expected = numbers([0.577350, 0.577350], [-1.154701, 0.0], [0.0, 0.0])
    torch.testing.assert_close(advantages, expected, atol=2e-6, rtol=0)


def test_turn_gae_gives_the_numbers_worked_out_by_hand() -> None:
    """Turns of 2 and 1 tokens with rewards 1/4 + 1/4 and 1, values 1/2 and 3/4 at their first tokens (9 between is not
    read), gamma = lambda = 1/2. Errors: 1 - 3/4 = 0.25 and 0.5 + 1/2 x 3/4 - 1/2 = 0.375.
    A = 0.25 and 0.375 + 1/4 x 0.25 = 0.4375. Returns = A + V, at the first tokens."""
    advantages, returns, valued = turn_gae(
        numbers([0.25, 0.25, 1.0]), numbers([0.5, 9.0, 0.75]), ALL, torch.tensor([[0, 0, 1]]), YES, NO, None, **HALVES
    )
    assert advantages.tolist() == [[0.4375, 0.4375, 0.25]]
    assert returns.tolist() == [[0.9375, 0.0, 1.0]]
    assert valued.tolist() == [[True, False, True]]


def test_turn_gae_goes_on_with_the_final_value_of_a_truncated_episode_if_asked() -> None:
    """As above with a final value of 2: errors 1 + 1/2 x 2 - 3/4 = 1.25 and 0.375; A = 1.25, 0.375 + 1/4 x 1.25."""
    advantages, _, _ = turn_gae(
        numbers([0.25, 0.25, 1.0]),
        numbers([0.5, 9.0, 0.75]),
        ALL,
        torch.tensor([[0, 0, 1]]),
        YES,
        YES,
        torch.tensor([2.0]),
        **HALVES,
        bootstrap_truncated=True,
    )
    assert advantages.tolist() == [[0.6875, 0.6875, 1.25]]


def test_whitening_over_turns_counts_a_long_turn_once() -> None:
    """A turn of three tokens with A = 3, and one of one token with A = 1: mean 2, deviation 1.414214."""
    advantages, _, _ = turn_gae(
        numbers([0.0, 0.0, 3.0], [1.0, 0.0, 0.0]),
        torch.zeros(2, 3),
        torch.tensor([[True, True, True], [True, False, False]]),
        torch.zeros(2, 3).long(),
        torch.tensor([True, True]),
        torch.tensor([False, False]),
        None,
    )
    expected = numbers([0.707107, 0.707107, 0.707107], [-0.707107, 0.0, 0.0])
    torch.testing.assert_close(advantages, expected, atol=2e-6, rtol=0)


def test_a_turn_without_tokens_is_no_step() -> None:
    given_ = (numbers([0.25, 0.25, 1.0]), VALUES, ALL)
    gap = turn_gae(*given_, torch.tensor([[2, 2, 5]]), YES, NO, None, **HALVES)
    none = turn_gae(*given_, torch.tensor([[0, 0, 1]]), YES, NO, None, **HALVES)
    assert_same(list(gap), list(none), tolerance=0.0)


@pytest.mark.parametrize("name", ["gae", "turn_gae"])
@settings(max_examples=100)
@given(batch=batches(), options=OPTIONS)
def test_every_one_equals_the_slow_sum(name: str, batch: Batch, options: dict[str, object]) -> None:
    assert_same(estimates(name, batch, **options), oracle_estimates(name, batch, **options))


@settings(max_examples=25)
@given(batch=batches(), discount=st.sampled_from([0.5, 0.9, 1.0]))
def test_lambda_1_gives_the_discounted_return_minus_the_value(batch: Batch, discount: float) -> None:
    counts = batch["mask"] & batch["valid"][:, None]
    advantages, returns, _ = estimates("gae", batch, discount=discount, gae_lambda=1.0, whiten=False)
    expected = discounted_sums(batch["rewards"], counts, discount)
    torch.testing.assert_close(returns, expected)
    torch.testing.assert_close(advantages, torch.where(counts, expected - batch["values"], 0.0))


@settings(max_examples=25)
@given(batch=batches(), discount=st.sampled_from([0.5, 0.9, 1.0]))
def test_lambda_0_gives_the_error_of_one_step(batch: Batch, discount: float) -> None:
    """On batches whose tokens stand without gaps, so that the next state is in the next column."""
    mask = torch.arange(batch["mask"].shape[1]) < batch["lengths"][:, None]
    counts = mask & batch["valid"][:, None]
    following = torch.nn.functional.pad(torch.where(counts, batch["values"], 0.0)[:, 1:], (0, 1))
    errors = torch.where(counts, batch["rewards"] + discount * following - batch["values"], 0.0)
    advantages, _, _ = estimates("gae", dict(batch, mask=mask), discount=discount, gae_lambda=0.0, whiten=False)
    torch.testing.assert_close(advantages, errors)


@settings(max_examples=25)
@given(batch=batches(), options=OPTIONS)
def test_with_one_token_a_turn_both_are_the_same(batch: Batch, options: dict[str, object]) -> None:
    apart = dict(batch, turns=torch.arange(batch["mask"].shape[1]).expand(batch["mask"].shape))
    assert_same(estimates("turn_gae", apart, **options), estimates("gae", batch, **options))


@settings(max_examples=25)
@given(batch=batches(), options=OPTIONS)
def test_with_one_turn_every_token_gets_the_score_minus_the_first_value(
    batch: Batch, options: dict[str, object]
) -> None:
    counts = batch["mask"] & batch["valid"][:, None]
    first = counts & (counts.cumsum(1) == 1)
    value = torch.where(first, batch["values"], 0.0).sum(1)
    advantage = torch.where(counts, batch["rewards"], 0.0).sum(1) - value
    options = dict(options, whiten=False, bootstrap_truncated=False)
    one = dict(batch, turns=torch.zeros_like(batch["turns"]))
    advantages, returns, valued = estimates("turn_gae", one, **options)
    torch.testing.assert_close(advantages, torch.where(counts, advantage[:, None], 0.0))
    torch.testing.assert_close(returns, torch.where(first, (advantage + value)[:, None], 0.0))
    assert torch.equal(valued, first)


@settings(max_examples=25)
@given(batch=batches())
def test_all_tokens_of_a_turn_get_the_same(batch: Batch) -> None:
    advantages, _, _ = estimates("turn_gae", batch, discount=0.9, gae_lambda=0.9)
    counts = batch["mask"] & batch["valid"][:, None]
    for row, turns, here in zip(advantages, batch["turns"], counts, strict=True):
        for turn in turns.unique():
            assert len(row[here & (turns == turn)].unique()) <= 1


def test_a_perfect_critic_leaves_no_advantage() -> None:
    """Values that equal what is still to come, discounted: 1/4, 1/2, 1."""
    advantages, returns, _ = gae(REWARDS, numbers([0.25, 0.5, 1.0]), ALL, YES, NO, None, **HALVES)
    assert advantages.tolist() == [[0.0, 0.0, 0.0]]
    assert returns.tolist() == [[0.25, 0.5, 1.0]]
