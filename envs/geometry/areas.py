"""Areas put together from parts, or cut out of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..render.diagram import Arc, Circle, Diagram, Fill, Mark
from .family import Case, Family, Figure, Limits, fair, lengths, luck
from .values import Value, rational, times_pi

L_SHAPE = (("A", "B"), ("B", "C"), ("C", "D"), ("D", "E"), ("E", "F"), ("F", "A"))


class LShapeArea(Family):
    """A rectangle with a rectangular corner cut out: its four outer lengths are given, its area is asked for."""

    topic, asks, steps = "areas", "area", 3
    wordings = ("All angles are right angles. What is the area of the figure?", "Find the area of the L-shaped figure.")
    work = "{0}*{1}-{2}*{3}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for w in limits.lengths(5, few=True):
            for h in limits.lengths(5, few=True):
                if fair(w, h, ratio=2):
                    for u in limits.lengths(few=True):
                        yield from (
                            (w, h, u, v)
                            for v in limits.lengths(few=True)
                            if 7 * w >= 10 * u >= 3 * w and 7 * h >= 10 * v >= 3 * h
                        )

    def answer(self, *case: int) -> Value:
        w, h, u, v = case
        return rational(w * h - u * v)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        w, h, u, v = case
        points = {"A": (0, 0), "B": (w, 0), "C": (w, h - v), "D": (w - u, h - v), "E": (w - u, h), "F": (0, h)}
        labels = lengths((w, ("A", "B")), (h, ("F", "A")), (u, ("C", "D")), (v, ("D", "E")))
        return Figure(Diagram(points, L_SHAPE, labels=labels), ())


class LShapePerimeter(LShapeArea):
    """A rectangle with a rectangular corner cut out: its outer lengths are given, its perimeter is asked for."""

    asks = "perimeter"
    wordings = (
        "All angles are right angles. What is the perimeter of the figure?",
        "Find the perimeter of the L-shaped figure.",
    )
    work = "2*({0}+{1})"

    def answer(self, *case: int) -> Value:
        w, h, _, _ = case
        return rational(2 * (w + h))


class FrameArea(Family):
    """A rectangle with a rectangular hole; the area of the shaded rest is asked for."""

    topic, asks, steps = "areas", "area", 2
    wordings = ("What is the area of the shaded region?", "Find the shaded area between the two rectangles.")
    work = "{0}*{1}-{2}*{3}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for w in limits.lengths(6, few=True):
            for h in limits.lengths(6, few=True):
                if fair(w, h, ratio=2):
                    for u in limits.lengths(few=True):
                        yield from (
                            (w, h, u, v)
                            for v in limits.lengths(few=True)
                            if 6 * w >= 10 * u >= 3 * w and 6 * h >= 10 * v >= 3 * h
                        )

    def answer(self, *case: int) -> Value:
        w, h, u, v = case
        return rational(w * h - u * v)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        w, h, u, v = case
        x, y = (w - u) * luck(rng, 40, 60) / 100, (h - v) * luck(rng, 40, 60) / 100
        points = {"A": (0, 0), "B": (w, 0), "C": (w, h), "D": (0, h)}
        inside = {"E": (x, y), "F": (x + u, y), "G": (x + u, y + v), "H": (x, y + v)}
        outer, inner = "ABCD", "EFGH"
        lines = tuple((s[k], s[(k + 1) % 4]) for s in (outer, inner) for k in range(4))
        labels = lengths((w, ("A", "B")), (h, ("B", "C")), (u, ("G", "H")), (v, ("H", "E")))
        fills = (Fill(tuple(outer), holes=(Fill(tuple(inner)),)),)
        return Figure(Diagram(points | inside, lines, labels=labels, fills=fills), ())


class TriangleInRectangle(Family):
    """A triangle over a whole side of a rectangle reaches the opposite side; its shaded area is asked for."""

    topic, asks, steps = "areas", "area", 2
    symmetric = True
    wordings = ("{A}{B}{C}{D} is a rectangle. What is the area of the shaded triangle?", "Find the shaded area.")
    work = "{}*{}/2"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for w in limits.lengths(3):
            yield from ((w, h) for h in limits.lengths(3) if fair(w, h, ratio=2.5))

    def answer(self, *case: int) -> Value:
        return rational(case[0] * case[1], 2)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        w, h = case
        points = {"A": (0, 0), "B": (w, 0), "C": (w, h), "D": (0, h), "E": (w * luck(rng, 15, 85) / 100, h)}
        lines = (("A", "B"), ("B", "C"), ("C", "D"), ("D", "A"), ("A", "E"), ("E", "B"))
        labels = lengths((w, ("A", "B")), (h, ("B", "C")))
        return Figure(Diagram(points, lines, labels=labels, fills=(Fill(("A", "B", "E")),)), ("A", "B", "C", "D", "E"))


class RingArea(Family):
    """The radii of two circles around one center are given, the shaded area between them is asked for."""

    topic, asks, steps = "areas", "area", 2
    wordings = (
        "Both circles have the center {O}. What is the shaded area, in terms of pi?",
        "Find the area of the ring.",
    )
    work = "pi*({0}^2-{1}^2)"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for r in limits.lengths(3):
            yield from ((r, s) for s in limits.lengths() if 3 * r <= 10 * s <= 7 * r)

    def answer(self, *case: int) -> Value:
        r, s = case
        return times_pi(r * r - s * s)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        r, s = case
        points = {"O": (0.0, 0.0), "A": (float(r), 0.0), "B": (-s * 3 / 5, s * 4 / 5)}
        fills = (Fill(circle=Circle("O", r), holes=(Fill(circle=Circle("O", s)),)),)
        diagram = Diagram(
            points,
            (("O", "A"), ("O", "B")),
            (Circle("O", r), Circle("O", s)),
            labels=lengths((r, ("O", "A")), (s, ("O", "B"))),
            marks=(Mark("dot", ("O",)),),
            fills=fills,
        )
        return Figure(diagram, ("A", "B", "O"))


class QuarterCircle(Family):
    """A quarter of a circle in a square; its shaded area is asked for, in terms of pi."""

    topic, asks, steps = "areas", "area", 2
    wordings = (
        "{A}{B}{C}{D} is a square. What is the area of the shaded quarter circle, in terms of pi?",
        "Find the area of the shaded quarter circle.",
    )
    work = "pi*{0}^2/4"

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((r,) for r in limits.lengths())

    def answer(self, *case: int) -> Value:
        return times_pi(case[0] ** 2, 4)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        points = {"A": (0, 0), "B": (1, 0), "C": (1, 1), "D": (0, 1)}
        lines = (("A", "B"), ("B", "C"), ("C", "D"), ("D", "A"))
        fills = (Fill(("A", "B", "C", "D"), Circle("A", 1)),)
        diagram = Diagram(points, lines, arcs=(Arc("A", "B", "D"),), labels=lengths((case[0], ("A", "B"))), fills=fills)
        return Figure(diagram, ("A", "B", "C", "D"))


class HouseArea(Family):
    """A rectangle with an isosceles triangle on top: width, wall and roof height are given, the area is asked for."""

    topic, asks, steps = "areas", "area", 3
    wordings = (
        "A triangle stands on a rectangle. What is the area of the whole figure?",
        "Find the area of the figure.",
    )
    work = "{0}*{1}+{0}*{2}/2"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for w in limits.lengths(4, few=True):
            for h in limits.lengths(3, few=True):
                if fair(w, h, ratio=1.8):
                    yield from ((w, h, k) for k in limits.lengths(few=True) if w * k % 2 == 0 and w <= 4 * k <= 3 * w)

    def answer(self, *case: int) -> Value:
        w, h, k = case
        return rational(2 * w * h + w * k, 2)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        w, h, k = case
        points = {"A": (0, 0), "B": (w, 0), "C": (w, h), "D": (w / 2, h + k), "E": (0, h), "H": (w / 2, h)}
        lines = (("A", "B"), ("B", "C"), ("C", "D"), ("D", "E"), ("E", "A"), ("E", "H"), ("H", "C"))
        labels = lengths((w, ("A", "B")), (h, ("B", "C")), (k, ("D", "H")))
        marks = (Mark("right", ("C", "H", "D")), Mark("right", ("B", "A", "E")))
        return Figure(Diagram(points, lines, labels=labels, marks=marks, dashed=(("D", "H"),)), ())
