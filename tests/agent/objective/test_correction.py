"""Importance weights for the mismatch of sampler and trainer."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.objective.correction import KINDS, LEVELS, MAX_LOG_RATIO, importance_weights
from tests.oracle import losses as oracle

# Two rows of trajectory 3 and one of trajectory 1. Ratios by token: (2, 1/4, -), (4, 1/2, 1), (3, -, -).
RATIOS = torch.tensor([[2.0, 0.25, 99.0], [4.0, 0.5, 1.0], [3.0, 99.0, 99.0]])
MASK = torch.tensor([[True, True, False], [True, True, True], [True, False, False]])
TURNS = torch.tensor([[0, 1, -1], [1, 2, 2], [0, 7, 7]])
SEQUENCE = torch.tensor([3, 3, 1])


def weights(level: str, kind: str, **bounds: float) -> tuple[list[list[float]], dict[str, float]]:
    sampler = torch.full_like(RATIOS, -2.0)
    found, told = importance_weights(
        sampler + RATIOS.log(), sampler, MASK, TURNS, SEQUENCE, level=level, kind=kind, **bounds
    )
    return [[round(x, 5) for x in row] for row in found.tolist()], told


def test_truncation_by_token_is_worked_out_by_hand() -> None:
    found, told = weights("token", "truncate", high=2.5)
    assert found == [[2.0, 0.25, 0.0], [2.5, 0.5, 1.0], [2.5, 0.0, 0.0]]
    assert told == pytest.approx({"limited": 2 / 6, "mean": 8.75 / 6, "largest": 4.0}, rel=1e-5)


def test_masking_by_token_is_worked_out_by_hand() -> None:
    found, told = weights("token", "mask", low=0.4, high=3.5)
    assert found == [[2.0, 0.0, 0.0], [0.0, 0.5, 1.0], [3.0, 0.0, 0.0]]
    assert told == pytest.approx({"limited": 2 / 6, "mean": 6.5 / 6, "largest": 4.0}, rel=1e-5)


def test_by_turn_the_ratios_of_a_turn_are_multiplied_across_rows() -> None:
    """Trajectory 3: turn 0 has 2, turn 1 has 1/4 and 4 (in two rows) = 1, turn 2 has 1/2 and 1. Trajectory 1: 3."""
    assert weights("turn", "truncate", high=9.0)[0] == [[2.0, 1.0, 0.0], [1.0, 0.5, 0.5], [3.0, 0.0, 0.0]]


def test_by_sequence_the_ratios_of_a_trajectory_are_multiplied_across_rows() -> None:
    """2 * 1/4 * 4 * 1/2 * 1 = 1, and 3."""
    assert weights("sequence", "truncate", high=9.0)[0] == [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [3.0, 0.0, 0.0]]
    found, told = weights("sequence", "mask", high=2.0)
    assert found == [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    assert told == pytest.approx({"limited": 1 / 6, "mean": 5 / 6, "largest": 3.0}, rel=1e-5)


def test_truncation_has_no_lower_bound() -> None:
    assert weights("token", "truncate", low=0.9, high=9.0)[0][0][1] == 0.25


@pytest.mark.parametrize("level", LEVELS)
@given(st.integers(0, 2**20))
@settings(max_examples=30)
def test_the_products_equal_the_slow_loop(level: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    old, sampler = (-torch.rand(4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = torch.rand(4, 5, generator=generator) < 0.7
    turns = torch.randint(3, (4, 5), generator=generator)
    sequence = torch.randint(2, (4,), generator=generator)
    ours, told = importance_weights(old, sampler, mask, turns, sequence, level=level, high=1e6)
    expected = oracle.importance_weights(
        old.tolist(), sampler.tolist(), mask.tolist(), turns.tolist(), sequence.tolist(), level
    )
    torch.testing.assert_close(ours, torch.tensor(expected, dtype=torch.float64))
    assert told["limited"] == 0.0


def test_where_sampler_and_trainer_agree_every_weight_is_one() -> None:
    same = torch.full((3, 3), -0.7)
    for level in LEVELS:
        for kind in KINDS:
            found, told = importance_weights(same, same, MASK, TURNS, SEQUENCE, level=level, kind=kind)
            assert torch.equal(found, MASK.float())
            assert told == {"limited": 0.0, "mean": 1.0, "largest": 1.0}


def test_a_ratio_at_a_bound_is_kept() -> None:
    zero = torch.zeros(1, 1)
    there = (torch.ones(1, 1).bool(), torch.zeros(1, 1).long(), torch.zeros(1).long())
    for kind in KINDS:
        found, told = importance_weights(zero, zero, *there, kind=kind, low=1.0, high=1.0)
        assert found.tolist() == [[1.0]] and told["limited"] == 0.0


def test_the_weights_are_constants() -> None:
    old = torch.zeros(3, 3, requires_grad=True)
    sampler = torch.full((3, 3), -0.1, requires_grad=True)
    for level in LEVELS:
        assert not importance_weights(old, sampler, MASK, TURNS, SEQUENCE, level=level)[0].requires_grad


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("rubbish", [float("nan"), float("inf"), float("-inf")])
def test_what_stands_outside_the_mask_changes_nothing(level: str, rubbish: float) -> None:
    old, sampler = torch.full((3, 3), -1.0), torch.full((3, 3), -1.2)
    dirty = torch.where(MASK, old, rubbish), torch.where(MASK, sampler, 7.0)
    ours, told = importance_weights(*dirty, MASK, TURNS, SEQUENCE, level=level)
    theirs, also = importance_weights(old, sampler, MASK, TURNS, SEQUENCE, level=level)
    assert torch.equal(ours, theirs) and told == also
    assert not ours[~MASK].any()


def test_a_batch_without_action_tokens_has_no_weight_and_nothing_to_tell() -> None:
    zero = torch.zeros(1, 2)
    found, told = importance_weights(zero, zero, zero.bool(), zero.long(), torch.tensor([0]), level="sequence")
    assert found.tolist() == [[0.0, 0.0]] and told == {"limited": 0.0, "mean": 0.0, "largest": 0.0}


def test_a_ratio_that_overflows_is_told_as_a_finite_number() -> None:
    there = (torch.ones(1, 1).bool(), torch.zeros(1, 1).long(), torch.zeros(1).long())
    far = torch.full((1, 1), 500.0)
    found, told = importance_weights(far, 0 * far, *there)
    assert found.tolist() == [[2.0]]
    assert told == pytest.approx({"limited": 1.0, "mean": 2.0, "largest": math.exp(20.0)})
    assert MAX_LOG_RATIO == 20.0


def test_a_token_that_the_sampler_alone_thought_likely_weighs_nothing() -> None:
    there = (torch.ones(1, 1).bool(), torch.zeros(1, 1).long(), torch.zeros(1).long())
    found, _ = importance_weights(torch.full((1, 1), -500.0), torch.zeros(1, 1), *there)
    assert found.tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "row"}, ", level: expected one of token, turn, sequence, got 'row'."),
        ({"kind": "clip"}, ", kind: expected one of truncate, mask, got 'clip'."),
        ({"low": 3.0, "high": 2.0}, ": expected bounds 0 <= low <= high with high > 0, got 3.0 and 2.0."),
        ({"low": -0.1}, ": expected bounds 0 <= low <= high with high > 0, got -0.1 and 2.0."),
        ({"low": 0.0, "high": 0.0}, ": expected bounds 0 <= low <= high with high > 0, got 0.0 and 0.0."),
    ],
)
def test_options_that_make_no_sense_are_refused_with_what_is_allowed(options: dict, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        importance_weights(RATIOS, RATIOS, MASK, TURNS, SEQUENCE, **options)
    assert str(refused.value) == "importance correction" + message


def test_bounds_of_zero_and_below_one_are_allowed() -> None:
    found, _ = importance_weights(RATIOS, RATIOS, MASK, TURNS, SEQUENCE, low=0.0, high=0.5)
    assert torch.equal(found, 0.5 * MASK.float())


def test_the_defaults_are_those_of_truncation_by_token() -> None:
    parameters = inspect.signature(importance_weights).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert defaults == {"level": "token", "kind": "truncate", "low": 0.5, "high": 2.0}
