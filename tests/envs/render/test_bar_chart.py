"""Bars with names: lengths, and room for the names."""

import numpy as np
import pytest

from envs.render.bar_chart import PAPER, draw_bars
from envs.render.shapes import COLOURS

LONG = "Brauskraulm Museum of Minerals"


def test_bars_are_as_long_as_their_shares() -> None:
    pixels = draw_bars(240, 200, ["A", "B", LONG], [90, 45, 20], 0).pixels()
    lengths = []
    for name in ("blue", "orange", "green"):
        rows, columns = np.nonzero((pixels == COLOURS[name]).all(axis=2))
        assert rows.size > 100
        lengths.append(int(columns.max() - columns.min() + 1))
    assert lengths == pytest.approx([216 * 0.9, 216 * 0.45, 216 * 0.2], abs=1.5)


@pytest.mark.parametrize("size", [(160, 160), (224, 224), (320, 160), (160, 320)])
def test_long_names_stay_inside(size: tuple[int, int]) -> None:
    chart = draw_bars(*size, [LONG] * 5, [50] * 5, 0).pixels()
    assert (chart[:, -2:] == PAPER).all() and (chart[:, :2] == PAPER).all()
