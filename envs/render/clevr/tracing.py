"""Which solid each sample of a picture shows.

A pixel is FINE x FINE samples. Every solid is intersected with the rays through the samples of its own box, and the
nearest hit of a sample wins. Nothing is shaded here, so that a scene in which something is hidden is refused cheaply.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .boxes import Box, box, window
from .camera import Camera, Vector
from .solids import Solid

FINE = 2  # samples per pixel and axis
SAMPLES = FINE * FINE
FAR = 1e9  # a length for what is never met

# float32. The stubs of NumPy do not know that a number of Python leaves it so.
Floats = NDArray[Any]
Start = Sequence[float | Floats]  # x, y and z
Window = tuple[int, int, int, int]  # left, top, right, bottom, in pixels


@dataclass(frozen=True)
class Tracing:
    """Samples, FINE x FINE to a pixel.

    depth: float32 (FINE height, FINE width), distance along the camera's axis; FAR where the ground is seen.
    ids: int8 of that shape, the number of the solid seen, -1 for the ground.
    windows: per solid the pixels that hold it (left, top, right, bottom), None outside the picture.
    whole: per solid its area in pixels if nothing hid it. visible: the area that is seen. Both in quarters of a pixel.
    """

    depth: Floats
    ids: NDArray[np.int8]
    windows: tuple[Window | None, ...]
    whole: tuple[float, ...]
    visible: tuple[float, ...]

    def mask(self, number: int) -> NDArray[np.bool_]:
        """bool (height, width): the pixels of which the solid covers at least a half."""
        seen = self.ids == number
        count = np.zeros((seen.shape[0] // FINE, seen.shape[1] // FINE), dtype=np.uint8)
        for row in range(FINE):
            for column in range(FINE):
                count += seen[row::FINE, column::FINE]
        return 2 * count >= SAMPLES

    def box(self, number: int) -> Box | None:
        """The smallest box that holds the samples that show the solid; None where it is not seen."""
        around = self.windows[number]
        if around is None:
            return None
        seen = self.ids[rows_and_columns(around)] == number
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        if not rows.size:
            return None
        return Box(
            around[0] + int(columns[0]) / FINE,
            around[1] + int(rows[0]) / FINE,
            around[0] + (int(columns[-1]) + 1) / FINE,
            around[1] + (int(rows[-1]) + 1) / FINE,
        )


def trace(camera: Camera, solids: tuple[Solid, ...]) -> Tracing:
    """Cast the rays. At most 127 solids."""
    depth = np.full((FINE * camera.height, FINE * camera.width), FAR, dtype=np.float32)
    ids = np.full(depth.shape, -1, dtype=np.int8)
    windows, whole = [], []
    for number, solid in enumerate(solids):
        around = window(box(camera, solid), camera)
        windows.append(around)
        if around is None:
            whole.append(0.0)
            continue
        place = rows_and_columns(around)
        reach = hit(solid.shape, own_place(solid, camera.place), directions(camera, solid, around))
        whole.append(int(np.count_nonzero(reach < FAR)) / SAMPLES)
        here, nearer = ids[place], reach < depth[place]
        here *= ~nearer
        here += nearer * np.int8(number)
        np.minimum(depth[place], reach, out=depth[place])
    counts = [0 if w is None else int(np.count_nonzero(ids[rows_and_columns(w)] == k)) for k, w in enumerate(windows)]
    return Tracing(depth, ids, tuple(windows), tuple(whole), tuple(count / SAMPLES for count in counts))


def rows_and_columns(around: Window) -> tuple[slice, slice]:
    """The samples of a window of pixels."""
    left, top, right, bottom = around
    return slice(FINE * top, FINE * bottom), slice(FINE * left, FINE * right)


def slopes(camera: Camera, around: Window, fine: int = FINE) -> tuple[Floats, Floats]:
    """The slopes u (1, w) and v (h, 1) of the rays through the samples of a window, `fine` a pixel and axis."""
    left, top, right, bottom = around
    across = np.arange(fine * left, fine * right, dtype=np.float32)[None, :]
    along = np.arange(fine * top, fine * bottom, dtype=np.float32)[:, None]
    unit = 1.0 / (fine * camera.focal)
    return (across + (0.5 - fine * camera.width / 2)) * unit, (along + (0.5 - fine * camera.height / 2)) * unit


def own_place(solid: Solid, point: Vector) -> Vector:
    """A point in the solid's own frame."""
    x, y, z = own_direction(solid, (point[0] - solid.x, point[1] - solid.y, point[2] - solid.half))
    return x, y, z


