"""What stands on the ground: cubes, spheres and cylinders.

Lengths are those of CLEVR: a large sphere has radius 0.7, a small one 0.35, objects stand on the plane z = 0 around the
origin. x points to the right of the picture, y away from the camera, z up.

A solid's own frame has its origin at the solid's centre and its `half` as unit: there the sphere is
x^2 + y^2 + z^2 <= 1, the cylinder x^2 + y^2 <= 1 with |z| <= 1, the cube |x|, |y|, |z| <= 1.
"""

from dataclasses import dataclass

SHAPES = ("cube", "sphere", "cylinder")
MATERIALS = ("rubber", "metal")
SIZES = ("large", "small")
# The share of red, green and blue light that each colour reflects.
PAINTS: dict[str, tuple[float, float, float]] = {
    "gray": (0.15, 0.15, 0.15),
    "red": (0.48, 0.025, 0.025),
    "blue": (0.03, 0.085, 0.62),
    "green": (0.02, 0.19, 0.02),
    "brown": (0.25, 0.09, 0.025),
    "purple": (0.25, 0.03, 0.46),
    "cyan": (0.02, 0.52, 0.52),
    "yellow": (0.85, 0.66, 0.03),
}
COLOURS = tuple(PAINTS)

RADII = {"large": 0.7, "small": 0.35}
CUBE = 0.7071067811865476  # half the side of a cube whose base has the circumradius 1


@dataclass(frozen=True, slots=True)
class Solid:
    """One object: its names, its place on the ground (x to the right, y away) and its turn about the vertical.

    turn: t in [0, 1) stands for the angle whose cosine is (1 - t^2) / (1 + t^2) and whose sine is 2t / (1 + t^2), from
    0 to 90 degrees. Only cubes use it: the others look the same from all sides, so that theirs is 0.
    """

    shape: str
    colour: str
    material: str
    size: str
    x: float
    y: float
    turn: float = 0.0

    @property
    def radius(self) -> float:
        """The circle on the ground that holds the solid."""
        return RADII[self.size]

    @property
    def half(self) -> float:
        """Half the height, and the unit of the solid's own frame: its centre is at z = half."""
        return RADII[self.size] * CUBE if self.shape == "cube" else RADII[self.size]

    @property
    def rotation(self) -> tuple[float, float]:
        """Cosine and sine of the turn."""
        square = self.turn * self.turn
        return (1.0 - square) / (1.0 + square), 2.0 * self.turn / (1.0 + square)
