"""Tracing: rays meet solids where they must, and nothing hidden is counted as seen."""

import math

import numpy as np
import pytest

from envs.render.clevr import COLOURS, MATERIALS, SHAPES, SIZES, Camera, Solid, arrange, draw_view, trace
from envs.render.clevr.camera import look
from envs.render.clevr.tracing import FAR, FINE, hit


def ray(*numbers: float) -> tuple[np.ndarray, ...]:
    return tuple(np.array([a], dtype=np.float32) for a in numbers)


@pytest.mark.parametrize(
    ("shape", "start", "way", "steps"),
    [
        ("sphere", (0, 0, 5), (0, 0, -1), 4),
        ("sphere", (0, 0, 5), (0, 0, -2), 2),
        ("sphere", (0, 0, 5), (0, 0, 1), math.inf),
        ("sphere", (0.8, -5, 0), (0, 1, 0), 4.4),  # the sphere is 0.6 thick there
        ("sphere", (1.1, -5, 0), (0, 1, 0), math.inf),
        ("cylinder", (0, 0, 5), (0, 0, -1), 4),
        ("cylinder", (0.8, -5, 0), (0, 1, 0), 4.4),
        ("cylinder", (0.8, -5, 1.1), (0, 1, 0), math.inf),
        ("cylinder", (-3, 0, 3), (1, 0, -1), 2),  # the upper rim
        ("cylinder", (-3, 0, 3.5), (1, 0, -1), 2.5),  # the upper end
        ("cylinder", (-3, 0, 2.5), (1, 0, -1), 2),  # the wall
        ("cylinder", (0, -5, 0), (0, -1, 0), math.inf),
        ("cube", (0.9, 0.9, 5), (0, 0, -1), 4),
        ("cube", (1.1, 0.9, 5), (0, 0, -1), math.inf),
        ("cube", (-4, -4, 0), (1, 1, 0), 3),
        ("cube", (-4, 0, 0), (-1, 0, 0), math.inf),
        ("cube", (-4, 0, 3), (1, 0, -0.5), 4),
    ],
)
def test_a_ray_meets_the_surface_after_so_many_steps(
    shape: str, start: tuple[float, ...], way: tuple[float, ...], steps: float
) -> None:
    assert float(hit(shape, start, ray(*way))[0]) == pytest.approx(min(steps, FAR), rel=1e-5)
    assert float(hit(shape, ray(*start), ray(*way))[0]) == pytest.approx(min(steps, FAR), rel=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_hits_are_those_of_a_march_along_the_ray(shape: str) -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(150, 3))
    start *= 3 / np.sqrt((start**2).sum(1, keepdims=True))
    way = rng.normal(size=(150, 3)) * 0.6 - start
    steps = np.linspace(0, 3, 3001)
    at = start[:, None] + steps[None, :, None] * way[:, None]
    inside = {
        "sphere": (at**2).sum(-1) <= 1,
        "cylinder": ((at[..., :2] ** 2).sum(-1) <= 1) & (abs(at[..., 2]) <= 1),
        "cube": (abs(at) <= 1).all(-1),
    }[shape]
    first = np.where(inside.any(1), steps[inside.argmax(1)], np.inf)
    found = hit(shape, tuple(start.T.astype(np.float32)), tuple(way.T.astype(np.float32)))
    found = np.where(found == FAR, np.inf, found)
    grazing = np.isinf(first) != np.isinf(found)
    assert grazing.sum() <= 2
    assert 50 < np.isfinite(first).sum() < 150
    both = np.isfinite(first) & np.isfinite(found)
    np.testing.assert_allclose(found[both], first[both], atol=4e-3)


def crowd(seed: int, n: int = 8) -> tuple[Camera, tuple[Solid, ...]]:
    rng = np.random.default_rng(seed)
    while True:
        camera = draw_view(320, 240, rng).camera
        names = [tuple(v[int(rng.integers(len(v)))] for v in (SIZES, COLOURS, MATERIALS, SHAPES)) for _ in range(n)]
        solids = arrange([(a, b, c, d) for a, b, c, d in names], camera, rng)
        if solids is not None:
            return camera, solids


def test_a_sphere_straight_ahead_covers_the_disc_of_its_tangents() -> None:
    camera = look(320, 240, (0.0, -2.5, 0.7), (0.0, 0.0, 0.7))
    tracing = trace(camera, (Solid("sphere", "red", "metal", "large", 0.0, 0.0),))
    area = math.pi * (350 * 7 / 24) ** 2
    assert tracing.whole[0] == tracing.visible[0] == pytest.approx(area, rel=2e-3)
    # The nearest point is 1.8 before the camera.
    assert float(tracing.depth.min()) == pytest.approx(1.8, rel=1e-3)


def test_every_sample_is_counted_once() -> None:
    camera, solids = crowd(0)
    tracing = trace(camera, solids)
    assert sum(tracing.visible) * FINE * FINE == (tracing.ids >= 0).sum() == (tracing.depth < FAR).sum()
    assert all(seen <= whole for seen, whole in zip(tracing.visible, tracing.whole, strict=True))
    alone = [trace(camera, (solid,)).whole[0] for solid in solids]
    assert list(tracing.whole) == alone


def test_the_nearer_solid_hides_the_farther_one_whatever_their_order() -> None:
    camera = look(320, 240, (0.0, -9.9, 5.34), (0.0, -0.5, 0.3))
    near = Solid("cylinder", "red", "metal", "large", 0.0, -2.0)
    far = Solid("sphere", "blue", "rubber", "small", 0.0, -0.7)
    alone = trace(camera, (far,)).visible[0]
    for order in ((near, far), (far, near)):
        tracing = trace(camera, order)
        assert tracing.visible[order.index(near)] == tracing.whole[order.index(near)]
        assert tracing.visible[order.index(far)] < 0.6 * alone
        assert tracing.whole[order.index(far)] == alone


def test_a_solid_right_behind_another_is_not_seen_at_all() -> None:
    camera = look(320, 240, (0.0, -9.9, 2.0), (0.0, -0.5, 0.3))
    hidden = Solid("cube", "blue", "rubber", "small", 0.0, -0.5)
    tracing = trace(camera, (hidden, Solid("cylinder", "red", "metal", "large", 0.0, -2.0)))
    assert tracing.whole[0] > 200
    assert tracing.visible[0] == 0.0
    assert tracing.box(0) is None
    assert not tracing.mask(0).any()


def test_a_mask_has_the_pixels_of_which_at_least_half_is_covered() -> None:
    camera, solids = crowd(3)
    tracing = trace(camera, solids)
    share = (tracing.ids == 2).reshape(240, 2, 320, 2).mean(axis=(1, 3))
    assert np.array_equal(tracing.mask(2), share >= 0.5)
    assert 0 < tracing.mask(2).sum() != (share == 1).sum()


def test_a_solid_outside_the_picture_is_not_seen() -> None:
    camera = look(320, 240, (0.0, -9.9, 5.34), (0.0, -0.5, 0.3))
    tracing = trace(camera, (Solid("cube", "blue", "rubber", "small", 30.0, 10.0),))
    assert (tracing.windows, tracing.whole, tracing.visible) == ((None,), (0.0,), (0.0,))
    assert tracing.box(0) is None
