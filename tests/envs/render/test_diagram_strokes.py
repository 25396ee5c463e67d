"""Strokes: covers against distances computed plainly, masks against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from envs.render.diagram_strokes import FULL, SUB, arc_cover, between, disc_mask, polygon_mask, segments_cover

X, Y = np.meshgrid(np.arange(64) * SUB + SUB / 2, np.arange(64) * SUB + SUB / 2)


def expected(distance: np.ndarray, half: int) -> np.ndarray:
    return np.clip((half + SUB / 2 - distance) / SUB * FULL + 0.5, 0, FULL).astype(int)


def test_a_segments_cover_follows_from_the_distance_to_it() -> None:
    rng = np.random.default_rng(0)
    for _ in range(150):
        x0, y0, x1, y1 = rng.integers(-200, 1200, size=4).tolist()
        half = int(rng.integers(6, 40))
        cover = np.zeros((64, 64), dtype=np.int16)
        segments_cover(cover, np.array([[x0, y0, x1, y1]]), half)
        dx, dy = x1 - x0, y1 - y0
        share = np.clip(((X - x0) * dx + (Y - y0) * dy) / max(dx * dx + dy * dy, 1), 0, 1)
        distance = np.hypot(X - x0 - share * dx, Y - y0 - share * dy)
        assert abs(cover - expected(distance, half)).max() <= 1


def test_a_segment_without_length_is_a_dot() -> None:
    cover = np.zeros((64, 64), dtype=np.int16)
    segments_cover(cover, np.array([[500, 500, 500, 500]]), 20)
    assert abs(cover - expected(np.hypot(X - 500, Y - 500), 20)).max() <= 1


def test_where_strokes_cross_the_stronger_cover_stays() -> None:
    both, one, two = (np.zeros((64, 64), dtype=np.int16) for _ in range(3))
    a, b = [100, 100, 900, 800], [100, 900, 900, 50]
    segments_cover(both, np.array([a, b]), 12)
    segments_cover(one, np.array([a]), 12)
    segments_cover(two, np.array([b]), 12)
    assert np.array_equal(both, np.maximum(one, two))


def test_nothing_to_draw_draws_nothing() -> None:
    cover = np.zeros((8, 8), dtype=np.int16)
    segments_cover(cover, np.zeros((0, 4), dtype=np.int64), 12)
    arc_cover(cover, -5000, -5000, 100, 12)
    assert not cover.any()


def test_a_circles_cover_follows_from_the_distance_to_it() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        x, y, radius = rng.integers(0, 1024, size=3).tolist()
        cover = np.zeros((64, 64), dtype=np.int16)
        arc_cover(cover, x, y, radius, 12)
        assert abs(cover - expected(abs(np.hypot(X - x, Y - y) - radius), 12)).max() <= 1


@pytest.mark.parametrize("start", [0, 70, 200, 333])
@pytest.mark.parametrize("sweep", [20, 90, 179, 180, 181, 300])
def test_an_arc_holds_the_directions_between_its_ends(start: int, sweep: int) -> None:
    def vector(degrees: float) -> tuple[int, int]:
        return round(1e6 * np.cos(np.radians(degrees))), round(-1e6 * np.sin(np.radians(degrees)))  # y down

    for degrees in range(1, 360, 7):
        if abs(degrees - sweep) > 1:
            dx, dy = (np.array([v]) for v in vector(start + degrees))
            assert between(dx, dy, vector(start), vector(start + sweep))[0] == (degrees < sweep)


def test_a_polygons_mask_follows_the_even_odd_rule() -> None:
    rng = np.random.default_rng(2)
    for _ in range(80):
        corners = [tuple(p) for p in rng.integers(-100, 1100, size=(int(rng.integers(3, 7)), 2)).tolist()]
        inside = np.zeros((64, 64), dtype=bool)
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
            if ay != by:
                inside ^= ((ay <= Y) != (by <= Y)) & (ax + (Y - ay) * (bx - ax) / (by - ay) < X)
        assert np.array_equal(polygon_mask(64, 64, corners), inside)


def test_a_disc_holds_the_pixels_whose_centres_are_near() -> None:
    rng = np.random.default_rng(3)
    for _ in range(80):
        x, y, radius = rng.integers(-100, 1100, size=3).tolist()
        assert np.array_equal(disc_mask(64, 64, x, y, max(radius, 0)), np.hypot(X - x, Y - y) <= max(radius, 0))
