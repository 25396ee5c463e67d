"""Similar figures: sides and areas in proportion."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np

from ..render.diagram import Diagram, Label, Mark
from .family import Case, Family, Figure, Limits, fair, lengths, luck
from .values import Value, rational

TWO = (("A", "B"), ("B", "C"), ("C", "A"), ("D", "E"), ("E", "F"), ("F", "D"))
Points = dict[str, tuple[float, float]]

# Directions on a circle with rational coordinates, from flat to steep.
_OPENINGS = ((4 / 5, 3 / 5), (3 / 5, 4 / 5), (5 / 13, 12 / 13), (8 / 17, 15 / 17))


def side_by_side(first: Points, factor: float) -> Points:
    """A triangle ABC with its base AB on the x axis, and DEF beside it, `factor` times as large."""
    left = min(x for x, _ in first.values())
    gap = (max(x for x, _ in first.values()) - left) * (1 + factor) * 0.3
    shift = max(x for x, _ in first.values()) + gap - left * factor
    second = {name: (x * factor + shift, y * factor) for name, (x, y) in zip("DEF", first.values(), strict=True)}
    return first | second


class SimilarRightTriangles(Family):
    """Two similar right triangles: both legs of one and a leg of the other are given, the fourth leg is asked for."""

    topic, asks, steps = "similar", "side", 2
    wordings = ("The triangles are similar. Find x.", "The two right triangles are similar. What is x?")
    work = "{1}*{2}/{0}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.lengths(few=True):
            for b in limits.lengths(few=True):
                for c in limits.lengths(a + 1):
                    if a != b and fair(a, b, ratio=3) and fair(a, c) and b * c % a == 0 and b * c <= a * limits.largest:
                        yield a, b, c

    def answer(self, *case: int) -> Value:
        a, b, c = case
        return rational(b * c, a)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        a, b, c = case
        points = side_by_side({"A": (0.0, 0.0), "B": (float(a), 0.0), "C": (0.0, float(b))}, c / a)
        labels = lengths((a, ("A", "B")), (b, ("A", "C")), (c, ("D", "E")))
        marks = (Mark("right", ("B", "A", "C")), Mark("right", ("E", "D", "F")))
        return Figure(Diagram(points, TWO, labels=labels, marks=marks), tuple("ABCDEF"), ("segment", ("D", "F")))


class SideSplitter(Family):
    """A line parallel to a side cuts the other two in the same ratio; three parts are given, one is asked for."""

    topic, asks, steps = "similar", "side", 2
    wordings = ("{D}{E} is parallel to {B}{C}. Find x.", "The lines with arrows are parallel. Find x.")
    work = "{1}*{2}/{0}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.lengths(few=True):
            for b in limits.lengths(few=True):
                for c in limits.lengths(few=True):
                    if b * c % a == 0 and b * c <= a * limits.largest and fair(a, b, ratio=3) and fair(a, c, ratio=1.8):
                        yield a, b, c

    def answer(self, *case: int) -> Value:
        a, b, c = case
        return rational(b * c, a)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        a, b, c = case
        d = b * c / a
        side, other = float(a + b), c + d
        ux, uy = _OPENINGS[luck(rng, 0, 3)]
        cx, cy = other * ux, other * uy
        points = {"A": (0.0, 0.0), "B": (side, 0.0), "D": (float(a), 0.0), "C": (cx, cy), "E": (c * ux, c * uy)}
        lines = (("A", "D"), ("D", "B"), ("A", "E"), ("E", "C"), ("B", "C"), ("D", "E"))
        labels = lengths((a, ("A", "D")), (b, ("D", "B")), (c, ("A", "E")))
        marks = (Mark("arrows", ("D", "E")), Mark("arrows", ("B", "C")))
        return Figure(Diagram(points, lines, labels=labels, marks=marks), tuple("ABCDE"), ("segment", ("E", "C")))


class AreaRatio(Family):
    """Similar triangles: a side of each and the area of the larger are given, the area of the smaller is asked for."""

    topic, asks, steps = "similar", "area", 3
    wordings = ("The triangles are similar. What is the area of triangle {D}{E}{F}?",)
    work = "{2}*({1}/{0})^2"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.lengths(4, few=True):
            for b in limits.lengths(few=True):
                if b < a <= 3 * b:
                    for h in limits.lengths(3, few=True):
                        if a * h % 2 == 0 and a * h * b * b % (2 * a * a) == 0 and 3 * a >= 3 * h >= 2 * a:
                            yield a, b, a * h // 2

    def answer(self, *case: int) -> Value:
        a, b, s = case
        return rational(s * b * b, a * a)

    def printed(self, *case: int) -> tuple[str, ...]:
        return str(case[0]), str(case[1]), f"area {case[2]}", str(case[2])

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        a, b, s = case
        first = {"A": (0.0, 0.0), "B": (float(a), 0.0), "C": (a * luck(rng, 15, 85) / 100, 2 * s / a)}
        labels = (*lengths((a, ("A", "B")), (b, ("D", "E"))), Label(f"area {s}", "area", ("A", "B", "C")))
        return Figure(Diagram(side_by_side(first, b / a), TWO, labels=labels), tuple("ABCDEF"))


class SimilarPerimeter(Family):
    """Similar triangles: all sides of one and a side of the other are given, the other's perimeter is asked for."""

    topic, asks, steps = "similar", "perimeter", 3
    wordings = ("The triangles are similar. What is the perimeter of triangle {D}{E}{F}?",)
    work = "({0}+{1}+{2})*{3}/{0}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.lengths(few=True):
            for b in limits.lengths(few=True):
                for c in limits.lengths(few=True):
                    # b and c open a triangle over a that is neither flat nor a needle.
                    if 4 * (b + c - a) >= a and 4 * (a - abs(b - c)) >= a and fair(a, b, c, ratio=2):
                        for d in (2 * a, 3 * a, 3 * a // 2):
                            if (a + b + c) * d % a == 0 and a < d <= 3 * limits.largest:
                                yield a, b, c, d

    def answer(self, *case: int) -> Value:
        a, b, c, d = case
        return rational((a + b + c) * d, a)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        a, b, c, d = case
        x = (c * c + a * a - b * b) / (2 * a)
        first = {"A": (0.0, 0.0), "B": (float(a), 0.0), "C": (x, sqrt(c * c - x * x))}
        labels = lengths((a, ("A", "B")), (b, ("B", "C")), (c, ("C", "A")), (d, ("D", "E")))
        return Figure(Diagram(side_by_side(first, d / a), TWO, labels=labels), tuple("ABCDEF"))
