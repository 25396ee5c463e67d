"""Weights of trajectories: by hand, by the definition of each mean, and errors that say what to do."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.objective.aggregation import AGGREGATIONS, trajectory_weights, weighted_sum
from tests.oracle import losses as oracle

LENGTHS, VALID = torch.tensor([2, 4, 10, 0]), torch.tensor([True, True, False, True])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("token_mean", [1 / 6, 1 / 6, 0.0, 0.0]),  # 2 + 4 valid tokens
        ("sequence_mean", [1 / 6, 1 / 12, 0.0, 0.0]),  # three valid trajectories: 1 / (3 * 2), 1 / (3 * 4)
        ("constant", [1 / 24, 1 / 24, 0.0, 0.0]),  # 1 / (3 * 8)
    ],
)
def test_the_weights_are_those_worked_out_by_hand(kind: str, expected: list[float]) -> None:
    weights = trajectory_weights(LENGTHS, VALID, kind, 8)
    torch.testing.assert_close(weights, torch.tensor(expected))
    assert weights.dtype == torch.float32


def test_each_token_counts_alike_if_nothing_is_said() -> None:
    assert torch.equal(trajectory_weights(LENGTHS, VALID), trajectory_weights(LENGTHS, VALID, "token_mean"))


def test_the_three_means_of_one_batch_are_those_worked_out_by_hand() -> None:
    """Two trajectories, losses (4) and (0, 0, 3): over tokens 7 / 4; over trajectories (4 + 1) / 2; over 2 * 5: 0.7."""
    losses = torch.tensor([[4.0, 9.0, 9.0], [0.0, 0.0, 3.0]])
    mask = torch.tensor([[True, False, False], [True, True, True]])
    both = torch.tensor([True, True])
    means = [
        float(weighted_sum(losses, mask, trajectory_weights(mask.sum(1), both, kind, 5.0)))
        for kind in ("token_mean", "sequence_mean", "constant")
    ]
    assert means == pytest.approx([1.75, 2.5, 0.7])


@pytest.mark.parametrize("kind", AGGREGATIONS)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=6), st.floats(0.5, 100))
@settings(max_examples=40)
def test_the_weights_equal_the_slow_loop(kind: str, batch: list[tuple[int, bool]], constant: float) -> None:
    lengths, valid = [length for length, _ in batch], [counted for _, counted in batch]
    ours = trajectory_weights(torch.tensor(lengths), torch.tensor(valid), kind, constant)
    theirs = oracle.trajectory_weights(lengths, valid, kind, constant)
    torch.testing.assert_close(ours, torch.tensor(theirs))


@pytest.mark.parametrize("kind", AGGREGATIONS)
def test_a_batch_without_a_valid_trajectory_has_no_weight(kind: str) -> None:
    weights = trajectory_weights(torch.tensor([3, 4]), torch.tensor([False, False]), kind, 1.0)
    assert weights.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", AGGREGATIONS)
@given(st.integers(0, 2**20), st.lists(st.integers(1, 3), min_size=1, max_size=4))
@settings(max_examples=40)
def test_parts_of_a_batch_add_up_to_the_whole(kind: str, seed: int, sizes: list[int]) -> None:
    """Here in any way at all: losses of tokens that were worked out before."""
    generator = torch.Generator().manual_seed(seed)
    rows = sum(sizes)
    losses = torch.randn(rows, 5, generator=generator, dtype=torch.float64)
    mask = torch.rand(rows, 5, generator=generator) < 0.6
    weights = trajectory_weights(mask.sum(1), torch.ones(rows, dtype=torch.bool), kind, 3.0).double()
    parts = zip(losses.split(sizes), mask.split(sizes), weights.split(sizes), strict=True)
    total = sum((weighted_sum(*part) for part in parts), torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(total, weighted_sum(losses, mask, weights), atol=1e-12, rtol=1e-12)


def test_what_stands_outside_the_mask_does_not_count_even_if_it_is_not_a_number() -> None:
    losses = torch.tensor([[1.0, float("nan"), float("inf")]], requires_grad=True)
    loss = weighted_sum(losses, torch.tensor([[True, False, False]]), torch.tensor([0.5]))
    (gradient,) = torch.autograd.grad(loss, losses)
    assert float(loss.detach()) == 0.5
    assert gradient.tolist() == [[0.5, 0.0, 0.0]]


def test_an_unknown_kind_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(ConfigError) as refused:
        trajectory_weights(LENGTHS, VALID, "mean")
    assert str(refused.value) == "aggregation: expected one of token_mean, sequence_mean, constant, got 'mean'."


@pytest.mark.parametrize("constant", [0, -1.0, math.inf, math.nan])
def test_a_constant_that_cannot_divide_is_refused_where_it_is_used(constant: float) -> None:
    with pytest.raises(ConfigError) as refused:
        trajectory_weights(LENGTHS, VALID, "constant", constant)
    assert str(refused.value) == (
        f"aggregation 'constant': expected a number of tokens above 0 to divide by, got {constant}; "
        "give it the most action tokens that a trajectory may have."
    )
    assert trajectory_weights(LENGTHS, VALID, "token_mean", constant).isfinite().all()


def test_a_constant_below_one_is_a_number_like_any_other() -> None:
    assert trajectory_weights(torch.tensor([3]), torch.tensor([True]), "constant", 0.5).tolist() == [2.0]


def test_the_constant_must_be_given() -> None:
    with pytest.raises(ConfigError, match="got 0;"):
        trajectory_weights(LENGTHS, VALID, "constant")
