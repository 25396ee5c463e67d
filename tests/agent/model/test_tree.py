"""The packed row of a batch: every distinct beginning once, and every token where its row had it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import tree
from agent.model.tree import Piece, grown


def walked(rows: list[list[int]]) -> list[Piece]:
    return grown([np.array(row, dtype=np.int64) for row in rows], range(len(rows)))


def spans(pieces: list[Piece]) -> list[tuple[list[int], int, int]]:
    return [(piece.rows, piece.start, piece.stop) for piece in pieces]


def test_siblings_share_their_prompt_and_go_on_apart() -> None:
    prompt = list(range(40))
    pieces = walked([[*prompt, 100, 101], [*prompt, 200], [7, 8, 9]])
    assert spans(pieces) == [([0, 1], 0, 40), ([0], 40, 42), ([1], 40, 41), ([2], 0, 3)]
    assert [(piece.at, piece.end) for piece in pieces] == [(0, 43), (40, 42), (42, 43), (43, 46)]


def test_a_turn_that_went_the_same_way_is_shared_below_the_prompt() -> None:
    prompt, turn = list(range(40)), list(range(100, 140))
    pieces = walked([[*prompt, *turn, 1], [*prompt, *turn, 2], [*prompt, 5]])
    assert spans(pieces) == [([0, 1, 2], 0, 40), ([0, 1], 40, 80), ([0], 80, 81), ([1], 80, 81), ([2], 40, 41)]
    assert (pieces[1].at, pieces[1].end) == (40, 82)


def test_too_little_in_common_is_no_piece_and_yet_what_is_behind_it_may_be() -> None:
    few, more, other = [1, 2], list(range(10, 50)), list(range(60, 100))
    pieces = walked([[*few, *more, 7], [*few, *more, 8], [*few, *other, 7], [*few, *other, 8]])
    assert [(piece.rows, piece.start) for piece in pieces] == [
        *[([0, 1], 0), ([0], 42), ([1], 42)],
        *[([2, 3], 0), ([2], 42), ([3], 42)],
    ]


def test_equal_rows_are_computed_once_and_a_row_may_end_where_another_goes_on() -> None:
    row = list(range(40))
    assert spans(walked([row, row, [*row, 99]])) == [([0, 1, 2], 0, 40), ([2], 40, 41)]


@pytest.mark.parametrize("least", [1, 3, 32])
@given(rows=st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=12), min_size=1, max_size=7))
def test_a_walk_down_to_a_row_reads_its_tokens(rows: list[list[int]], least: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "LEAST", least)
        pieces = walked(rows)
    assert [piece.at for piece in pieces] == np.cumsum([0, *map(len, pieces)])[:-1].tolist()
    for number, row in enumerate(rows):
        own = [piece for piece in pieces if number in piece.rows]
        assert [token for piece in own for token in rows[piece.rows[0]][piece.start : piece.stop]] == row
        for above, below in pairwise(own):
            assert above.stop == below.start and above.at + len(above) <= below.at < above.end
    for piece in pieces:
        inside = [each for each in pieces if piece.at < each.at < piece.end]
        assert all(set(each.rows) <= set(piece.rows) for each in inside)
        assert piece.end == piece.at + len(piece) + sum(map(len, inside))
