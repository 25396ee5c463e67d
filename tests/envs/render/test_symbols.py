"""Rasters of symbols."""

import numpy as np

from envs.render.shapes import COLOURS
from envs.render.symbols import draw_symbols


def test_symbols_stand_in_their_cells() -> None:
    pixels = draw_symbols(3, 14, {0: ("red", "circle"), 5: ("blue", "star")})
    assert pixels.shape == (42, 42, 3)
    for name, (row, column) in (("red", (0, 0)), ("blue", (1, 2))):
        rows, columns = np.nonzero((pixels == COLOURS[name]).all(axis=2))
        assert rows.size > 10 and set(rows // 14) == {row} and set(columns // 14) == {column}
