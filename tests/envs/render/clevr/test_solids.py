"""Solids: their measures are CLEVR's."""

import pytest

from envs.render.clevr import SHAPES, SIZES, Solid


def solid(shape: str = "cube", size: str = "large", turn: float = 0.0) -> Solid:
    return Solid(shape, "red", "rubber", size, 0.0, 0.0, turn)


def test_a_turn_of_one_half_has_the_cosine_three_fifths_and_the_sine_four_fifths() -> None:
    assert solid(turn=0.5).rotation == pytest.approx((0.6, 0.8))
    assert solid(turn=0.0).rotation == (1.0, 0.0)


@pytest.mark.parametrize("size", SIZES)
def test_the_base_of_a_cube_fits_the_circle_of_its_radius(size: str) -> None:
    cube = solid("cube", size)
    assert (2 * cube.half**2) ** 0.5 == pytest.approx(cube.radius)


def test_a_large_solid_is_twice_a_small_one() -> None:
    for shape in SHAPES:
        assert solid(shape, "large").half == pytest.approx(2 * solid(shape, "small").half)
    assert (solid("sphere").half, solid("cylinder").half) == (0.7, 0.7)
