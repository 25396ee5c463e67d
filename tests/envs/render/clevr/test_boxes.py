"""Boxes: exact, whatever the solid and wherever it stands."""

import numpy as np
import pytest

from envs.render.clevr import SHAPES, SIZES, Box, Camera, Solid, arrange, box, draw_view, trace
from envs.render.clevr.boxes import corners, ground_window, window
from envs.render.clevr.camera import look


def someone(shape: str, seed: int) -> tuple[Camera, Solid]:
    rng = np.random.default_rng(seed)
    camera = draw_view(320, 240, rng).camera
    found = arrange([(SIZES[seed % 2], "red", "metal", shape)], camera, rng)
    assert found is not None
    return camera, found[0]


def surface(solid: Solid) -> np.ndarray:
    """Points (n, 3) on the surface, densely."""
    angle = np.linspace(0, 2 * np.pi, 181)
    if solid.shape == "sphere":
        up = np.cos(np.linspace(0, np.pi, 91))[:, None]
        x, y, z = np.sqrt(1 - up**2) * np.cos(angle), np.sqrt(1 - up**2) * np.sin(angle), up + 0 * angle
    elif solid.shape == "cylinder":
        x, y, z = (np.concatenate([a, a]) for a in (np.cos(angle), np.sin(angle), np.ones_like(angle)))
        z = np.concatenate([angle * 0 + 1, angle * 0 - 1])
    else:
        c, s = solid.rotation
        grid = np.array([(a, b, d) for a in (-1, 1) for b in (-1, 1) for d in (-1, 1)], float)
        x, y, z = c * grid[:, 0] - s * grid[:, 1], s * grid[:, 0] + c * grid[:, 1], grid[:, 2]
    h = solid.half
    return np.stack([solid.x + h * x, solid.y + h * y, h + h * z], -1).reshape(-1, 3)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_box_is_that_of_all_points_of_the_surface(shape: str) -> None:
    for seed in range(3):
        camera, solid = someone(shape, seed)
        seen = np.array([camera.pixel(tuple(point)) for point in surface(solid).tolist()])
        around = (*seen.min(axis=0), *seen.max(axis=0))
        np.testing.assert_allclose(box(camera, solid), around, atol=0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_box_is_that_of_the_drawn_mask_within_a_pixel(shape: str) -> None:
    for seed in range(20):
        camera, solid = someone(shape, seed)
        tracing = trace(camera, (solid,))
        drawn = tracing.box(0)
        assert drawn is not None
        np.testing.assert_allclose(box(camera, solid), drawn, atol=1.0)
        rows, columns = np.nonzero(tracing.mask(0))
        np.testing.assert_allclose(
            box(camera, solid), (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1), atol=1.5
        )


def test_a_sphere_straight_ahead_is_seen_at_its_tangents() -> None:
    camera = look(320, 240, (0.0, -2.5, 0.7), (0.0, 0.0, 0.7))
    around = box(camera, Solid("sphere", "red", "metal", "large", 0.0, 0.0))
    # The tangent from a distance of 2.5 to a radius of 0.7 has length 2.4: 350 x 0.7 / 2.4 pixels either way.
    assert around == pytest.approx((160 - 350 * 7 / 24, 120 - 350 * 7 / 24, 160 + 350 * 7 / 24, 120 + 350 * 7 / 24))


def test_a_box_inside_a_picture_keeps_the_rim() -> None:
    assert Box(2, 2, 318, 238).inside(320, 240, 2)
    for cut in (Box(1, 2, 9, 9), Box(2, 1, 9, 9), Box(2, 2, 319, 9), Box(2, 2, 9, 239)):
        assert not cut.inside(320, 240, 2)


def test_the_corners_of_a_cube_lie_on_the_ground_and_at_its_height() -> None:
    cube = Solid("cube", "red", "metal", "large", 1.0, 2.0, 0.5)
    found = corners(cube)
    assert [z for *_, z in found] == [0.0] * 4 + [2 * cube.half] * 4
    assert found[0][:2] == pytest.approx((1 + cube.half * (0.6 - 0.8), 2 + cube.half * (0.8 + 0.6)))


def test_a_window_is_cut_at_the_rim_and_is_none_outside() -> None:
    camera = look(320, 240, (0.0, -10.0, 5.0), (0.0, 0.0, 0.0))
    assert window(Box(-5.5, 3.2, 7.1, 300.0), camera) == (0, 2, 9, 240)
    assert window(Box(400.0, 3.0, 410.0, 9.0), camera) is None


def test_ground_behind_the_camera_may_be_seen_anywhere() -> None:
    camera = look(320, 240, (0.0, -10.0, 5.0), (0.0, 0.0, 0.0))
    assert ground_window(camera, [(0.0, 0.0), (0.0, -30.0)]) == (0, 0, 320, 240)
    left, top, right, bottom = ground_window(camera, [(-1.0, 0.0), (1.0, 0.0)]) or (0, 0, 0, 0)
    across = 350 / 125**0.5
    assert left <= 160 - across <= left + 2
    assert right - 2 <= 160 + across <= right
    assert top <= 120 <= bottom
