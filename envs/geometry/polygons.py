"""Polygons: rectangles, parallelograms, trapezoids, rhombuses, regular polygons."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..render.diagram import Diagram, Mark
from .directions import direction, polar
from .family import Case, Family, Figure, Limits, angles, fair, lengths, luck
from .values import Value, rational, root_of

FOUR = (("A", "B"), ("B", "C"), ("C", "D"), ("D", "A"))
ABCD = ("A", "B", "C", "D")
OPPOSITE = (Mark("right", ("D", "A", "B")), Mark("right", ("B", "C", "D")))


class RectanglePerimeter(Family):
    """Two sides of a rectangle are given, its perimeter is asked for."""

    topic, asks = "polygons", "perimeter"
    symmetric = True
    wordings = ("What is the perimeter of rectangle {A}{B}{C}{D}?", "Find the perimeter of the rectangle.")
    work = "2*({}+{})"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.lengths():
            yield from ((a, b) for b in limits.lengths() if a != b and fair(a, b))

    def answer(self, *case: int) -> Value:
        return rational(2 * sum(case))

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        a, b = case
        points = {"A": (0, 0), "B": (a, 0), "C": (a, b), "D": (0, b)}
        labels = lengths((a, ("A", "B")), (b, ("B", "C")))
        return Figure(Diagram(points, FOUR, labels=labels, marks=OPPOSITE), ABCD)


class RectangleArea(RectanglePerimeter):
    """Two sides of a rectangle are given, its area is asked for."""

    asks = "area"
    wordings = ("What is the area of rectangle {A}{B}{C}{D}?", "Find the area of the rectangle.")
    work = "{}*{}"

    def answer(self, *case: int) -> Value:
        return rational(case[0] * case[1])


class RectangleDiagonal(RectanglePerimeter):
    """Two sides of a rectangle are given, its diagonal is asked for."""

    asks = "length"
    steps = 2
    wordings = ("{A}{B}{C}{D} is a rectangle. Find x.", "How long is the diagonal {A}{C} of the rectangle?")
    work = "sqrt({}^2+{}^2)"

    def answer(self, *case: int) -> Value:
        return root_of(case[0] ** 2 + case[1] ** 2)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        whole = super().figure(case, rng).diagram
        diagram = Diagram(
            whole.points, (*FOUR, ("A", "C")), labels=whole.labels, marks=(Mark("right", ("A", "B", "C")),)
        )
        return Figure(diagram, ABCD, ("segment", ("A", "C")))


class RegularPerimeter(Family):
    """One side of a regular polygon is given, its perimeter is asked for."""

    topic, asks = "polygons", "perimeter"
    wordings = ("The polygon is regular. What is its perimeter?", "Find the perimeter of the regular polygon.")
    work = "{}*{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for n in (3, 4, 5, 6, 8):
            yield from ((n, a) for a in limits.lengths())

    def answer(self, *case: int) -> Value:
        return rational(case[0] * case[1])

    def printed(self, *case: int) -> tuple[str, ...]:
        return (str(case[1]),)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        diagram, names = regular(case[0])
        sides, marks = diagram.segments, tuple(Mark("ticks", side) for side in diagram.segments)
        return Figure(Diagram(diagram.points, sides, labels=lengths((case[1], sides[0])), marks=marks), names)


def regular(n: int) -> tuple[Diagram, tuple[str, ...]]:
    """A regular polygon of n sides (n divides 360) and the names of its corners, counterclockwise."""
    names = tuple("ABCDEFGHJKLM"[:n])
    points = {name: polar((0, 0), 1, 360 * k // n) for k, name in enumerate(names)}
    return Diagram(points, tuple(zip(names, names[1:] + names[:1], strict=True))), names


class RegularAngle(Family):
    """An interior angle of a regular polygon is asked for; nothing but its shape is given."""

    topic, asks, steps = "polygons", "angle", 3
    wordings = ("The polygon is regular. Find x.", "All sides and angles of the polygon are equal. Find x.")
    work = "180*({0}-2)/{0}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((n,) for n in (5, 6, 8, 9, 10, 12))

    def answer(self, *case: int) -> Value:
        return rational(180 * (case[0] - 2), case[0])

    def printed(self, *case: int) -> tuple[str, ...]:
        return ()

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        diagram, names = regular(case[0])
        corner = luck(rng, 0, case[0] - 1)
        around = [names[(corner + k) % case[0]] for k in (-1, 0, 1)]
        return Figure(diagram, (), ("angle", tuple(around)))


class QuadrilateralAngle(Family):
    """Three angles of a quadrilateral are given, the fourth is asked for."""

    topic, asks, steps = "polygons", "angle", 2
    symmetric = True
    wordings = ("Find x.", "What is the measure of angle {A}{D}{C}?")
    work = "360-{}-{}-{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.angles(60, 125, few=True):
            for b in limits.angles(60, 125, few=True):
                yield from ((a, b, c) for c in limits.angles(max(60, 235 - a - b), min(125, 300 - a - b)))

    def answer(self, *case: int) -> Value:
        return rational(360 - sum(case))

    def figure(self, case: Case, rng: np.random.Generator) -> Figure | None:
        a, b, c = case
        (ux, uy), (vx, vy), (wx, wy) = direction(a), direction(180 - b), direction(360 - b - c)
        side = luck(rng, 55, 110) / 100
        cx, cy = 1 + side * vx, side * vy
        # D is where the ray from A meets the line from C: A + s u = C + t w.
        turn = ux * wy - uy * wx
        if abs(turn) < 0.2:
            return None
        s, t = (cx * wy - cy * wx) / turn, (cx * uy - cy * ux) / turn
        if not (0.4 < s < 1.5 and 0.4 < t < 1.5):
            return None
        points = {"A": (0.0, 0.0), "B": (1.0, 0.0), "C": (cx, cy), "D": (s * ux, s * uy)}
        labels = angles((a, ("D", "A", "B")), (b, ("A", "B", "C")), (c, ("B", "C", "D")))
        return Figure(Diagram(points, FOUR, labels=labels), ABCD, ("angle", ("C", "D", "A")))


class ParallelogramAngle(Family):
    """One angle of a parallelogram is given, the one beside it is asked for."""

    topic, asks = "polygons", "angle"
    wordings = ("{A}{B}{C}{D} is a parallelogram. Find x.", "{A}{B}{C}{D} is a parallelogram. Find angle {A}{B}{C}.")
    work = "180-{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((a,) for a in limits.angles(40, 140) if a != 90)

    def answer(self, *case: int) -> Value:
        return rational(180 - case[0])

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        x, y = polar((0, 0), luck(rng, 60, 100) / 100, case[0])
        points = {"A": (0.0, 0.0), "B": (1.3, 0.0), "C": (1.3 + x, y), "D": (x, y)}
        diagram = Diagram(points, FOUR, labels=angles((case[0], ("D", "A", "B"))))
        return Figure(diagram, ABCD, ("angle", ("A", "B", "C")))


class ParallelogramArea(Family):
    """A side of a parallelogram and the height on it are given, the area is asked for."""

    topic, asks = "polygons", "area"
    symmetric = True
    wordings = ("{A}{B}{C}{D} is a parallelogram. What is its area?", "Find the area of the parallelogram.")
    work = "{}*{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for b in limits.lengths(3):
            yield from ((b, h) for h in limits.lengths() if b != h and fair(b, h, ratio=3))

    def answer(self, *case: int) -> Value:
        return rational(case[0] * case[1])

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        b, h = case
        lean = b * luck(rng, 20, 55) / 100
        points = {"A": (0, 0), "B": (b, 0), "C": (b + lean, h), "D": (lean, h), "H": (lean, 0)}
        labels = lengths((b, ("A", "B")), (h, ("D", "H")))
        marks = (Mark("right", ("B", "H", "D")),)
        return Figure(Diagram(points, FOUR, labels=labels, marks=marks, dashed=(("D", "H"),)), ABCD)


class TrapezoidArea(Family):
    """Both parallel sides of a trapezoid and its height are given, the area is asked for."""

    topic, asks, steps = "polygons", "area", 2
    wordings = ("{A}{B} and {D}{C} are parallel. What is the area of {A}{B}{C}{D}?", "Find the area of the trapezoid.")
    work = "({0}+{1})*{2}/2"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.lengths(4, few=True):
            for b in limits.lengths(few=True):
                if 10 * b <= 8 * a <= 32 * b:
                    yield from (
                        (a, b, h) for h in limits.lengths(few=True) if (a + b) * h % 2 == 0 and 2 * a >= h >= a / 3
                    )

    def answer(self, *case: int) -> Value:
        a, b, h = case
        return rational((a + b) * h, 2)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        a, b, h = case
        left = (a - b) * luck(rng, 20, 80) / 100
        points = {"A": (0, 0), "B": (a, 0), "C": (left + b, h), "D": (left, h), "H": (left, 0)}
        labels = lengths((a, ("A", "B")), (b, ("D", "C")), (h, ("D", "H")))
        marks = (Mark("right", ("B", "H", "D")),)
        return Figure(Diagram(points, FOUR, labels=labels, marks=marks, dashed=(("D", "H"),)), ABCD)


class TrapezoidMidsegment(Family):
    """Both parallel sides of a trapezoid are given, the segment between the middles of the legs is asked for."""

    topic, asks, steps = "polygons", "length", 2
    symmetric = True
    wordings = ("{A}{B} is parallel to {D}{C}, and equal marks show equal lengths. Find x.",)
    work = "({}+{})/2"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.lengths(4):
            yield from ((a, b) for b in limits.lengths() if 10 * b <= 8 * a <= 32 * b)

    def answer(self, *case: int) -> Value:
        return rational(sum(case), 2)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        a, b = max(case), min(case)
        h, left = a * luck(rng, 50, 80) / 100, (a - b) * luck(rng, 20, 80) / 100
        points = {"A": (0, 0), "B": (a, 0), "C": (left + b, h), "D": (left, h)}
        points |= {"M": (left / 2, h / 2), "N": ((a + left + b) / 2, h / 2)}
        lines = (("A", "B"), ("B", "N"), ("N", "C"), ("C", "D"), ("D", "M"), ("M", "A"), ("M", "N"))
        single = (Mark("ticks", ("A", "M")), Mark("ticks", ("D", "M")))
        marks = (*single, Mark("ticks", ("B", "N"), 2), Mark("ticks", ("C", "N"), 2))
        diagram = Diagram(points, lines, labels=lengths((a, ("A", "B")), (b, ("D", "C"))), marks=marks)
        return Figure(diagram, ABCD, ("segment", ("M", "N")))


class RhombusArea(Family):
    """Half of each diagonal of a rhombus is given, its area is asked for."""

    topic, asks, steps = "polygons", "area", 2
    symmetric = True
    wordings = ("{A}{B}{C}{D} is a rhombus. What is its area?", "Find the area of the rhombus.")
    work = "2*{}*{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for p in limits.lengths():
            yield from ((p, q) for q in limits.lengths() if p != q and fair(p, q, ratio=3))

    def answer(self, *case: int) -> Value:
        return rational(2 * case[0] * case[1])

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        p, q = case
        points = {"E": (0, 0), "A": (-p, 0), "B": (0, -q), "C": (p, 0), "D": (0, q)}
        lines = (*FOUR, ("A", "E"), ("E", "C"), ("B", "E"), ("E", "D"))
        labels = lengths((p, ("E", "C")), (q, ("E", "D")))
        return Figure(Diagram(points, lines, labels=labels), ABCD)


class RhombusSide(RhombusArea):
    """Half of each diagonal of a rhombus is given, its side is asked for."""

    asks = "length"
    wordings = ("{A}{B}{C}{D} is a rhombus. Find x.", "{A}{B}{C}{D} is a rhombus. How long is its side {A}{B}?")
    work = "sqrt({}^2+{}^2)"

    def answer(self, *case: int) -> Value:
        return root_of(case[0] ** 2 + case[1] ** 2)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        whole = super().figure(case, rng)
        return Figure(whole.diagram, whole.lettered, ("segment", ("A", "B")))
