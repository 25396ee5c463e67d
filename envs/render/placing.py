"""Finding room for objects of given radii in a picture."""

import numpy as np

TRIALS = 40  # places tried for one object before the scene is given up


def place(
    radii: list[int], colours: list[str], width: int, height: int, max_overlap: float, rng: np.random.Generator
) -> list[tuple[int, int]] | None:
    """Centres (x, y) in pixels for objects of these radii, wholly inside width x height, or None if no room was found.

    Two centres are at least (1 - max_overlap) x (r1 + r2) apart: with 0 the surrounding circles do not meet, with 0.5
    they may reach each other's half. Objects of the same colour never meet, as they would melt into one. The larger a
    scene's load, the more often None comes: draw again.
    """
    # Thousandths: distances are compared as whole numbers, so that the same scene is accepted everywhere.
    share = 1000 - round(1000 * max_overlap)
    placed: list[tuple[int, int, int, str]] = []
    for radius, colour in zip(radii, colours, strict=True):
        if 2 * radius > min(width, height):
            return None
        luck = rng.random(2 * TRIALS).tolist()
        for t in range(0, 2 * TRIALS, 2):
            x = radius + int(luck[t] * (width - 2 * radius + 1))
            y = radius + int(luck[t + 1] * (height - 2 * radius + 1))
            for a, b, other, its in placed:
                apart = (1000 if its == colour else share) * (radius + other)
                if 1_000_000 * ((x - a) ** 2 + (y - b) ** 2) < apart * apart:
                    break
            else:
                placed.append((x, y, radius, colour))
                break
        else:
            return None
    return [(x, y) for x, y, _, _ in placed]
