"""Painting, against a slow painter that looks at each fine sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core.images import image_hash
from envs.render.scene import Item, paint
from envs.render.shapes import BACKGROUNDS, COLOURS, FINE, SHAPES, fine_mask

items = st.builds(
    Item,
    shape=st.sampled_from(list(SHAPES)),
    colour=st.sampled_from(list(COLOURS)),
    size=st.just("large"),
    x=st.integers(6, 34),
    y=st.integers(6, 24),
    radius=st.integers(3, 6),
)


def paint_slowly(width: int, height: int, background: str, scene: tuple[Item, ...]) -> np.ndarray:
    fine = np.empty((height * FINE, width * FINE, 3), dtype=np.int64)
    fine[:] = BACKGROUNDS[background]
    for item in scene:
        top, left, side = (item.y - item.radius) * FINE, (item.x - item.radius) * FINE, 2 * item.radius * FINE
        fine[top : top + side, left : left + side][fine_mask(item.shape, item.radius)] = COLOURS[item.colour]
    total = fine.reshape(height, FINE, width, FINE, 3).sum(axis=(1, 3))
    return ((total + 8) // 16).astype(np.uint8)


@settings(max_examples=150, deadline=None)
@given(st.lists(items, max_size=6).map(tuple), st.sampled_from(list(BACKGROUNDS)))
def test_the_painting_equals_the_slow_painters(scene: tuple[Item, ...], background: str) -> None:
    assert np.array_equal(paint(40, 30, background, scene).pixels, paint_slowly(40, 30, background, scene))


def test_what_lies_in_front_hides_what_lies_behind() -> None:
    behind = Item("square", "red", "large", 15, 15, 6)
    front = Item("circle", "blue", "large", 15, 15, 12)
    painting = paint(30, 30, "white", (behind, front))
    assert painting.visible == (0.0, 1.0)
    assert painting.pixels[15, 15].tolist() == list(COLOURS["blue"])
    assert paint(30, 30, "white", (front, behind)).pixels[15, 15].tolist() == list(COLOURS["red"])


def test_visibility_is_the_share_of_area_not_hidden() -> None:
    # The right half of a square lies under a larger square whose left edge is its middle.
    behind, front = Item("square", "red", "large", 20, 20, 8), Item("square", "blue", "large", 34, 20, 16)
    assert paint(60, 60, "white", (behind, front)).visible == (0.5, 1.0)


def test_two_paintings_share_no_memory() -> None:
    scene = (Item("circle", "red", "large", 10, 10, 5),)
    first = paint(20, 20, "white", scene).pixels
    expected = first.copy()
    first[:] = 0
    assert np.array_equal(paint(20, 20, "white", scene).pixels, expected)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_pixels_are_those_always_painted(background: str) -> None:
    # Recorded: a change here changes what every trained model has seen.
    scene = tuple(
        Item(shape, colour, "large", 10 + 8 * k, 12, 9)
        for k, (shape, colour) in enumerate(zip(SHAPES, COLOURS, strict=False))
    )
    assert (
        image_hash(paint(80, 24, background, scene).pixels)[:16]
        == {"white": "8e2044977a8493b7", "black": "dfddcb60d964db80"}[background]
    )
