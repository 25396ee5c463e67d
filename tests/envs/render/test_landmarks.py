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
    assert all(share(pixels, colour) > 0.005 for colour in ("red", "yellow", "green", "white"))
    assert _islands((pixels == TINCTURE["yellow"]).all(axis=2)) == funnels


@pytest.mark.parametrize("columns", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("roof", ["dome", "gable", "spire"])
def test_a_building_shows_its_colours_and_its_columns(columns: int, roof: str) -> None:
    pixels = draw_building(320, 320, "red", columns, roof, "yellow", "green", "ring", 0).pixels()
    assert all(share(pixels, colour) > 0.005 for colour in ("red", "yellow", "green", "white"))
    stone = (pixels == (226, 222, 210)).all(axis=2)
    stone[int(320 * 0.83) :] = False  # the step before the door
    assert _islands(stone) == columns


def _islands(mask: np.ndarray) -> int:
    seen, count = np.zeros_like(mask), 0
    for start in map(tuple, np.argwhere(mask)):
        if seen[start]:
            continue
        count, todo = count + 1, [start]
        while todo:
            y, x = todo.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and not seen[y, x]:
                seen[y, x] = True
                todo += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return count
