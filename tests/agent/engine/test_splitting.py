"""Where rows are cut into micro-batches: within the budget, and where a number is asked for, of about equal work."""

from collections.abc import Sequence
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.splitting import Units, balanced, filled


def single(lengths: Sequence[int]) -> Units:
    """Units of one row each, packed, which share nothing."""
    return Units(lengths, range(len(lengths) + 1), [((bytes([row]), ()), 0) for row in range(len(lengths))])


def groups(sizes: Sequence[int], prompt: int, response: int) -> Units:
    """Rows of groups of these sizes, each a shared prompt and a response of so many tokens."""
    prompts = [((bytes([group]), ()), prompt) for group, size in enumerate(sizes) for _ in range(size)]
    return Units([prompt + response] * len(prompts), range(len(prompts) + 1), prompts)


def tokens(units: Units, cuts: Sequence[int]) -> list[int]:
    """Of each micro-batch, counted anew."""
    found = []
    for start, stop in pairwise(cuts):
        if units.prompts is None:
            found.append(max(units.lengths[start:stop]) * (stop - start))
        else:
            distinct = dict(units.prompts[start:stop])
            own = sum(units.lengths[row] - units.prompts[row][1] for row in range(start, stop))
            found.append(own + sum(distinct.values()))
    return found


@given(st.lists(st.integers(1, 30), min_size=1, max_size=14), st.integers(1, 90), st.integers(0, 5))
def test_micro_batches_differ_by_at_most_one_row_and_only_a_row_alone_is_above_the_budget(
    lengths: list[int], most: int, more: int
) -> None:
    units = single(lengths)
    count = len(filled(units, most)) - 1 + more
    cuts = balanced(units, most, count)
    held = tokens(units, cuts)
    assert cuts[0] == 0 and cuts[-1] == len(lengths)
    assert len(held) == min(count, len(lengths))
    assert all(n <= most or stop - start == 1 for n, (start, stop) in zip(held, pairwise(cuts), strict=True))
    if max(lengths) <= most:  # what is longer cannot be cut to be equal
        assert max(held) - min(held) <= max(lengths)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=8), st.data())
def test_padded_micro_batches_are_as_equal_as_any_cut_makes_them(lengths: list[int], data: st.DataObject) -> None:
    units = Units(lengths, range(len(lengths) + 1))
    count = data.draw(st.integers(1, len(lengths)))
    everywhere = (tokens(units, [0, *cut, len(lengths)]) for cut in combinations(range(1, len(lengths)), count - 1))
    squares = [sum(n**2 for n in held) for held in everywhere]
    assert sum(n**2 for n in tokens(units, balanced(units, 10**6, count))) == min(squares)


def test_what_is_filled_leaves_a_rest_and_what_is_balanced_none() -> None:
    units = single([4] * 9)
    assert tokens(units, filled(units, 28)) == [28, 8]
    assert tokens(units, balanced(units, 28, 2)) in ([16, 20], [20, 16])
    assert tokens(units, balanced(units, 28, 3)) == [12, 12, 12]


def test_siblings_stay_together_while_the_budget_and_the_number_allow_it() -> None:
    units = groups([4, 4, 4], prompt=10, response=5)  # 30 tokens a group, 15 a row by itself
    assert filled(units, 75) == [0, 9, 12]  # parts the last group
    assert balanced(units, 75, 2) in ([0, 4, 12], [0, 8, 12])
    assert balanced(units, 75, 3) == [0, 4, 8, 12]
    assert balanced(units, 45, 3) == [0, 4, 8, 12]
    assert balanced(units, 50, 2) == [0, 6, 12]  # two groups hold 60
    assert len(balanced(units, 75, 4)) == 5  # more than there are groups


def test_a_group_above_the_budget_is_parted_and_the_others_are_not() -> None:
    units = groups([2, 9, 2], prompt=10, response=5)  # 20, 55 and 20 tokens
    cuts = balanced(units, 40, 4)
    assert {2, 11} < set(cuts)
    assert max(tokens(units, cuts)) <= 40


def test_rows_of_a_trajectory_stay_together_in_order() -> None:
    """Rows of 4, 2, 5, 3, 2 tokens of the trajectories 0 0 3 3 7."""
    units = Units([4, 2, 5, 3, 2], [0, 2, 4, 5], [((bytes([row]), ()), 1) for row in range(5)])
    assert balanced(units, 8, 3) == [0, 2, 4, 5]
    assert balanced(units, 16, 2) == [0, 2, 5]
    assert balanced(units, 16, 9) == [0, 2, 4, 5]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_of_no_rows_there_is_no_micro_batch(count: int) -> None:
    units = Units([], [0], [])
    assert filled(units, 8) == balanced(units, 8, count) == [0]


def test_many_rows_are_cut_in_a_moment() -> None:
    """A thousand rows in a hundred parts; the sums of so regular a batch are equal."""
    units = groups([8] * 128, prompt=100, response=25)
    assert tokens(units, balanced(units, 1000, 64)) == [600] * 64
