"""Where a scene is seen from, and the two lights it is seen in."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

Vector = tuple[float, float, float]

FOCAL = 35 / 32  # CLEVR's lens: focal length over the width of the film
PLACE: Vector = (0.0, -9.9, 5.34)  # CLEVR's camera, with the ground turned so that it looks along y
TARGET: Vector = (0.0, -0.5, 0.3)
KEY: Vector = (-4.2, -3.6, 6.2)
FILL: Vector = (5.0, -2.2, 4.4)
CAMERA_JITTER = 0.5  # in each coordinate, as in CLEVR
LIGHT_JITTER = 1.0


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera for a picture of width x height pixels.

    place: where it stands. right, down, forward: unit vectors; `right` is horizontal. focal: in pixels. A point at
    depth 1 before the camera, u to the right and v down, is seen at (width / 2 + focal u, height / 2 + focal v) in
    pixels; pixel column i covers [i, i + 1].
    """

    width: int
    height: int
    focal: float
    place: Vector
    right: Vector
    down: Vector
    forward: Vector

    def relative(self, point: Vector) -> Vector:
        """A point as (to the right, down, depth) seen from the camera."""
        offset = (point[0] - self.place[0], point[1] - self.place[1], point[2] - self.place[2])
        return inner(offset, self.right), inner(offset, self.down), inner(offset, self.forward)

    def pixel(self, point: Vector) -> tuple[float, float]:
        """Where a point before the camera is seen: (x, y) in pixels, from the picture's upper left corner."""
        right, down, depth = self.relative(point)
        return self.width / 2 + self.focal * right / depth, self.height / 2 + self.focal * down / depth


@dataclass(frozen=True, slots=True)
class Light:
    """Light from far away, or from a lamp so large that its place does not matter. towards: unit vector to the lamp."""

    towards: Vector


@dataclass(frozen=True, slots=True)
class View:
    """A camera and the lights: the key light, which casts the shadows one sees first, and a fill light."""

    camera: Camera
    key: Light
    fill: Light


def inner(a: Vector, b: Vector) -> float:
    """The inner product, added from left to right."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def unit(a: Vector) -> Vector:
    """The vector of length 1 in the direction of `a`."""
    length = sqrt(inner(a, a))
    return a[0] / length, a[1] / length, a[2] / length


def look(width: int, height: int, place: Vector, target: Vector) -> Camera:
    """The camera at `place` that sees `target` in the middle of its picture, level."""
    forward = unit((target[0] - place[0], target[1] - place[1], target[2] - place[2]))
    right = unit((forward[1], -forward[0], 0.0))  # forward x up
    down = (
        forward[1] * right[2] - forward[2] * right[1],
        forward[2] * right[0] - forward[0] * right[2],
        forward[0] * right[1] - forward[1] * right[0],
    )
    # A wide picture is cut above and below, not further: the ground that holds the solids must stay in it.
    return Camera(width, height, FOCAL * min(width, 1.5 * height), place, right, down, forward)


def draw_view(width: int, height: int, rng: np.random.Generator) -> View:
    """A camera and two lights, each moved a little at random. The size is in pixels."""
    luck = rng.random(9).tolist()

    def near(place: Vector, first: int, jitter: float) -> Vector:
        a, b, c = (jitter * (2.0 * luck[first + k] - 1.0) for k in range(3))
        return place[0] + a, place[1] + b, place[2] + c

    camera = look(width, height, near(PLACE, 0, CAMERA_JITTER), TARGET)
    return View(
        camera,
        Light(unit(near(KEY, 3, LIGHT_JITTER))),
        Light(unit(near(FILL, 6, LIGHT_JITTER))),
    )
