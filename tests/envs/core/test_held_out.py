"""Combinations that training never shows."""

import pytest

from envs.core.held_out import COMBINATIONS, allowed, unseen


def test_a_fifth_of_every_row_and_column_is_held_out() -> None:
    for k in range(10):
        assert sum(unseen(k, j) for j in range(10)) == sum(unseen(i, k) for i in range(10)) == 2


@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (4, 3), (2, 3), (8, 3), (10, 7)])
def test_every_value_still_occurs_in_pairs_that_are_shown(rows: int, columns: int) -> None:
    assert all(any(not unseen(i, j) for j in range(columns)) for i in range(rows))
    assert all(any(not unseen(i, j) for i in range(rows)) for j in range(columns))
    assert any(unseen(i, j) for i in range(rows) for j in range(columns))


def test_seen_and_unseen_are_disjoint_and_make_up_all() -> None:
    assert COMBINATIONS == ("all", "seen", "unseen")
    for i in range(10):
        for j in range(10):
            assert allowed("all", i, j)
            assert allowed("seen", i, j) != allowed("unseen", i, j)
            assert allowed("unseen", i, j) == unseen(i, j)
