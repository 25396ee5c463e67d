"""Means, divisors and intervals."""

import numpy as np
import pytest

from envs.core.errors import DatasetError
from envs.scoring.tally import Part, Scored, bootstrap, faithful, strict
from tests.oracle.bootstrap import percentile_interval

PARTS = (Part("simple", 0, 2), Part("hard", 2, 5))


def item(position: int | None, value: float) -> Scored:
    return Scored(f"row of {position}", position, {"f1": value}, True)


def test_strict_counts_an_item_without_a_row_as_zero_in_its_own_part() -> None:
    groups = strict([item(0, 1.0), item(2, 0.5), item(4, 1.0)], PARTS, 5)
    assert [(g.name, g.n, g.metrics["f1"]) for g in groups] == [
        ("all", 5, pytest.approx(2.5 / 5)),
        ("simple", 2, pytest.approx(1 / 2)),
        ("hard", 3, pytest.approx(1.5 / 3)),
    ]


def test_faithful_cuts_the_list_as_it_is_and_divides_by_fixed_numbers() -> None:
    groups = faithful([item(0, 1.0), item(2, 0.5), item(4, 1.0)], PARTS, 5)
    # The row of item 2 has moved up into the first part.
    assert [g.metrics["f1"] for g in groups] == [
        pytest.approx(2.5 / 5),
        pytest.approx(1.5 / 2),
        pytest.approx(1 / 3),
    ]
    assert faithful([item(0, 1.0), item(1, 0.5)], (), None)[0].metrics["f1"] == pytest.approx(0.75)


def test_parts_are_left_out_where_positions_are_not_known() -> None:
    assert [g.name for g in strict([item(None, 1.0), item(None, 0.0)], PARTS, None)] == ["all"]


def test_two_rows_for_one_item_and_too_many_rows_are_refused() -> None:
    with pytest.raises(DatasetError, match="row of 1: a second row for the item of row of 1"):
        strict([item(1, 1.0), item(1, 1.0)], PARTS, 5)
    with pytest.raises(DatasetError, match="expected at most 1 rows"):
        strict([item(None, 1.0), item(None, 1.0)], (), 1)


def test_the_interval_agrees_with_a_slow_bootstrap() -> None:
    values = [0.0] * 30 + [1.0] * 20 + [0.4] * 10
    slow = percentile_interval(values, 1000, np.random.default_rng(1))
    assert bootstrap(values) == pytest.approx(slow, abs=0.02)
    assert bootstrap([0.3]) == pytest.approx((0.3, 0.3))


def test_the_interval_of_zeros_and_ones_is_that_of_the_binomial() -> None:
    # Mean 0.25 of 400: standard error 0.02165, so 0.2076 to 0.2924 by the normal approximation.
    assert bootstrap([1.0] * 100 + [0.0] * 300) == pytest.approx((0.2076, 0.2924), abs=0.004)
