"""Emblems: every part shows, and no two charges are the same."""

import numpy as np
import pytest

from envs.render.heraldry import CHARGES, DIVISIONS, FRAMES, TINCTURE, charge_mask, draw_emblem
from envs.render.panel import Panel


def emblem(division: str = "plain", charge: str = "star", count: int = 1, frame: str = "shield") -> np.ndarray:
    panel = Panel(96, 96, (255, 255, 255))
    draw_emblem(panel, frame, 192, 192, 180, division, "yellow", "blue", charge, "red", count)
    return panel.pixels()


def share(pixels: np.ndarray, colour: str) -> float:
    return float((pixels == TINCTURE[colour]).all(axis=2).mean())


def test_charges_differ_from_each_other_by_a_tenth_at_least() -> None:
    masks = {name: charge_mask(name, 60) for name in CHARGES}
    for a, one in masks.items():
        assert 0.08 < one.mean() < 0.8
        for b, other in masks.items():
            assert a == b or (one ^ other).sum() > 0.1 * (one | other).sum(), (a, b)


def test_charges_that_are_mirrored_are_symmetric() -> None:
    for name in ("tower", "tree", "bell", "arrow", "diamond", "heart", "anchor", "star"):
        mask = charge_mask(name, 60)
        assert (mask ^ mask[:, ::-1]).mean() < 0.02, name


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("division", list(DIVISIONS))
def test_a_divided_field_shows_both_colours(division: str, frame: str) -> None:
    pixels = emblem(division, frame=frame)
    assert share(pixels, "yellow") > 0.1 and share(pixels, "red") > 0.03
    assert share(pixels, "blue") > 0.1 if division != "plain" else share(pixels, "blue") == 0.0


def test_as_many_charges_are_drawn_as_asked_for() -> None:
    for count in (1, 2, 3, 4):
        red = (emblem(charge="diamond", count=count) == TINCTURE["red"]).all(axis=2)
        assert _islands(red) == count


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
