"""A map: a coast, a river, towns with their names, one of them marked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .panel import INK, Colour, Panel, Point, fitting_height
from .shapes import FINE

LAND: Colour = (236, 232, 214)
WATER: Colour = (150, 196, 226)
ROAD: Colour = (205, 190, 160)
MARK: Colour = (220, 30, 30)


def draw_map(
    width: int,
    height: int,
    names: Sequence[str],
    places: Sequence[Point],
    marked: int,
    river: Sequence[Point],
    coast: int,
) -> Panel:
    """Towns at `places` (pixels), each with its name below; number `marked` in a red ring with a red arrow to it.

    river: its course, in pixels. coast: how many pixels on the right are sea.
    """
    panel = Panel(width, height, LAND)
    dot = max(min(width, height) // 60, 3)
    scaled = [(x * FINE, y * FINE) for x, y in river]
    for start, end in pairwise(scaled):
        panel.line(start, end, dot * FINE * 2 // 3, WATER)
    panel.box((width - coast) * FINE, 0, width * FINE, height * FINE, WATER)
    for one, other in pairwise(places):
        panel.line((one[0] * FINE, one[1] * FINE), (other[0] * FINE, other[1] * FINE), max(dot * FINE // 4, 2), ROAD)
    letters = max(min(width, height) // 26, 7)
    for k, (name, (x, y)) in enumerate(zip(names, places, strict=True)):
        panel.disc(x * FINE, y * FINE, dot * FINE, INK)
        panel.text(x, y + 2 * dot + letters, name, fitting_height(name, width * 9 // 20, letters))
        if k == marked:
            for radius, colour in ((3 * dot, MARK), (9 * dot // 4, LAND), (dot, INK)):
                panel.disc(x * FINE, y * FINE, radius * FINE, colour)
            tip, tail = (x * FINE, (y - 7 * dot // 2) * FINE), (x * FINE, (y - 8 * dot) * FINE)
            panel.line(tail, (tip[0], tip[1] - dot * FINE), dot * FINE // 2, MARK)
            wing = 3 * dot * FINE // 2
            panel.polygon([tip, (tip[0] - wing, tip[1] - 2 * wing), (tip[0] + wing, tip[1] - 2 * wing)], MARK)
    return panel
