"""What colour arrives at the camera from the ground and from the solids.

Light is linear: numbers are added as light adds, and the picture takes the root at its very end. Rubber scatters light
evenly; metal also mirrors what is around it.

The samples of all solids are computed together, as arrays (n,) of x, y and z: solids are small, and calling NumPy costs
as much as a thousand additions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .camera import Vector, View, unit
from .mirroring import mirrored
from .shadows import blocked, may_shade
from .solids import PAINTS, Solid
from .tracing import Floats

SKY, KEY, FILL, BOUNCE = 0.45, 0.80, 0.30, 0.35  # how strong each light is
GROUND = 0.50  # linear light that the ground reflects where it is brightest
BEVEL = 0.12  # width of a rounded edge, in the solid's own frame

Triple = tuple[Floats, Floats, Floats]


@dataclass(frozen=True)
class Samples:
    """Points of solids as the camera sees them, solid after solid.

    u, v: slopes of the rays, (n,). depth: where they end. groups: each solid and the slice of its points; solids of
    metal come first.
    """

    u: Floats
    v: Floats
    depth: Floats
    groups: tuple[tuple[Solid, slice], ...]

    def spread(self, values: Sequence[float]) -> Floats:
        """One number a group as one a point."""
        counts = [part.stop - part.start for _, part in self.groups]
        return np.repeat(np.array(values, dtype=np.float32), counts)


def ground_light(x: Floats, y: Floats) -> Floats:
    """The pool of light on the ground, before shadows: brightest near the middle, darker far away."""
    falling = x * x
    falling += (y + 1.0) * (y + 1.0)
    falling *= 0.01
    falling += 1.0
    light: Floats = (0.65 * GROUND) / falling
    light += 0.35 * GROUND
    return light


def solid_light(view: View, samples: Samples, ground: Floats) -> list[Floats]:
    """Red, green and blue in [0, 1], linear, of all points. ground: float32 (height, width), which metal mirrors."""
    camera, groups = view.camera, samples.groups
    ray = _vector(lambda k: samples.u * camera.right[k] + samples.v * camera.down[k] + camera.forward[k])
    point = _vector(lambda k: samples.depth * ray[k] + camera.place[k])
    normal = _normals(samples, point)
    key = _facing(normal, view.key.towards)
    for solid, part in groups:
        for other, _ in groups:
            if other is not solid and may_shade(other, view.key, solid):
                key[part] *= 1.0 - blocked(other, view.key, point[0][part], point[1][part], point[2][part])
    scattered = (0.5 * (SKY - BOUNCE)) * normal[2] + 0.5 * (SKY + BOUNCE)
    scattered += KEY * key
    scattered += FILL * _facing(normal, view.fill.towards)
    ray = normalised(ray)
    twice = 2.0 * (ray[0] * normal[0] + ray[1] * normal[1] + ray[2] * normal[2])
    mirror = _vector(lambda k: ray[k] - twice * normal[k])
    gloss = _facing(mirror, view.key.towards)
    metal = max((part.stop for solid, part in groups if solid.material == "metal"), default=0)
    dull = 0.05 * _power(gloss[metal:], 3) * (key[metal:] > 0.0)
    world, lamps = mirrored(view, groups, _cut(point, metal), _cut(mirror, metal), ground)
    # Metal is not quite smooth: upright faces have a streak where they are turned to the lamp.
    flat = unit((view.key.towards[0] - camera.forward[0], view.key.towards[1] - camera.forward[1], 0.0))
    lamps += 0.22 * _power(_facing(_cut(normal, metal), flat), 4)
    lamps += 0.8 * _power(gloss[:metal], 6)
    colours = []
    for k in range(3):
        paint = samples.spread([PAINTS[solid.colour][k] for solid, _ in groups])
        colour, tint = scattered * paint, paint[:metal]
        colour[metal:] += dull
        colour[:metal] = 0.2 * colour[:metal] + world[k] * (0.06 + 1.5 * tint) + lamps * (0.25 + 0.75 * tint)
        colours.append(np.minimum(colour, 1.0))
    return colours


def _vector(axis: Callable[[int], Floats]) -> Triple:
    return axis(0), axis(1), axis(2)


def _cut(a: Triple, stop: int) -> Triple:
    return a[0][:stop], a[1][:stop], a[2][:stop]


def _facing(a: Triple, b: Vector) -> Floats:
    """The inner product, or 0 where it is negative."""
    return np.maximum(a[0] * b[0] + a[1] * b[1] + a[2] * b[2], 0.0)


def _power(a: Floats, doublings: int) -> Floats:
    """`a` to the power of 2 to the `doublings`."""
    for _ in range(doublings):
        a = a * a
    return a


def normalised(a: Triple) -> Triple:
    """Vectors of length 1."""
    length = np.sqrt(np.maximum(a[0] * a[0] + a[1] * a[1] + a[2] * a[2], 1e-12))
    return a[0] / length, a[1] / length, a[2] / length


def _normals(samples: Samples, point: Triple) -> Triple:
    """Unit normals at points of the surfaces; edges are rounded, as far as light is concerned."""
    solids = [solid for solid, _ in samples.groups]
    c = samples.spread([solid.rotation[0] for solid in solids])
    s = samples.spread([solid.rotation[1] for solid in solids])
    half = samples.spread([solid.half for solid in solids])
    x, y = point[0] - samples.spread([i.x for i in solids]), point[1] - samples.spread([i.y for i in solids])
    x, y, z = (c * x + s * y) / half, (c * y - s * x) / half, point[2] / half - 1.0
    for solid, part in samples.groups:
        if solid.shape == "cube":
            for axis in (x, y, z):
                axis[part] = _beyond(axis[part])
        elif solid.shape == "cylinder":
            out = np.sqrt(x[part] * x[part] + y[part] * y[part])
            wall = np.maximum(out - (1.0 - BEVEL), 0.0) / np.maximum(out, 1e-6)
            x[part] *= wall
            y[part] *= wall
            z[part] = _beyond(z[part])
    return normalised((c * x - s * y, s * x + c * y, z))


def _beyond(a: Floats) -> Floats:
    """How far a coordinate lies outside the flat part of a face, with its sign."""
    beyond: Floats = a - np.clip(a, BEVEL - 1.0, 1.0 - BEVEL)
    return beyond
