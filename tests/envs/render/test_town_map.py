"""Maps: the mark is where it should be."""

import numpy as np

from envs.render.town_map import MARK, draw_map


def test_the_mark_is_at_the_marked_town() -> None:
    places = [(50, 60), (150, 70), (60, 150)]
    pixels = draw_map(200, 200, ["Ab", "Cd", "Ef"], places, 1, [(0, 180), (190, 190)], 10).pixels()
    rows, columns = np.nonzero((pixels == MARK).all(axis=2))
    assert abs(columns.mean() - 150) < 2 and 40 < rows.mean() < 72
