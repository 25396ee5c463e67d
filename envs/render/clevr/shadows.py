"""How much of a light and of the sky the solids keep from a point, with soft edges.

Light is parallel. Whatever stands between a point and the lamp is a solid swept along the light: for a cylinder a
segment with thickness, for a cube a swept square, for a sphere a round beam. The signed distance from the point to that
sweep, over a width that grows with the length of the way, gives the half-shadow of a large lamp.
"""

import numpy as np

from .boxes import ground_window
from .camera import Camera, Light
from .solids import Solid
from .tracing import Floats, Window

SHARP = 0.03  # width of a shadow's edge where it starts
FAINT = 0.06
SOFT = 0.16  # and how much it grows with each unit of the way

Heights = Floats | float


def blocked(solid: Solid, light: Light, x: Floats, y: Floats, z: Heights) -> Floats:
    """In [0, 1]: the share of a light that `solid` keeps from points (x, y, z) outside it."""
    sweep = {"sphere": _sphere, "cylinder": _cylinder, "cube": _cube}[solid.shape]
    distance, way = sweep(solid, light, x - solid.x, y - solid.y, z)
    share = np.clip(0.5 - distance / (SHARP + SOFT * way), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _sphere(solid: Solid, light: Light, x: Floats, y: Floats, z: Heights) -> tuple[Floats, Floats]:
    (lx, ly, lz), r = light.towards, solid.half
    up = z - r
    way = np.maximum(-(x * lx + y * ly + up * lz), 0.0)  # to the point of the ray nearest to the centre
    return np.sqrt(np.maximum(x * x + y * y + up * up - way * way, 0.0)) - r, way


def _cylinder(solid: Solid, light: Light, x: Floats, y: Floats, z: Heights) -> tuple[Floats, Floats]:
    (lx, ly, lz), r = light.towards, solid.half
    sx, sy = -lx / lz, -ly / lz  # how far a shadow falls for each unit of height
    above = np.maximum(2 * r - z, 0.0)
    way = np.minimum(np.maximum((x * sx + y * sy) / (sx * sx + sy * sy), 0.0), above)
    x, y = x - way * sx, y - way * sy
    return np.sqrt(x * x + y * y) - r, way


def _cube(solid: Solid, light: Light, x: Floats, y: Floats, z: Heights) -> tuple[Floats, Floats]:
    (lx, ly, lz), h, (c, s) = light.towards, solid.half, solid.rotation
    x, y = c * x + s * y, c * y - s * x
    sx, sy = -(c * lx + s * ly) / lz, -(c * ly - s * lx) / lz
    square = sx * sx + sy * sy
    above = np.maximum(2 * h - z, 0.0)
    way = np.minimum(np.maximum((x * sx + y * sy) / square, 0.0), above)
    # Six half-planes: the sides of the square, and the two lines along which its corners are swept.
    half = 0.5 * above
    sides = np.maximum(
        np.abs(x - half * sx) - half * abs(sx),
        np.abs(y - half * sy) - half * abs(sy),
    )
    length = float(np.sqrt(square))
    across = np.abs(x * (sy / length) - y * (sx / length)) - h * (abs(sx) + abs(sy)) / length
    return np.maximum(sides - h, across), way


def occluded(solid: Solid, x: Floats, y: Floats) -> Floats:
    """In [0, 1]: the share of the sky that a solid hides from points of the ground, taken as a sphere.

    A sphere of radius r whose centre is at height r and distance d hides (r / d)^2 of a half-space, weighted by r / d,
    the cosine of its angle from the vertical. FAINT is taken off, so that it ends where `sky_window` does.
    """
    r = solid.half
    dx, dy = x - solid.x, y - solid.y
    square = dx * dx + dy * dy + r * r
    return np.maximum(r * r * r / (square * np.sqrt(square)) - FAINT, 0.0)


def sky_window(camera: Camera, solid: Solid) -> Window | None:
    """The pixels of the ground from which a solid hides a part of the sky."""
    r = 2.4 * solid.half  # (1 + 2.4^2)^(-3/2) < FAINT
    return ground_window(camera, [(solid.x + a * r, solid.y + b * r) for a in (-1, 1) for b in (-1, 1)])


def shadow_window(camera: Camera, solid: Solid, light: Light) -> Window | None:
    """The pixels of the ground that a solid's shadow can reach."""
    (lx, ly, lz), height = light.towards, 2 * solid.half
    points = []
    for z in (0.0, height):
        # A soft edge reaches half its width beyond the sweep; on the ground a slanting beam is 1 / lz as wide.
        r = solid.radius + 0.5 * (SHARP + SOFT * z / lz) / lz
        middle_x, middle_y = solid.x - z * lx / lz, solid.y - z * ly / lz
        points += [(middle_x + a * r, middle_y + b * r) for a in (-1, 1) for b in (-1, 1)]
    return ground_window(camera, points)


def may_shade(solid: Solid, light: Light, other: Solid) -> bool:
    """Whether the shadow of `solid` can reach any point of `other`."""
    lx, ly, lz = light.towards
    sx, sy, height = -lx / lz, -ly / lz, 2 * solid.half
    dx, dy = other.x - solid.x, other.y - solid.y
    way = min(max((dx * sx + dy * sy) / (sx * sx + sy * sy), 0.0), height)
    reach = solid.radius + other.radius + SHARP + SOFT * height / lz
    dx, dy = dx - way * sx, dy - way * sy
    return dx * dx + dy * dy < reach * reach
