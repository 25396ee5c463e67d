"""Boards: a name is there, and inside."""

import pytest

from envs.render.signs import BOARDS, draw_board


@pytest.mark.parametrize("board", list(BOARDS))
@pytest.mark.parametrize("size", [(160, 160), (224, 224), (320, 160), (160, 320)])
def test_a_long_name_is_there_and_inside(board: str, size: tuple[int, int]) -> None:
    behind, _, letters = BOARDS[board]
    bare = draw_board(*size, board, "Visitors please report", "I").pixels()
    pixels = draw_board(*size, board, "Visitors please report", "Brauskraulm Museum of Minerals").pixels()
    assert (pixels[:, :2] == behind).all() and (pixels[:, -2:] == behind).all()
    inked = ((pixels == letters).all(axis=2) & ~(bare == letters).all(axis=2)).nonzero()
    height, width = pixels.shape[:2]
    assert inked[0].size > 60
    assert height // 5 < inked[0].min() and inked[0].max() < height * 4 // 5
    assert width // 14 < inked[1].min() and inked[1].max() < width * 13 // 14
