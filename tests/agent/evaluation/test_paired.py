"""The p-value of a paired difference, against numbers worked out by hand."""

from math import comb, isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.evaluation.paired import DRAWS, EXACT, paired_p_value

SCORES = st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=8)


def p_of(*differences: float) -> float:
    return paired_p_value([0.0] * len(differences), differences)


def slow(differences: list[float]) -> float:
    """Every choice of signs, one by one."""
    count = len(differences)
    found = abs(sum(differences))
    sums = [sum(d if choice >> i & 1 else -d for i, d in enumerate(differences)) for choice in range(2**count)]
    return sum(abs(s) >= found - 1e-9 for s in sums) / 2**count


def binomial(better: int, worse: int) -> float:
    """With differences of one size it is the sign test: the two tails of a fair coin."""
    tosses, most = better + worse, max(better, worse)
    return min(1.0, 2 * sum(comb(tosses, k) for k in range(most, tosses + 1)) / 2**tosses)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ((1.0,), 1.0),  # both signs are as far
        ((1.0, 1.0, 1.0), 2 / 8),  # all plus and all minus
        ((1.0, 2.0, 3.0, 4.0), 2 / 16),
        ((-1.0, 2.0, 3.0, 4.0), 4 / 16),  # |sum| 8 or 10: without the 1 or with it, plus or minus
        ((1.0, 1.0, 1.0, -1.0), 10 / 16),  # |sum| 2 or 4: 8 + 2 of 16
        ((1.0, -1.0), 1.0),
        ((0.5, 2.0, -0.5, -2.0), 1.0),
        ((1.0, 1.0, 1.0, 0.0, 0.0), 2 / 8),  # a task without a difference changes nothing
    ],
)
def test_it_is_the_one_worked_out_by_hand(differences: tuple[float, ...], expected: float) -> None:
    assert p_of(*differences) == expected


def test_identical_scores_give_one() -> None:
    assert paired_p_value([0.3, 1.0, 0.0], [0.3, 1.0, 0.0]) == 1.0


def test_no_scores_give_one() -> None:
    assert paired_p_value([], []) == paired_p_value([None], [1.0]) == 1.0


def test_a_task_without_a_score_on_either_side_is_left_out() -> None:
    assert paired_p_value([0.0, None, 0.0, 5.0, 0.0], [1.0, 9.0, 1.0, None, 1.0]) == 2 / 8


def test_other_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="same tasks, got 1 and 2"):
        paired_p_value([0.0], [0.0, 1.0])


def test_what_is_not_a_number_gives_none() -> None:
    assert isnan(paired_p_value([0.0, 0.0], [float("nan"), 1.0]))


@given(SCORES)
def test_it_is_that_of_a_slow_count(pairs: list[tuple[float, float]]) -> None:
    before, after = zip(*pairs, strict=True)
    # Halves, so that ties are ties.
    before, after = [round(2 * b) / 2 for b in before], [round(2 * a) / 2 for a in after]
    assert paired_p_value(before, after) == slow([a - b for b, a in zip(before, after, strict=True)])


@given(SCORES)
def test_the_two_may_be_exchanged(pairs: list[tuple[float, float]]) -> None:
    before, after = zip(*pairs, strict=True)
    assert paired_p_value(before, after) == paired_p_value(after, before)


def test_ties_of_decimal_fractions_are_ties() -> None:
    # 0.1 + 0.2 is not 0.3 in binary: every sum of this size counts all the same.
    assert p_of(0.1, 0.2, -0.3) == 1.0
    assert p_of(0.3, -0.1, -0.2) == 1.0
    assert p_of(0.1, 0.2, 0.3, -0.3) == slow([1.0, 2.0, 3.0, -3.0])
    assert p_of(*[0.1, 0.2, -0.3] * 10) == 1.0  # and where they are drawn


@pytest.mark.parametrize(("better", "worse"), [(11, 5), (12, 5), (30, 15), (60, 30), (150, 130)])
def test_with_differences_of_one_size_it_is_the_sign_test(better: int, worse: int) -> None:
    exact = binomial(better, worse)
    # Beyond what is enumerated it is an estimate: within five of its own standard errors.
    allowed = 0.0 if better + worse <= EXACT else 5 * (exact * (1 - exact) / DRAWS) ** 0.5 + 1 / DRAWS
    assert abs(p_of(*[1.0] * better, *[-1.0] * worse) - exact) <= allowed + 1e-12


def test_many_tasks_give_the_same_value_every_time_and_never_zero() -> None:
    rng = np.random.default_rng(0)
    after = list(rng.normal(0.2, 1.0, 100))
    assert p_of(*after) == p_of(*after)
    assert p_of(*[1.0] * 200) == 1 / (1 + DRAWS)


def test_it_is_evenly_spread_where_nothing_differs_but_by_chance() -> None:
    rng = np.random.default_rng(1)
    values = [p_of(*rng.normal(0.0, 1.0, 10)) for _ in range(400)]
    for level in (0.05, 0.2, 0.5):
        assert abs(np.mean(np.array(values) <= level) - level) < 4 * (level * (1 - level) / 400) ** 0.5
