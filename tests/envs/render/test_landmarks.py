"""Ships and buildings: every part of a look shows."""

import numpy as np
import pytest

from envs.render.heraldry import TINCTURE
from envs.render.landmarks import draw_building, draw_ship


def share(pixels: np.ndarray, colour: str) -> float:
    return float((pixels == TINCTURE[colour]).all(axis=2).mean())


@pytest.mark.parametrize("funnels", [1, 2, 3, 4])
def test_a_ship_shows_its_colours_and_its_funnels(funnels: int) -> None:
    pixels = draw_ship(200, 200, "red", funnels, "yellow", "green", "star", 0).pixels()
    assert all(share(pixels, colour) > 0.002 for colour in ("red", "yellow", "green", "white"))
    assert _runs((pixels == TINCTURE["yellow"]).all(axis=2)[85]) == funnels


@pytest.mark.parametrize("columns", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("roof", ["dome", "gable", "spire"])
def test_a_building_shows_its_colours_and_its_columns(columns: int, roof: str) -> None:
    pixels = draw_building(320, 320, "red", columns, roof, "yellow", "green", "ring", 0).pixels()
    assert all(share(pixels, colour) > 0.002 for colour in ("red", "yellow", "green", "white"))
    assert _runs((pixels == (226, 222, 210)).all(axis=2)[200]) == columns


def _runs(row: np.ndarray) -> int:
    """How many separate stretches of a row are true."""
    return int((np.diff(row.astype(int), prepend=0) == 1).sum())
