"""Finding room on the ground for solids of given looks."""

from collections.abc import Sequence

import numpy as np

from .boxes import box
from .camera import Camera
from .solids import RADII, Solid

TRIALS = 50  # places tried for one solid before the scene is given up, as in CLEVR
LEFT, NEAR, RIGHT, FAR = -3.25, -4.0, 3.25, 3.25  # where centres may lie, as far as the picture reaches
STEPS = 1024  # places are whole multiples of 1 / STEPS
RIM = 2.0  # pixels between any solid and the picture's rim


def arrange(
    looks: Sequence[tuple[str, str, str, str]],
    camera: Camera,
    rng: np.random.Generator,
    *,
    gap: float = 0.25,
    margin: float = 0.0,
) -> tuple[Solid, ...] | None:
    """Solids of these looks (size, colour, material, shape), wholly in the picture, or None if no room was found.

    gap: the least distance on the ground between the circles that hold two solids: nothing intersects.
    margin: the least distance of two centres to the right and, separately, away from the camera, so that "left of" and
    "behind" are never in doubt (CLEVR asks for 0.4).
    """
    placed: list[Solid] = []
    right, away = (camera.right[0], camera.right[1]), (-camera.right[1], camera.right[0])
    for size, colour, material, shape in looks:
        radius = RADII[size]
        luck = rng.random(2 * TRIALS + 1).tolist()
        turn = int(luck.pop() * STEPS) / STEPS if shape == "cube" else 0.0
        for trial in range(0, 2 * TRIALS, 2):
            x = LEFT + int(luck[trial] * (RIGHT - LEFT) * STEPS) / STEPS
            y = NEAR + int(luck[trial + 1] * (FAR - NEAR) * STEPS) / STEPS
            for other in placed:
                dx, dy = x - other.x, y - other.y
                least = radius + other.radius + gap
                if dx * dx + dy * dy < least * least:
                    break
                if margin and min(abs(dx * right[0] + dy * right[1]), abs(dx * away[0] + dy * away[1])) < margin:
                    break
            else:
                solid = Solid(shape, colour, material, size, x, y, turn)
                if box(camera, solid).inside(camera.width, camera.height, RIM):
                    placed.append(solid)
                    break
        else:
            return None
    return tuple(placed)
