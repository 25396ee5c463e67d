"""What metal mirrors: the ground with the shadows on it, a dark room with two bright lamps, and the other solids."""

from collections.abc import Sequence

import numpy as np

from .camera import Camera, Light, View
from .solids import PAINTS, Solid
from .tracing import FAR, Floats, hit

ROOM = 0.07  # light from straight above
HORIZON = 0.22  # and how much more comes from the horizon
AROUND = {"sphere": 1.0, "cylinder": 1.4143, "cube": 1.7321}  # a ball that holds the solid, in its own frame

Triple = tuple[Floats, Floats, Floats]


def mirrored(
    view: View, groups: Sequence[tuple[Solid, slice]], point: Triple, way: Triple, ground: Floats
) -> tuple[list[Floats], Floats]:
    """Red, green and blue, linear, that arrive at points (n,) of metal from the directions `way`; and the lamps' light.

    way: unit vectors. groups: each solid of the picture and the slice of its points; slices beyond n are not of metal.
    ground: float32 (height, width), the ground as the camera sees it.
    """
    light = _floor_and_room(view.camera, point, way, ground)
    lamps = 0.9 * _lamp(way, view.key, 0.90, 0.05) + 0.5 * _lamp(way, view.fill, 0.95, 0.03)
    colours = [light, light.copy(), light.copy()]
    nearest = np.full(light.shape, FAR, dtype=np.float32)
    for solid, own in groups:
        seen = _may_meet(solid, point, way)
        seen[own] = False
        index = np.flatnonzero(seen)
        if not index.size:
            continue
        px, py, pz, wx, wy, wz = (a[index] for a in (*point, *way))
        (c, s), h = solid.rotation, solid.half
        px, py = (px - solid.x) / h, (py - solid.y) / h
        steps = hit(
            solid.shape,
            (c * px + s * py, c * py - s * px, pz / h - 1.0),
            ((c * wx + s * wy) / h, (c * wy - s * wx) / h, wz / h),
        )
        met = steps < nearest[index]
        index, steps = index[met], steps[met]
        nearest[index] = steps
        # Lit more from above than from below.
        shade = 0.25 + (0.30 / h) * np.maximum(pz[met] + steps * wz[met], 0.0)
        for colour, paint in zip(colours, PAINTS[solid.colour], strict=True):
            colour[index] = shade * paint
        lamps[index] = 0.0
    return colours, lamps


def _may_meet(solid: Solid, point: Triple, way: Triple) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which rays meet a ball that holds the solid."""
    radius = AROUND[solid.shape] * solid.half
    x, y, z = solid.x - point[0], solid.y - point[1], solid.half - point[2]
    along = x * way[0] + y * way[1] + z * way[2]
    apart = x * x + y * y + z * z - along * along
    return (along > 0.0) & (apart < radius * radius)


def _lamp(way: Triple, light: Light, rim: float, width: float) -> Floats:
    """The image of a large lamp: 0 outside, 1 inside, with a soft rim."""
    a, b, c = light.towards
    share = np.clip((way[0] * a + way[1] * b + way[2] * c - rim) / width, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _floor_and_room(camera: Camera, point: Triple, way: Triple, ground: Floats) -> Floats:
    steps = point[2] / np.maximum(-way[2], 0.02)
    x, y = point[0] + steps * way[0] - camera.place[0], point[1] + steps * way[1] - camera.place[1]
    right, lower, depth = (
        x * axis[0] + y * axis[1] - camera.place[2] * axis[2] for axis in (camera.right, camera.down, camera.forward)
    )
    # The ground beside the picture and behind the camera is taken to look like the picture's rim.
    scale = camera.focal / np.maximum(depth, 0.5)
    column = np.clip(right * scale + camera.width / 2, 0.0, camera.width - 1.0)
    row = np.clip(lower * scale + camera.height / 2, 0.0, camera.height - 1.0)
    floor = ground[row.astype(np.int32), column.astype(np.int32)]
    up = 1.0 - np.maximum(way[2], 0.0)
    room = ROOM + HORIZON * (up * up)
    share = np.clip(0.5 - 8.0 * way[2], 0.0, 1.0)
    return floor * share + room * (1.0 - share)
