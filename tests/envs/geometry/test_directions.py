"""Directions: the table of sines."""

from math import cos, radians, sin

import pytest

from envs.geometry.directions import cosine, direction, polar, sine


def test_sines_and_cosines_are_right_all_round() -> None:
    for degrees in range(-400, 801):
        assert sine(degrees) == pytest.approx(sin(radians(degrees)), abs=1e-9)
        assert cosine(degrees) == pytest.approx(cos(radians(degrees)), abs=1e-9)


def test_right_angles_are_exact() -> None:
    assert [direction(d) for d in (0, 90, 180, 270)] == [(1, 0), (0, 1), (-1, 0), (0, -1)]


def test_polar_goes_so_far_in_a_direction() -> None:
    assert polar((1.0, 2.0), 3.0, 90) == (1.0, 5.0)
