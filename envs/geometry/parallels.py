"""Angles at a point, on a line, and where a line crosses parallels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..render.diagram import Diagram, Label, Mark
from .directions import direction, polar
from .family import Case, Corner, Family, Figure, Limits, angles, luck
from .values import Value, rational


class LinearPair(Family):
    """A ray stands on a line; one angle is given, the other asked for."""

    topic, asks = "parallels", "angle"
    wordings = ("Find x.", "{A}{O}{B} is a straight line. Find angle {C}{O}{B}.")
    work = "180-{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((a,) for a in limits.angles(20, 160) if a != 90)

    def answer(self, *case: int) -> Value:
        return rational(180 - case[0])

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        points = {"O": (0.0, 0.0), "A": (-1.0, 0.0), "B": (1.0, 0.0), "C": polar((0, 0), 0.9, 180 - case[0])}
        diagram = Diagram(points, (("A", "O"), ("O", "B"), ("O", "C")), labels=angles((case[0], ("A", "O", "C"))))
        return Figure(diagram, ("A", "B", "C", "O"), ("angle", ("C", "O", "B")))


class RightAngleSplit(Family):
    """A ray splits a right angle; one part is given, the other asked for."""

    topic, asks = "parallels", "angle"
    wordings = (
        "{A}{O} and {B}{O} are perpendicular. Find x.",
        "Angle {A}{O}{B} is a right angle. Find angle {C}{O}{B}.",
    )
    work = "90-{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((a,) for a in limits.angles(10, 80) if a != 45)

    def answer(self, *case: int) -> Value:
        return rational(90 - case[0])

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        points = {"O": (0.0, 0.0), "A": (1.0, 0.0), "B": (0.0, 1.0), "C": polar((0, 0), 1.1, case[0])}
        diagram = Diagram(
            points,
            (("A", "O"), ("O", "B"), ("O", "C")),
            labels=angles((case[0], ("A", "O", "C"))),
            marks=(Mark("right", ("A", "O", "B")),),
        )
        return Figure(diagram, ("A", "B", "C", "O"), ("angle", ("C", "O", "B")))


class AroundPoint(Family):
    """Three rays share a point; two angles are given, the third is asked for."""

    topic, asks = "parallels", "angle"
    symmetric = True
    wordings = ("Find x.", "What is the measure of angle {C}{O}{A}?")
    work = "360-{}-{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.angles(50, 160):
            yield from ((a, b) for b in limits.angles(max(50, 200 - a), min(160, 310 - a)))

    def answer(self, *case: int) -> Value:
        return rational(360 - sum(case))

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        a, b = case
        points = {"O": (0.0, 0.0), "A": polar((0, 0), 1, 0), "B": polar((0, 0), 1, a), "C": polar((0, 0), 1, a + b)}
        labels = angles((a, ("A", "O", "B")), (b, ("B", "O", "C")))
        diagram = Diagram(points, (("A", "O"), ("O", "B"), ("O", "C")), labels=labels)
        return Figure(diagram, ("A", "B", "C", "O"), ("angle", ("C", "O", "A")))


class VerticalAlgebra(Family):
    """Two lines cross; opposite angles are kx + c and v degrees, x is asked for."""

    topic, asks, steps = "parallels", "value", 2
    wordings = ("Find x.", "Two lines cross. What is the value of x?")
    work = "({2}-{1})/{0}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for v in limits.angles(30, 150):
            for k in (2, 3, 4, 5):
                yield from ((k, c, v) for c in range(5, 41, 5) if v != 90 and (v - c) % k == 0 and v - c >= 5 * k)

    def answer(self, *case: int) -> Value:
        k, c, v = case
        return rational(v - c, k)

    def printed(self, *case: int) -> tuple[str, ...]:
        k, c, v = case
        return f"({k}x+{c})", str(v)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        v = case[2]
        first, second = polar((0, 0), 1, 0), polar((0, 0), 1, v)
        points = {"O": (0.0, 0.0), "A": first, "C": second, "B": (-first[0], -first[1]), "D": (-second[0], -second[1])}
        labels = self.labels(case, ("A", "O", "C"), ("B", "O", "D"))
        diagram = Diagram(points, tuple(("O", name) for name in "ABCD"), labels=labels)
        return Figure(diagram, ("A", "B", "C", "D", "O"))

    def labels(self, case: Case, known: Corner, other: Corner) -> tuple[Label, ...]:
        """The two labels: v at `known`, kx + c at `other`."""
        expression, v = self.printed(*case)
        return Label(f"{expression}°", "angle", other), Label(f"{v}°", "angle", known)


def crossed(a: int) -> Diagram:
    """Parallels AB and CD, crossed at P and Q by EF, so that angle EPB = angle PQD = a degrees."""
    x, y = direction(a)
    half, out = 0.42, 0.7
    points = {"P": (x / y * half, half), "Q": (-x / y * half, -half)}
    points |= {"A": (-1.1, half), "B": (1.1, half), "C": (-1.1, -half), "D": (1.1, -half)}
    points |= {"E": (x / y * half + x * out, half + y * out), "F": (-x / y * half - x * out, -half - y * out)}
    lines = (("A", "P"), ("P", "B"), ("C", "Q"), ("Q", "D"), ("E", "P"), ("P", "Q"), ("Q", "F"))
    # The heads sit near the lines' ends, where no angle is written.
    points |= {"U": (0.98, half), "V": (0.98, -half)}
    return Diagram(points, lines, marks=(Mark("arrows", ("U", "B")), Mark("arrows", ("V", "D"))))


# Pairs of angles at the two crossings, for a turn of the whole figure to choose from: (given, asked for).
_SAME_SIDE: tuple[tuple[Corner, Corner], ...] = ((("Q", "P", "B"), ("P", "Q", "D")), (("Q", "P", "A"), ("P", "Q", "C")))
_CORRESPONDING: tuple[tuple[Corner, Corner], ...] = (
    (("E", "P", "B"), ("P", "Q", "D")),
    (("E", "P", "A"), ("P", "Q", "C")),
)
_ALTERNATE: tuple[tuple[Corner, Corner], ...] = ((("Q", "P", "A"), ("P", "Q", "D")), (("E", "P", "B"), ("C", "Q", "F")))
_SUPPLEMENT: tuple[tuple[Corner, Corner], ...] = (
    (("E", "P", "B"), ("P", "Q", "C")),
    (("E", "P", "A"), ("P", "Q", "D")),
)
_LETTERED = ("A", "B", "C", "D", "P", "Q")


def _size_of(corner: Corner, a: int) -> int:
    """The angle at this corner of `crossed(a)`, in degrees."""
    first = {("E", "P", "B"), ("Q", "P", "A"), ("P", "Q", "D"), ("C", "Q", "F")}
    return a if corner in first else 180 - a


class CoInterior(Family):
    """Between parallels, on one side of the crossing line, two angles make 180 degrees."""

    topic, asks = "parallels", "angle"
    wordings = ("The lines with arrows are parallel. Find x.", "{A}{B} is parallel to {C}{D}. Find x.")
    work = "180-{}"
    pairs = _SAME_SIDE

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((a,) for a in limits.angles(40, 140) if a != 90)

    def answer(self, *case: int) -> Value:
        return rational(180 - case[0])

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        given, asked = self.pairs[luck(rng, 0, 1)]
        diagram = crossed(case[0] if _size_of(given, 1) == 1 else 180 - case[0])
        labelled = Diagram(diagram.points, diagram.segments, labels=angles((case[0], given)), marks=diagram.marks)
        return Figure(labelled, _LETTERED, ("angle", asked))


class CorrespondingSupplement(CoInterior):
    """The angle beside the corresponding one is asked for."""

    steps = 2
    pairs = _SUPPLEMENT


class AlternateAlgebra(VerticalAlgebra):
    """Alternate angles at parallels are kx + c and v degrees, x is asked for."""

    wordings = ("The lines with arrows are parallel. Find x.", "{A}{B} is parallel to {C}{D}. What is the value of x?")
    pairs = _ALTERNATE

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        v = case[2]
        known, other = self.pairs[luck(rng, 0, 1)]
        diagram = crossed(v if _size_of(known, 1) == 1 else 180 - v)
        labels = self.labels(case, known, other)
        return Figure(Diagram(diagram.points, diagram.segments, labels=labels, marks=diagram.marks), _LETTERED)


class CorrespondingAlgebra(AlternateAlgebra):
    """Corresponding angles at parallels are kx + c and v degrees, x is asked for."""

    pairs = _CORRESPONDING


class CoInteriorAlgebra(AlternateAlgebra):
    """Co-interior angles at parallels are kx + c and v degrees, x is asked for."""

    steps = 3
    work = "(180-{2}-{1})/{0}"
    pairs = _SAME_SIDE

    def cases(self, limits: Limits) -> Iterator[Case]:
        for k, c, v in super().cases(limits):
            if 40 <= v <= 140:
                yield k, c, 180 - v

    def answer(self, *case: int) -> Value:
        k, c, v = case
        return rational(180 - v - c, k)


class Zigzag(Family):
    """A path bends between parallels; the angles at both lines are given, the one at the bend is asked for."""

    topic, asks, steps = "parallels", "angle", 2
    symmetric = True
    wordings = ("The lines with arrows are parallel. Find x.", "{A}{B} is parallel to {C}{D}. Find angle {A}{M}{C}.")
    work = "{}+{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.angles(25, 70):
            yield from ((a, b) for b in limits.angles(25, 70))

    def answer(self, *case: int) -> Value:
        return rational(sum(case))

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        (px, py), (qx, qy) = direction(case[0]), direction(case[1])
        high, low = luck(rng, 70, 110) / 100, luck(rng, 70, 110) / 100
        points = {"M": (0.0, 0.0), "A": (-px / py * high, high), "C": (-qx / qy * low, -low)}
        end = 0.5
        points |= {"B": (end, high), "D": (end, -low), "U": (end - 0.2, high), "V": (end - 0.2, -low)}
        lines = (("A", "B"), ("A", "M"), ("M", "C"), ("C", "D"))
        labels = angles((case[0], ("B", "A", "M")), (case[1], ("D", "C", "M")))
        marks = (Mark("arrows", ("U", "B")), Mark("arrows", ("V", "D")))
        diagram = Diagram(points, lines, labels=labels, marks=marks)
        return Figure(diagram, ("A", "B", "C", "D", "M"), ("angle", ("A", "M", "C")))