def own_direction(solid: Solid, direction: Vector) -> Vector:
    """A direction in the solid's own frame, divided by its unit."""
    (c, s), h = solid.rotation, solid.half
    x, y, z = direction
    return (c * x + s * y) / h, (c * y - s * x) / h, z / h


def directions(camera: Camera, solid: Solid, around: Window) -> tuple[Floats, Floats, Floats]:
    """The rays of a window in the solid's own frame, (h, w) each; one step along a ray is a depth of 1."""
    u, v = slopes(camera, around)
    forward, right, down = (own_direction(solid, axis) for axis in (camera.forward, camera.right, camera.down))
    x, y, z = ((u * right[k] + forward[k]) + v * down[k] for k in range(3))
    return x, y, z


def hit(shape: str, start: Start, way: tuple[Floats, ...]) -> Floats:
    """How many steps `way` from `start` lead to the surface of a solid in its own frame; FAR for a miss.

    `start` (three numbers, or arrays like `way`) must lie outside the solid.
    """
    return {"sphere": _sphere, "cylinder": _cylinder, "cube": _cube}[shape](start, way)


def _sphere(start: Start, way: tuple[Floats, ...]) -> Floats:
    (ox, oy, oz), (dx, dy, dz) = start, way
    a = dx * dx + dy * dy + dz * dz
    b = ox * dx + oy * dy + oz * dz
    inside = b * b - a * (ox * ox + oy * oy + (oz * oz - 1.0))
    steps = (-b - np.sqrt(np.maximum(inside, 0.0))) / a
    return _or_far(steps, (inside >= 0.0) & (steps > 0.0))


def _cylinder(start: Start, way: tuple[Floats, ...]) -> Floats:
    (ox, oy, oz), (dx, dy, dz) = start, way
    a = dx * dx + dy * dy + 1e-12
    b = ox * dx + oy * dy
    inside = b * b - a * (ox * ox + (oy * oy - 1.0))
    root = np.sqrt(np.maximum(inside, 0.0))
    # Within the wall, and between the planes z = -1 and z = 1, from the later entry to the earlier exit.
    first, last = _between(oz, dz)
    steps = np.maximum((-b - root) / a, first)
    return _or_far(steps, (inside >= 0.0) & (steps <= np.minimum((root - b) / a, last)) & (steps > 0.0))


def _cube(start: Start, way: tuple[Floats, ...]) -> Floats:
    steps, leave = _between(start[0], way[0])
    for o, d in zip(start[1:], way[1:], strict=True):
        first, last = _between(o, d)
        np.maximum(steps, first, out=steps)
        np.minimum(leave, last, out=leave)
    return _or_far(steps, (steps <= leave) & (steps > 0.0))


def _between(start: float | Floats, way: Floats) -> tuple[Floats, Floats]:
    """Where a ray enters and leaves the space between the planes -1 and 1 of one axis."""
    way = way + (way == 0.0) * np.float32(1e-9)
    one, other = (1.0 - start) / way, (-1.0 - start) / way
    return np.minimum(one, other), np.maximum(one, other)


def _or_far(steps: Floats, met: NDArray[np.bool_]) -> Floats:
    # In arithmetic: choosing element by element costs NumPy twenty times as much.
    steps = np.minimum(np.maximum(steps, -FAR), FAR)
    steps *= met
    steps += ~met * np.float32(FAR)
    return steps
