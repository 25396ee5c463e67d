"""Shadows: where rays to the lamp are blocked, and nowhere else."""

import numpy as np
import pytest

from envs.render.clevr import SHAPES, Light, Solid, draw_view
from envs.render.clevr.camera import unit
from envs.render.clevr.shadows import blocked, may_shade, occluded, shadow_window, sky_window
from envs.render.clevr.tracing import FAR, Window, hit


def meets(solid: Solid, light: Light, point: np.ndarray) -> np.ndarray:
    """The slow reference: whether the ray from points (n, 3) to the lamp meets the solid."""
    (c, s), h = solid.rotation, solid.half

    def turned(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, ...]:
        return (c * x + s * y) / h, (c * y - s * x) / h, z / h

    start = turned(point[:, 0] - solid.x, point[:, 1] - solid.y, point[:, 2] - h)
    way = turned(*(np.full(len(point), a) for a in light.towards))
    return hit(solid.shape, start, way) < FAR


def ground(extent: float = 2.2, n: int = 60) -> np.ndarray:
    axis = np.linspace(-extent, extent, n)
    x, y = np.meshgrid(axis, axis)
    return np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("towards", [(-4.2, -3.6, 6.2), (5.0, 2.0, 4.4), (0.3, -6.0, 3.0)])
def test_a_point_lies_in_the_shadow_if_its_ray_to_the_lamp_is_blocked(
    shape: str, towards: tuple[float, float, float]
) -> None:
    light = Light(unit(towards))
    solid = Solid(shape, "red", "metal", "large", 0.2, -0.3, 0.3 if shape == "cube" else 0.0)
    for height in (0.0, 0.5):
        point = ground() + np.array([0.0, 0.0, height])
        # Points inside the solid or beside it cannot lie on a surface.
        point = point[(point[:, 0] - solid.x) ** 2 + (point[:, 1] - solid.y) ** 2 > (solid.radius + 0.05) ** 2]
        share = blocked(solid, light, point[:, 0], point[:, 1], point[:, 2])
        reference = meets(solid, light, point)
        assert reference.sum() > 30
        # The half-shadow is halved by the edge of the hard one.
        assert ((share > 0.5) == reference).mean() > 0.995
        assert reference[share > 0.98].all()
        assert not reference[share < 0.02].any()


def test_a_shadow_is_sharp_where_it_starts_and_soft_where_it_ends() -> None:
    light, cylinder = Light(unit((-1.0, 0.0, 1.0))), Solid("cylinder", "red", "metal", "large", 0.0, 0.0)
    across = np.linspace(-1.5, 1.5, 3001)

    def softness(x: float) -> int:
        share = blocked(cylinder, light, np.full(across.shape, x), across, 0.0)
        return int(((share > 0) & (share < 1)).sum())

    assert 0 < softness(0.1) < softness(0.7) < softness(1.3)


def test_a_point_above_a_solid_lies_in_no_shadow_of_it() -> None:
    light = Light(unit((-1.0, 0.4, 1.0)))
    x = np.linspace(-3, 3, 50)
    for shape in SHAPES:
        solid = Solid(shape, "red", "metal", "small", 0.0, 0.0)
        outside = np.abs(x) > solid.radius + 0.1
        assert not blocked(solid, light, x[outside], 0 * x[outside], 1.2).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_of_a_shadow_lies_outside_its_window(shape: str) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        view = draw_view(320, 240, rng)
        x, y, t = rng.uniform(-3, 3), rng.uniform(-3, 3), rng.uniform()
        solid = Solid(shape, "red", "metal", ("large", "small")[seed % 2], x, y, t if shape == "cube" else 0.0)
        point = ground(6.0, 110)
        offset = point - np.array(view.camera.place)
        right, down, depth = (offset @ np.array(a) for a in (view.camera.right, view.camera.down, view.camera.forward))
        seen = np.stack([160 + 350 * right / depth, 120 + 350 * down / depth], 1)[depth > 0.1]
        point = point[depth > 0.1]
        for light in (view.key, view.fill):
            dark = seen[blocked(solid, light, point[:, 0], point[:, 1], 0.0) > 0]
            assert within(dark, shadow_window(view.camera, solid, light))
        dark = seen[occluded(solid, point[:, 0], point[:, 1]) > 0]
        assert within(dark, sky_window(view.camera, solid))


def within(seen: np.ndarray, around: Window | None) -> bool:
    if around is None:
        left, top, right, bottom = 1.0, 1.0, 0.0, 0.0
    else:
        left, top, right, bottom = around
    inside = (seen[:, 0] >= left) & (seen[:, 0] <= right) & (seen[:, 1] >= top) & (seen[:, 1] <= bottom)
    shown = (seen[:, 0] > 0) & (seen[:, 0] < 320) & (seen[:, 1] > 0) & (seen[:, 1] < 240)
    return len(seen) > 3 and bool(inside[shown].all())


def test_a_solid_that_may_not_shade_another_one_does_not() -> None:
    rng, spared, shaded = np.random.default_rng(0), 0, 0
    light = Light(unit((-4.2, -3.6, 6.2)))
    turns = np.linspace(0, 2 * np.pi, 60)
    for _ in range(300):
        kinds = [(SHAPES[int(rng.integers(3))], ("large", "small")[int(rng.integers(2))]) for _ in range(2)]
        one, other = (Solid(a, "red", "metal", b, *rng.uniform(-2, 2, size=2).tolist()) for a, b in kinds)
        if (one.x - other.x) ** 2 + (one.y - other.y) ** 2 < (one.radius + other.radius + 0.25) ** 2:
            continue
        x, y = other.x + other.radius * np.cos(turns), other.y + other.radius * np.sin(turns)
        dark = max(float(blocked(one, light, x, y, z).max()) for z in (0.0, other.half, 2 * other.half))
        if may_shade(one, light, other):
            shaded += dark > 0
        else:
            spared += 1
            assert dark == 0.0
    assert spared > 50
    assert shaded > 10


def test_a_solid_hides_most_of_the_sky_right_below_it() -> None:
    ball = Solid("sphere", "red", "metal", "large", 0.0, 0.0)
    x = np.array([0.0, 0.7, 1.4, 5.0])
    # r^3 / d^3 with d^2 = x^2 + r^2, less the little that is left at the end.
    expected = np.maximum(0.7**3 / (x * x + 0.49) ** 1.5 - 0.06, 0)
    np.testing.assert_allclose(occluded(ball, x, 0 * x), expected, rtol=1e-12)
    assert expected[0] == pytest.approx(0.94)
    assert expected[-1] == 0.0
