"""Triangles: angles, sides, areas."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np

from ..render.diagram import Diagram, Mark
from .directions import polar
from .family import Case, Family, Figure, Limits, angles, fair, lengths, luck
from .values import Value, rational, root_of

TRIANGLE = (("A", "B"), ("B", "C"), ("C", "A"))
ABC = ("A", "B", "C")
Points = dict[str, tuple[float, float]]


def by_angles(a: int, b: int) -> Points:
    """A triangle on a circle of radius 1, with these angles (whole degrees) at A and B."""
    # An angle on the circle is half of the arc that it sees.
    return {"A": polar((0, 0), 1, 0), "B": polar((0, 0), 1, -2 * (a + b)), "C": polar((0, 0), 1, -2 * b)}


def by_sides(c: float, a: float, b: float) -> Points:
    """A triangle with AB = c, BC = a, CA = b."""
    x = (b * b + c * c - a * a) / (2 * c)
    return {"A": (0.0, 0.0), "B": (float(c), 0.0), "C": (x, sqrt(max(b * b - x * x, 0.0)))}


def right_at_a(b: float, c: float) -> Points:
    """A triangle with a right angle at A, AB = b along the x axis and AC = c upwards."""
    return {"A": (0.0, 0.0), "B": (float(b), 0.0), "C": (0.0, float(c))}


def open_enough(*sides: float) -> bool:
    """Whether three sides make a triangle that is not too flat to be drawn."""
    low, middle, high = sorted(sides)
    return 5 * (low + middle - high) >= high and high <= 4 * low


class ThirdAngle(Family):
    """Two angles of a triangle are given, the third is asked for."""

    topic, asks = "triangles", "angle"
    symmetric = True
    wordings = ("Find x.", "What is the measure of angle {A}{C}{B}?", "In triangle {A}{B}{C}, find angle {C}.")
    work = "180-{}-{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.angles(20, 140):
            yield from ((a, b) for b in limits.angles(20, 160 - a))

    def answer(self, *case: int) -> Value:
        return rational(180 - sum(case))

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        labels = angles((case[0], ("B", "A", "C")), (case[1], ("A", "B", "C")))
        return Figure(Diagram(by_angles(*case), TRIANGLE, labels=labels), ABC, ("angle", ("A", "C", "B")))


class ExteriorAngle(ThirdAngle):
    """Two angles of a triangle are given; the exterior angle at the third corner is asked for."""

    wordings = ("Find x.", "What is the measure of angle {A}{C}{D}?", "Find the exterior angle {A}{C}{D}.")
    work = "{}+{}"

    def answer(self, *case: int) -> Value:
        return rational(sum(case))

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        points = by_angles(*case)
        (bx, by), (cx, cy) = points["B"], points["C"]
        far = 0.8 / max(sqrt((cx - bx) ** 2 + (cy - by) ** 2), 0.1)
        points["D"] = (cx + (cx - bx) * far, cy + (cy - by) * far)
        labels = angles((case[0], ("B", "A", "C")), (case[1], ("A", "B", "C")))
        diagram = Diagram(points, (("A", "B"), ("B", "C"), ("C", "D"), ("C", "A")), labels=labels)
        return Figure(diagram, (*ABC, "D"), ("angle", ("A", "C", "D")))


class IsoscelesApex(Family):
    """A base angle of an isosceles triangle is given, the angle at the apex is asked for."""

    topic, asks, steps = "triangles", "angle", 2
    wordings = ("Find x.", "{C}{A} and {C}{B} are equal. Find angle {A}{C}{B}.")
    work = "180-2*{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((a,) for a in limits.angles(22, 76) if a != 60)

    def answer(self, *case: int) -> Value:
        return rational(180 - 2 * case[0])

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        marks = (Mark("ticks", ("A", "C")), Mark("ticks", ("B", "C")))
        diagram = Diagram(by_angles(case[0], case[0]), TRIANGLE, labels=angles((case[0], ("B", "A", "C"))), marks=marks)
        return Figure(diagram, ABC, ("angle", ("A", "C", "B")))


class IsoscelesBase(Family):
    """The angle at the apex of an isosceles triangle is given, a base angle is asked for."""

    topic, asks, steps = "triangles", "angle", 2
    wordings = ("Find x.", "{C}{A} and {C}{B} are equal. Find angle {C}{A}{B}.")
    work = "(180-{})/2"

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((a,) for a in limits.angles(28, 130) if a % 2 == 0 and a != 60)

    def answer(self, *case: int) -> Value:
        return rational(180 - case[0], 2)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        base = (180 - case[0]) // 2
        marks = (Mark("ticks", ("A", "C")), Mark("ticks", ("B", "C")))
        diagram = Diagram(by_angles(base, base), TRIANGLE, labels=angles((case[0], ("A", "C", "B"))), marks=marks)
        return Figure(diagram, ABC, ("angle", ("C", "A", "B")))


class TrianglePerimeter(Family):
    """Three sides are given, the perimeter is asked for."""

    topic, asks = "triangles", "perimeter"
    symmetric = True
    wordings = ("What is the perimeter of triangle {A}{B}{C}?", "Find the perimeter of the triangle.")
    work = "{}+{}+{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.lengths(few=True):
            for b in limits.lengths(few=True):
                yield from ((a, b, c) for c in limits.lengths() if open_enough(a, b, c))

    def answer(self, *case: int) -> Value:
        return rational(sum(case))

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        labels = lengths(*zip(case, TRIANGLE, strict=True))
        return Figure(Diagram(by_sides(*case), TRIANGLE, labels=labels), ABC)


class RightTriangleArea(Family):
    """The legs of a right triangle are given, its area is asked for."""

    topic, asks = "triangles", "area"
    symmetric = True
    wordings = ("What is the area of triangle {A}{B}{C}?", "Find the area of the right triangle.")
    work = "{}*{}/2"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.lengths():
            yield from ((a, b) for b in limits.lengths() if a * b % 2 == 0 and fair(a, b))

    def answer(self, *case: int) -> Value:
        return rational(case[0] * case[1], 2)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        labels = lengths((case[0], ("A", "B")), (case[1], ("A", "C")))
        marks = (Mark("right", ("B", "A", "C")),)
        return Figure(Diagram(right_at_a(*case), TRIANGLE, labels=labels, marks=marks), ABC)


class TriangleArea(Family):
    """A side of a triangle and the height on it are given, the area is asked for."""

    topic, asks = "triangles", "area"
    symmetric = True
    wordings = ("What is the area of triangle {A}{B}{C}?", "Find the area of the triangle.")
    work = "{}*{}/2"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.lengths(3):
            yield from ((a, b) for b in limits.lengths(3) if fair(a, b, ratio=2.5))

    def answer(self, *case: int) -> Value:
        return rational(case[0] * case[1], 2)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        base, height = case
        foot = base * luck(rng, 25, 75) / 100
        points = {"A": (0, 0), "B": (base, 0), "C": (foot, height), "H": (foot, 0)}
        labels = lengths((base, ("A", "B")), (height, ("C", "H")))
        marks = (Mark("right", ("B", "H", "C")),)
        return Figure(Diagram(points, TRIANGLE, labels=labels, marks=marks, dashed=(("C", "H"),)), ABC)


class Hypotenuse(Family):
    """The legs of a right triangle are given, the hypotenuse is asked for."""

    topic, asks, steps = "triangles", "length", 2
    symmetric = True
    wordings = ("Find x.", "What is the length of {B}{C}?", "Find the hypotenuse of triangle {A}{B}{C}.")
    work = "sqrt({}^2+{}^2)"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.lengths():
            yield from ((a, b) for b in limits.lengths() if fair(a, b))

    def answer(self, *case: int) -> Value:
        return root_of(case[0] ** 2 + case[1] ** 2)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        labels = lengths((case[0], ("A", "B")), (case[1], ("A", "C")))
        diagram = Diagram(right_at_a(*case), TRIANGLE, labels=labels, marks=(Mark("right", ("B", "A", "C")),))
        return Figure(diagram, ABC, ("segment", ("B", "C")))


class Leg(Family):
    """The hypotenuse and a leg of a right triangle are given, the other leg is asked for."""

    topic, asks, steps = "triangles", "length", 2
    wordings = ("Find x.", "What is the length of {A}{C}?", "In the right triangle {A}{B}{C}, find {A}{C}.")
    work = "sqrt({}^2-{}^2)"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for c in limits.lengths(4):
            yield from ((c, a) for a in limits.lengths() if 10 * a <= 9 * c <= 36 * a)

    def answer(self, *case: int) -> Value:
        return root_of(case[0] ** 2 - case[1] ** 2)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        c, a = case
        labels = lengths((c, ("B", "C")), (a, ("A", "B")))
        diagram = Diagram(
            right_at_a(a, sqrt(c * c - a * a)), TRIANGLE, labels=labels, marks=(Mark("right", ("B", "A", "C")),)
        )
        return Figure(diagram, ABC, ("segment", ("A", "C")))


class Midsegment(Family):
    """The segment between the middles of two sides is half the third side."""

    topic, asks = "triangles", "length"
    wordings = (
        "Equal marks show equal lengths. Find x.",
        "{M} and {N} are the midpoints of {A}{C} and {B}{C}. Find the length of {M}{N}.",
    )
    work = "{}/2"

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((a,) for a in range(3, 2 * limits.largest + 1))

    def answer(self, *case: int) -> Value:
        return rational(case[0], 2)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        (ax, ay), (bx, by) = (0.0, 0.0), (1.0, 0.0)
        cx, cy = luck(rng, 10, 90) / 100, luck(rng, 60, 110) / 100
        points = {"A": (ax, ay), "B": (bx, by), "C": (cx, cy)}
        points |= {"M": (cx / 2, cy / 2), "N": ((cx + 1) / 2, cy / 2)}
        lines = (("A", "B"), ("A", "M"), ("M", "C"), ("B", "N"), ("N", "C"), ("M", "N"))
        single = (Mark("ticks", ("A", "M")), Mark("ticks", ("C", "M")))
        marks = (*single, Mark("ticks", ("B", "N"), 2), Mark("ticks", ("C", "N"), 2))
        diagram = Diagram(points, lines, labels=lengths((case[0], ("A", "B"))), marks=marks)
        return Figure(diagram, (*ABC, "M", "N"), ("segment", ("M", "N")))


class ThirtySixty(Family):
    """A triangle of 30, 60, 90 degrees: from the short leg (0) or the hypotenuse (1) to the long leg."""

    topic, asks, steps = "triangles", "length", 2
    wordings = ("Find x.", "What is the length of {A}{C}?")

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((n, which) for n in limits.lengths() for which in (0, 1))

    def answer(self, *case: int) -> Value:
        n, which = case
        return root_of(3, rational(n, 1 + which).rational)

    def thought(self, *case: int) -> str:
        return f"{case[0]}*sqrt(3)" if case[1] == 0 else f"{case[0]}/2*sqrt(3)"

    def printed(self, *case: int) -> tuple[str, ...]:
        return str(case[0]), "60", "30"

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        n, which = case
        given = lengths((n, ("A", "B") if which == 0 else ("B", "C")))
        given += angles((60, ("A", "B", "C"))) if luck(rng, 0, 1) else angles((30, ("A", "C", "B")))
        diagram = Diagram(right_at_a(1, sqrt(3)), TRIANGLE, labels=given, marks=(Mark("right", ("B", "A", "C")),))
        return Figure(diagram, ABC, ("segment", ("A", "C")))


class FortyFive(Family):
    """A right triangle of 45 degrees: a leg (0) is given and the hypotenuse asked for, or the other way round (1)."""

    topic, asks, steps = "triangles", "length", 2
    wordings = ("Find x.",)

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((n, which) for n in limits.lengths() for which in (0, 1))

    def answer(self, *case: int) -> Value:
        return root_of(2, rational(case[0], 1 + case[1]).rational)

    def thought(self, *case: int) -> str:
        return f"{case[0]}*sqrt(2)" if case[1] == 0 else f"{case[0]}/sqrt(2)"

    def printed(self, *case: int) -> tuple[str, ...]:
        return str(case[0]), "45"

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        n, which = case
        sides = (("A", "B"), ("B", "C"))
        labels = lengths((n, sides[which])) + angles((45, ("A", "C", "B")))
        diagram = Diagram(right_at_a(1, 1), TRIANGLE, labels=labels, marks=(Mark("right", ("B", "A", "C")),))
        return Figure(diagram, ABC, ("segment", sides[1 - which]))


class LawOfCosines(Family):
    """Two sides and the angle of 60 or 120 degrees between them are given, the third side is asked for."""

    topic, asks, steps = "triangles", "length", 3
    wordings = ("Find x.", "What is the length of {B}{C}?")

    def cases(self, limits: Limits) -> Iterator[Case]:
        for b in limits.lengths():
            for c in limits.lengths():
                yield from ((b, c, angle) for angle in (60, 120) if b != c and fair(b, c, ratio=3))

    def answer(self, *case: int) -> Value:
        b, c, angle = case
        return root_of(b * b + c * c + (b * c if angle == 120 else -b * c))

    def thought(self, *case: int) -> str:
        b, c, angle = case
        return f"sqrt({b}^2+{c}^2{'+' if angle == 120 else '-'}{b}*{c})"

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        b, c, angle = case
        points = {"A": (0.0, 0.0), "B": (float(c), 0.0), "C": polar((0, 0), b, angle)}
        labels = lengths((c, ("A", "B")), (b, ("A", "C"))) + angles((angle, ("B", "A", "C")))
        return Figure(Diagram(points, TRIANGLE, labels=labels), ABC, ("segment", ("B", "C")))


class GeometricMean(Family):
    """The height of a right triangle cuts the hypotenuse; both parts are given, the height is asked for."""

    topic, asks, steps = "triangles", "length", 3
    symmetric = True
    wordings = ("Find x.", "What is the length of the altitude {C}{H}?")
    work = "sqrt({}*{})"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for p in limits.lengths():
            yield from ((p, q) for q in limits.lengths() if p != q and fair(p, q))

    def answer(self, *case: int) -> Value:
        return root_of(case[0] * case[1])

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        p, q = case
        points = {"A": (0, 0), "B": (p + q, 0), "C": (p, sqrt(p * q)), "H": (p, 0)}
        lines = (("A", "H"), ("H", "B"), ("B", "C"), ("C", "A"), ("C", "H"))
        marks = (Mark("right", ("A", "C", "B")), Mark("right", ("B", "H", "C")))
        diagram = Diagram(points, lines, labels=lengths((p, ("A", "H")), (q, ("H", "B"))), marks=marks)
        return Figure(diagram, (*ABC, "H"), ("segment", ("C", "H")))


class AngleBisector(Family):
    """An angle's bisector cuts the opposite side as the sides beside it: c : b."""

    topic, asks, steps = "triangles", "length", 3
    wordings = ("Equal marks show equal angles. Find x.", "{A}{D} bisects angle {B}{A}{C}. Find the length of {D}{C}.")
    work = "{1}*{2}/{0}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for c in limits.lengths(3):
            for b in limits.lengths(3):
                for m in limits.lengths():
                    if b != c and b * m % c == 0 and open_enough(c, b, m + b * m // c) and fair(m, b * m // c, ratio=3):
                        yield c, b, m

    def answer(self, *case: int) -> Value:
        c, b, m = case
        return rational(b * m, c)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        c, b, m = case
        points = by_sides(c, m + b * m / c, b)
        share = c / (b + c)
        (bx, by), (cx, cy) = points["B"], points["C"]
        points["D"] = (bx + (cx - bx) * share, by + (cy - by) * share)
        lines = (("A", "B"), ("B", "D"), ("D", "C"), ("C", "A"), ("A", "D"))
        marks = (Mark("angle", ("B", "A", "D")), Mark("angle", ("D", "A", "C")))
        labels = lengths((c, ("A", "B")), (b, ("A", "C")), (m, ("B", "D")))
        return Figure(Diagram(points, lines, labels=labels, marks=marks), (*ABC, "D"), ("segment", ("D", "C")))
