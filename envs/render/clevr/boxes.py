"""The exact box around a solid in the picture, from its geometry alone: nothing is drawn.

A pixel coordinate is x = centre + focal * u with u the slope to the right (or down). The extreme slopes of a convex
solid are those of the planes through the camera that touch it.
"""

from math import sqrt
from typing import NamedTuple

from .camera import Camera, Vector
from .solids import Solid


class Box(NamedTuple):
    """Left, top, right, bottom in pixels from the picture's upper left corner; not cut at the picture's rim."""

    left: float
    top: float
    right: float
    bottom: float

    def inside(self, width: float, height: float, rim: float = 0.0) -> bool:
        """Whether the box keeps `rim` pixels from every side of a picture of this size."""
        return self.left >= rim and self.top >= rim and self.right <= width - rim and self.bottom <= height - rim


def box(camera: Camera, solid: Solid) -> Box:
    """The smallest box that holds the whole solid, hidden parts included. The solid must lie before the camera."""
    if solid.shape == "sphere":
        across, along = _sphere(camera, solid)
    elif solid.shape == "cylinder":
        across, along = _cylinder(camera, solid)
    else:
        across, along = _cube(camera, solid)
    middle_x, middle_y, focal = camera.width / 2, camera.height / 2, camera.focal
    return Box(
        middle_x + focal * across[0],
        middle_y + focal * along[0],
        middle_x + focal * across[1],
        middle_y + focal * along[1],
    )


Slopes = tuple[float, float]  # least and greatest


def _sphere(camera: Camera, solid: Solid) -> tuple[Slopes, Slopes]:
    # The plane X = u Z touches the sphere: (X - u Z)^2 = r^2 (1 + u^2).
    right, down, depth = camera.relative((solid.x, solid.y, solid.half))
    square = solid.half * solid.half

    def slopes(side: float) -> Slopes:
        below = depth * depth - square
        root = solid.half * sqrt(side * side + below)
        return (side * depth - root) / below, (side * depth + root) / below

    return slopes(right), slopes(down)


def _cube(camera: Camera, solid: Solid) -> tuple[Slopes, Slopes]:
    seen = [camera.relative(corner) for corner in corners(solid)]
    across, along = [x / z for x, _, z in seen], [y / z for _, y, z in seen]
    return (min(across), max(across)), (min(along), max(along))


def corners(cube: Solid) -> list[Vector]:
    """The eight corners of a cube on the ground, the lower four first."""
    (c, s), h = cube.rotation, cube.half
    base = [(a * h, b * h) for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
    return [(cube.x + c * a - s * b, cube.y + s * a + c * b, z) for z in (0.0, 2 * h) for a, b in base]


def _cylinder(camera: Camera, solid: Solid) -> tuple[Slopes, Slopes]:
    # The hull of its two circles. Of a circle with centre C and horizontal axes, the plane X = u Z touches where
    # (C_X - u C_Z)^2 = r^2 ((a_X - u a_Z)^2 + (b_X - u b_Z)^2), a and b being the ground's axes seen from the camera.
    square = solid.radius * solid.radius
    first: Vector = (camera.right[0], camera.down[0], camera.forward[0])
    second: Vector = (camera.right[1], camera.down[1], camera.forward[1])
    ends: list[list[float]] = [[], []]
    for z in (0.0, 2 * solid.half):
        centre = camera.relative((solid.x, solid.y, z))
        for axis in (0, 1):
            a = centre[2] * centre[2] - square * (first[2] * first[2] + second[2] * second[2])
            b = centre[axis] * centre[2] - square * (first[axis] * first[2] + second[axis] * second[2])
            c = centre[axis] * centre[axis] - square * (first[axis] * first[axis] + second[axis] * second[axis])
            root = sqrt(max(b * b - a * c, 0.0))
            ends[axis] += [(b - root) / a, (b + root) / a]
    return (min(ends[0]), max(ends[0])), (min(ends[1]), max(ends[1]))


def ground_window(camera: Camera, points: list[tuple[float, float]]) -> tuple[int, int, int, int] | None:
    """The pixels (left, top, right, bottom) that hold the hull of some points of the ground; None if outside."""
    (ox, oy, oz), (rx, ry, _), down, forward = camera.place, camera.right, camera.down, camera.forward
    across, along = [], []
    for x, y in points:
        x, y = x - ox, y - oy
        depth = x * forward[0] + y * forward[1] - oz * forward[2]
        if depth < 0.1:  # beside or behind the camera: it may be seen anywhere
            return 0, 0, camera.width, camera.height
        across.append((x * rx + y * ry) / depth)
        along.append((x * down[0] + y * down[1] - oz * down[2]) / depth)
    middle_x, middle_y, focal = camera.width / 2, camera.height / 2, camera.focal
    around = Box(
        middle_x + focal * min(across),
        middle_y + focal * min(along),
        middle_x + focal * max(across),
        middle_y + focal * max(along),
    )
    return window(around, camera)


def window(around: Box, camera: Camera) -> tuple[int, int, int, int] | None:
    """The whole pixels (left, top, right, bottom) that a box touches, cut at the picture's rim; None if outside."""
    left, top = max(int(around.left) - 1, 0), max(int(around.top) - 1, 0)
    right, bottom = min(int(around.right) + 2, camera.width), min(int(around.bottom) + 2, camera.height)
    return (left, top, right, bottom) if left < right and top < bottom else None
