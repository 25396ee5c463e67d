"""The camera: what it sees where, and how far it is moved."""

import numpy as np
import pytest

from envs.render.clevr.camera import FILL, KEY, PLACE, TARGET, draw_view, inner, look, unit


def test_a_camera_that_looks_along_y_sees_right_as_x_and_down_as_minus_z() -> None:
    camera = look(320, 240, (0.0, -10.0, 1.0), (0.0, 0.0, 1.0))
    assert (camera.right, camera.down, camera.forward) == ((1, 0, 0), (0, 0, -1), (0, 1, 0))
    assert camera.relative((2.0, -6.0, 4.0)) == (2.0, -3.0, 4.0)
    # The lens is 35 / 32 of the width: 350 pixels. 2 to the right at a depth of 4 is 175 pixels.
    assert camera.pixel((2.0, -6.0, 4.0)) == (160 + 175.0, 120 - 262.5)


def test_the_target_is_seen_in_the_middle_and_the_axes_are_perpendicular() -> None:
    for seed in range(20):
        camera = draw_view(320, 240, np.random.default_rng(seed)).camera
        assert camera.pixel(TARGET) == pytest.approx((160, 120))
        axes = (camera.right, camera.down, camera.forward)
        gram = [[inner(a, b) for a in axes] for b in axes]
        np.testing.assert_allclose(gram, np.eye(3), atol=1e-12)
        assert camera.right[2] == 0.0
        assert camera.down[2] < 0.0
        assert camera.right[0] > 0.9


def test_camera_and_lights_move_no_further_than_in_clevr() -> None:
    places, keys = [], []
    for seed in range(200):
        view = draw_view(320, 240, np.random.default_rng(seed))
        places.append(np.subtract(view.camera.place, PLACE))
        keys.append(view.key.towards)
        assert inner(view.key.towards, view.key.towards) == pytest.approx(1)
        assert inner(view.key.towards, unit(KEY)) > 0.95
        assert inner(view.fill.towards, unit(FILL)) > 0.95
    assert 0.45 < np.max(places) <= 0.5
    assert -0.5 <= np.min(places) < -0.45
    assert np.std(keys, axis=0).min() > 0.02


def test_a_wide_picture_keeps_the_ground_that_holds_the_solids() -> None:
    assert look(640, 240, PLACE, TARGET).focal == look(360, 240, PLACE, TARGET).focal
    assert look(300, 240, PLACE, TARGET).focal < look(320, 240, PLACE, TARGET).focal
