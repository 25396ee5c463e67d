"""Sketches for very small models: shapes on six by five cells, not to scale, in any of four mirrorings.

Every sketch is one shape with lines and with the places that its labels should be near. Only shapes carry the meaning:
which numbers belong to which figure, and where the unknown is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..render.diagram_cells import Sketch
from .family import Case

COLUMNS, ROWS, CELL = 6, 5, 14
WIDTH, HEIGHT = COLUMNS * CELL, ROWS * CELL

Point = tuple[int, int]
Shape = tuple[list[tuple[Point, Point]], list[tuple[str, Point]]]


def sketch(name: str, case: Case, rng: np.random.Generator) -> Sketch:
    """A sketch of a family that TINY names, with these numbers."""
    lines, labels = TINY[name](case, iter(rng.integers(0, 1 << 30, size=24).tolist()).__next__)
    flip_x, flip_y = rng.integers(2, size=2).tolist()

    def turn(p: Point) -> Point:
        return (WIDTH - 1 - p[0] if flip_x else p[0], HEIGHT - 1 - p[1] if flip_y else p[1])

    return Sketch(tuple((*turn(a), *turn(b)) for a, b in lines), tuple((text, *turn(place)) for text, place in labels))


Luck = Callable[[], int]


def _between(luck: Luck, low: int, high: int) -> int:
    return low + luck() % (high - low + 1)


def _toward(a: Point, b: Point, part: int) -> Point:
    """The point `part` percent of the way from a to b."""
    return (a[0] + (b[0] - a[0]) * part // 100, a[1] + (b[1] - a[1]) * part // 100)


def _mid(*points: Point) -> Point:
    return (sum(x for x, _ in points) // len(points), sum(y for _, y in points) // len(points))


def _triangle(luck: Luck) -> tuple[Point, Point, Point]:
    return (
        (_between(luck, 2, 10), _between(luck, 56, 67)),
        (_between(luck, 72, 81), _between(luck, 56, 67)),
        (_between(luck, 20, 64), _between(luck, 2, 8)),
    )


def _third_angle(case: Case, luck: Luck) -> Shape:
    a, b, c = _triangle(luck)
    middle = _mid(a, b, c)
    corners = [a, b, c]
    first = luck() % 3
    corners = corners[first:] + corners[:first]
    texts = (str(case[0]), str(case[1]), "x")
    return [(a, b), (b, c), (c, a)], [
        (text, _toward(corner, middle, 48)) for text, corner in zip(texts, corners, strict=True)
    ]


def _exterior_angle(case: Case, luck: Luck) -> Shape:
    a, b = (_between(luck, 2, 5), _between(luck, 58, 67)), (_between(luck, 52, 57), 0)
    b = (b[0], a[1])
    c, d = (_between(luck, 12, 46), _between(luck, 2, 6)), (82, a[1])
    middle = _mid(a, b, c)
    return [(a, d), (b, c), (c, a)], [
        (str(case[0]), _toward(a, middle, 55)),
        (str(case[1]), _toward(c, middle, 48)),
        ("x", (b[0] + 13, a[1] - 9)),
    ]


def _triangle_sides(case: Case, luck: Luck) -> Shape:
    a, b, c = (
        (10 + luck() % 6, 52 + luck() % 4),
        (68 + luck() % 6, 52 + luck() % 4),
        (22 + luck() % 40, 4 + luck() % 10),
    )
    middle = _mid(a, b, c)
    sides = [(a, b), (b, c), (c, a)]
    return sides, [(str(n), _toward(middle, _mid(*side), 150)) for n, side in zip(case, sides, strict=True)]


def _legs(case: Case, luck: Luck) -> Shape:
    corner = (_between(luck, 15, 28), _between(luck, 46, 54))
    right, top = (_between(luck, 56, 80), corner[1]), (corner[0], _between(luck, 2, 12))
    return [(corner, right), (corner, top), (top, right)], [
        (str(case[0]), (_mid(corner, right)[0], corner[1] + 9)),
        (str(case[1]), (corner[0] - 9, _mid(corner, top)[1])),
    ]


def _rectangle(case: Case, luck: Luck) -> Shape:
    left, bottom = _between(luck, 15, 30), _between(luck, 40, 54)
    right, top = _between(luck, left + 28, 81), _between(luck, 2, bottom - 26)
    a, b, c, d = (left, bottom), (right, bottom), (right, top), (left, top)
    return [(a, b), (b, c), (c, d), (d, a)], [
        (str(case[0]), (_mid(a, b)[0], bottom + 9)),
        (str(case[1]), (left - 9, _mid(a, d)[1])),
    ]


def _on_a_line(case: Case, luck: Luck) -> Shape:
    y = _between(luck, 56, 66)
    foot, tip = (_between(luck, 36, 48), y), (_between(luck, 16, 68), _between(luck, 4, 20))
    return [((2, y), (82, y)), (foot, tip)], [
        (str(case[0]), ((foot[0] - 22), y - 16)),
        ("x", (foot[0] + 22, y - 16)),
    ]


def _in_a_corner(case: Case, luck: Luck) -> Shape:
    corner = (_between(luck, 2, 12), _between(luck, 58, 67))
    tip = (_between(luck, 52, 72), _between(luck, 6, 22))
    return [(corner, (82, corner[1])), (corner, (corner[0], 2)), (corner, tip)], [
        (str(case[0]), (corner[0] + 50, corner[1] - 12)),
        ("x", (corner[0] + 16, corner[1] - 36)),
    ]


def _parallels(case: Case, luck: Luck) -> Shape:
    top, bottom = _between(luck, 4, 12), _between(luck, 58, 66)
    p, q = (_between(luck, 22, 44), top), (_between(luck, 22, 44), bottom)
    return [((1, top), (82, top)), ((1, bottom), (82, bottom)), (p, q)], [
        (str(case[0]), (p[0] + 20, top + 10)),
        ("x", (q[0] + 12, bottom - 10)),
    ]


def _two_triangles(case: Case, luck: Luck) -> Shape:
    bottom = _between(luck, 50, 55)
    a, b, c = (15, bottom), (_between(luck, 34, 40), bottom), (15, bottom - _between(luck, 18, 24))
    d, e, f = (58, bottom), (82, bottom), (58, _between(luck, 2, 8))
    return [(a, b), (b, c), (c, a), (d, e), (e, f), (f, d)], [
        (str(case[0]), (_mid(a, b)[0], bottom + 9)),
        (str(case[1]), (a[0] - 9, _mid(a, c)[1])),
        (str(case[2]), (_mid(d, e)[0], bottom + 9)),
        ("x", (d[0] - 9, _mid(d, f)[1])),
    ]


# Regular polygons around (0, 0), 100 units to a corner, seen from a side that is flat at the bottom.
_REGULAR = {
    3: ((-87, 50), (87, 50), (0, -100)),
    4: ((-71, 71), (71, 71), (71, -71), (-71, -71)),
    5: ((-59, 81), (59, 81), (95, -31), (0, -100), (-95, -31)),
    6: ((-50, 87), (50, 87), (100, 0), (50, -87), (-50, -87), (-100, 0)),
    8: ((-38, 92), (38, 92), (92, 38), (92, -38), (38, -92), (-38, -92), (-92, -38), (-92, 38)),
}


def _regular(case: Case, luck: Luck) -> Shape:
    n, a = case
    radius = 27 + luck() % 4
    x, y = _between(luck, radius + 1, 82 - radius), 28 + luck() % 3
    corners = [(x + radius * u // 100, y + radius * v // 100) for u, v in _REGULAR[n]]
    return list(zip(corners, corners[1:] + corners[:1], strict=True)), [(str(a), (x, corners[0][1] + 9))]


# What can be drawn on so few cells: families whose numbers are short and whose figure tells them apart.
TINY: dict[str, Callable[[Case, Luck], Shape]] = {
    "third_angle": _third_angle,
    "linear_pair": _on_a_line,
    "right_angle_split": _in_a_corner,
    "co_interior": _parallels,
    "exterior_angle": _exterior_angle,
    "rectangle_perimeter": _rectangle,
    "triangle_perimeter": _triangle_sides,
    "regular_perimeter": _regular,
    "rectangle_area": _rectangle,
    "right_triangle_area": _legs,
    "similar_sides": _two_triangles,
}
