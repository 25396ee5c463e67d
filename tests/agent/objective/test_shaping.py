"""Length penalty, scaling of scores, and groups without variance."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.objective.shaping import EPSILON, SCALINGS, overlong_penalty, scale_scores, zero_variance
from tests.oracle import losses as oracle

INF, NAN = float("inf"), float("nan")


def test_the_penalty_is_that_worked_out_by_hand() -> None:
    """Limit 20, buffer 4: nothing up to 16; at 17 (16 - 17) / 4 = -0.25; at 20 -1; and never more than that."""
    lengths = torch.tensor([0, 15, 16, 17, 18, 20, 21, 400])
    assert overlong_penalty(lengths, 20, 4).tolist() == [0, 0, 0, -0.25, -0.5, -1, -1, -1]


@given(st.integers(0, 60), st.integers(1, 50), st.integers(1, 50))
def test_the_penalty_equals_the_paper_case_by_case(length: int, maximum: int, buffer: int) -> None:
    buffer = min(buffer, maximum)
    ours = overlong_penalty(torch.tensor([length]), maximum, buffer)
    assert float(ours) == pytest.approx(oracle.overlong_penalty(length, maximum, buffer))


@pytest.mark.parametrize("buffer", [0, -1, 21])
def test_a_buffer_that_does_not_fit_is_refused(buffer: int) -> None:
    with pytest.raises(ConfigError) as refused:
        overlong_penalty(torch.tensor([3]), 20, buffer)
    message = f"overlong penalty: expected a buffer of 1 to 20 (the maximum) tokens, got {buffer}."
    assert str(refused.value) == message


@pytest.mark.parametrize("buffer", [1, 20])
def test_the_smallest_and_the_largest_buffer_fit(buffer: int) -> None:
    assert overlong_penalty(torch.tensor([20]), 20, buffer).tolist() == [-1.0]


# Group 0 has 1, 3 and an invalid score: mean 2, deviation sqrt(2). Group 1 has 2, 2: none. Group 2 has 5 alone.
SCORES = torch.tensor([1.0, 3.0, NAN, 2.0, 2.0, 5.0])
GROUPS = torch.tensor([0, 0, 0, 1, 1, 2])
VALID = torch.tensor([True, True, False, True, True, True])


def test_scaling_by_group_divides_by_the_deviation_of_the_valid_siblings() -> None:
    scaled = scale_scores(SCORES, GROUPS, VALID, "group")
    torch.testing.assert_close(scaled, torch.tensor([0.5**0.5, 3 * 0.5**0.5, 0.0, 2.0, 2.0, 5.0]), atol=3e-6, rtol=0)


def test_scaling_by_batch_divides_all_by_one_deviation() -> None:
    """1, 3, 2, 2, 5: mean 2.6, squares 2.56 + 0.16 + 0.36 + 0.36 + 5.76 = 9.2, variance 9.2 / 4, deviation 1.516575."""
    scaled = scale_scores(SCORES, GROUPS, VALID, "batch")
    expected = torch.tensor([1.0, 3.0, 0.0, 2.0, 2.0, 5.0]) / 1.516575
    torch.testing.assert_close(scaled, expected, atol=1e-5, rtol=0)


def test_without_scaling_valid_scores_stay_as_they_are() -> None:
    assert scale_scores(SCORES, GROUPS, VALID).tolist() == [1.0, 3.0, 0.0, 2.0, 2.0, 5.0]
    assert SCALINGS == ("none", "group", "batch")


def test_a_tiny_deviation_is_met_by_the_epsilon() -> None:
    """Deviation of (0, 2e-6) is sqrt(2) 1e-6: 2e-6 / (sqrt(2) 1e-6 + 1e-6) = 0.828427, not sqrt(2)."""
    scaled = scale_scores(torch.tensor([0.0, 2e-6]), torch.tensor([0, 0]), torch.tensor([True, True]), "group")
    assert float(scaled[1]) == pytest.approx(0.828427, abs=1e-4)
    assert EPSILON == 1e-6


@pytest.mark.parametrize("kind", SCALINGS)
@pytest.mark.parametrize("score", [0.1, 1 / 3, -7.0])
def test_equal_scores_are_never_scaled(kind: str, score: float) -> None:
    scores = torch.full((7,), score)
    assert torch.equal(scale_scores(scores, torch.zeros(7).long(), torch.ones(7).bool(), kind), scores)


@pytest.mark.parametrize("kind", SCALINGS)
@pytest.mark.parametrize("rubbish", [NAN, INF, 1e30])
def test_what_stands_at_an_invalid_trajectory_changes_nothing(kind: str, rubbish: float) -> None:
    spoiled = torch.where(VALID, SCORES, rubbish)
    assert torch.equal(scale_scores(spoiled, GROUPS, VALID, kind), scale_scores(SCORES, GROUPS, VALID, kind))


def test_scaling_leaves_what_it_was_given_as_it_was() -> None:
    scores = torch.tensor([1.0, 3.0])
    scale_scores(scores, torch.tensor([0, 0]), torch.tensor([True, True]), "group")
    assert scores.tolist() == [1.0, 3.0]


def test_an_unknown_scaling_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(ConfigError) as refused:
        scale_scores(SCORES, GROUPS, VALID, "std")
    assert str(refused.value) == "reward scaling: expected one of none, group, batch, got 'std'."


def test_a_group_says_nothing_if_its_valid_scores_are_equal_or_fewer_than_two() -> None:
    """0: differs. 1: equal. 2: alone. 3: differs by an invalid one only. 4: none at all. 5: in its last digit."""
    scores = torch.tensor([1.0, 3.0, 2.0, 2.0, 5.0, 4.0, 4.0, 9.0, NAN, 1.0, 1.0 + 2**-23])
    groups = torch.tensor([0, 0, 1, 1, 2, 3, 3, 3, 4, 5, 5])
    valid = torch.tensor([True] * 7 + [False, False, True, True])
    marks = zero_variance(scores, groups, valid)
    assert marks.tolist() == [False, True, True, True, True, False]
    assert marks.dtype == torch.bool


def test_no_trajectory_makes_no_group() -> None:
    nothing = zero_variance(torch.zeros(0), torch.zeros(0).long(), torch.zeros(0).bool())
    assert nothing.shape == (0,)
