"""Circles: angles, tangents, chords, arcs."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np

from ..render.diagram import Arc, Circle, Diagram, Mark
from .directions import cosine, direction, polar
from .family import Case, Family, Figure, Limits, angles, fair, lengths, luck
from .values import Value, rational, root_of, times_pi

ORIGIN = (0.0, 0.0)
DOT = (Mark("dot", ("O",)),)
TURNS = (30, 36, 40, 45, 60, 72, 80, 90, 100, 120, 135, 144, 150)  # central angles whose share of a turn is simple


class InscribedAngle(Family):
    """The central angle over an arc is given, the inscribed angle over it is asked for: half of it."""

    topic, asks = "circles", "angle"
    wordings = ("{O} is the center of the circle. Find x.", "{O} is the center. Find angle {A}{C}{B}.")
    work = "{}/2"

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((a,) for a in limits.angles(40, 170) if a % 2 == 0)

    def answer(self, *case: int) -> Value:
        return rational(case[0], 2)

    def points(self, central: int, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
        """A and B with this central angle between them, C on the other arc."""
        at = central + (360 - central) * luck(rng, 35, 65) // 100
        return {"O": ORIGIN, "A": polar(ORIGIN, 1, 0), "B": polar(ORIGIN, 1, central), "C": polar(ORIGIN, 1, at)}

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        lines = (("O", "A"), ("O", "B"), ("C", "A"), ("C", "B"))
        labels = angles((case[0], ("A", "O", "B")))
        diagram = Diagram(self.points(case[0], rng), lines, (Circle("O", 1),), labels=labels, marks=DOT)
        return Figure(diagram, ("A", "B", "C", "O"), ("angle", ("A", "C", "B")))


class CentralAngle(InscribedAngle):
    """The inscribed angle over an arc is given, the central angle is asked for: twice as large."""

    wordings = ("{O} is the center of the circle. Find x.", "{O} is the center. Find angle {A}{O}{B}.")
    work = "2*{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((a,) for a in limits.angles(20, 85))

    def answer(self, *case: int) -> Value:
        return rational(2 * case[0])

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        lines = (("O", "A"), ("O", "B"), ("C", "A"), ("C", "B"))
        labels = angles((case[0], ("A", "C", "B")))
        diagram = Diagram(self.points(2 * case[0], rng), lines, (Circle("O", 1),), labels=labels, marks=DOT)
        return Figure(diagram, ("A", "B", "C", "O"), ("angle", ("A", "O", "B")))


class Thales(Family):
    """A triangle over a diameter has a right angle; one other angle is given, the third is asked for."""

    topic, asks, steps = "circles", "angle", 2
    wordings = ("{A}{B} is a diameter. Find x.", "{A}{B} is a diameter of the circle. Find angle {A}{B}{C}.")
    work = "90-{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((a,) for a in limits.angles(20, 70) if a != 45)

    def answer(self, *case: int) -> Value:
        return rational(90 - case[0])

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        points = {"O": ORIGIN, "A": (-1.0, 0.0), "B": (1.0, 0.0), "C": polar(ORIGIN, 1, 2 * case[0])}
        labels = angles((case[0], ("B", "A", "C")))
        lines = (("A", "O"), ("O", "B"), ("B", "C"), ("C", "A"))
        diagram = Diagram(points, lines, (Circle("O", 1),), labels=labels, marks=DOT)
        return Figure(diagram, ("A", "B", "C"), ("angle", ("A", "B", "C")))


class CyclicQuadrilateral(Family):
    """Opposite angles of a quadrilateral in a circle make 180 degrees."""

    topic, asks, steps = "circles", "angle", 2
    wordings = ("{A}{B}{C}{D} lies on the circle. Find x.", "What is the measure of angle {B}{C}{D}?")
    work = "180-{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((a,) for a in limits.angles(50, 130) if a != 90)

    def answer(self, *case: int) -> Value:
        return rational(180 - case[0])

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        arc = 2 * case[0]  # from B over C to D, as seen from A
        c, a = arc * luck(rng, 38, 62) // 100, arc + (360 - arc) * luck(rng, 38, 62) // 100
        points = {
            "O": ORIGIN,
            "A": polar(ORIGIN, 1, a),
            "B": polar(ORIGIN, 1, 0),
            "C": polar(ORIGIN, 1, c),
            "D": polar(ORIGIN, 1, arc),
        }
        lines = (("A", "B"), ("B", "C"), ("C", "D"), ("D", "A"))
        labels = angles((case[0], ("D", "A", "B")))
        diagram = Diagram(points, lines, (Circle("O", 1),), labels=labels)
        return Figure(diagram, ("A", "B", "C", "D"), ("angle", ("B", "C", "D")))


class TangentAngle(Family):
    """Two tangents meet; the angle between the radii to them is given, the angle between them asked for."""

    topic, asks, steps = "circles", "angle", 2
    wordings = ("{P}{A} and {P}{B} are tangents. Find x.", "{P}{A} and {P}{B} touch the circle. Find angle {A}{P}{B}.")
    work = "180-{}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((a,) for a in limits.angles(80, 140) if a % 2 == 0 and a != 90)

    def answer(self, *case: int) -> Value:
        return rational(180 - case[0])

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        half = case[0] // 2
        points = {"O": ORIGIN, "A": polar(ORIGIN, 1, half), "B": polar(ORIGIN, 1, -half), "P": (1 / cosine(half), 0.0)}
        lines = (("O", "A"), ("O", "B"), ("P", "A"), ("P", "B"))
        labels = angles((case[0], ("A", "O", "B")))
        diagram = Diagram(points, lines, (Circle("O", 1),), labels=labels, marks=DOT)
        return Figure(diagram, ("A", "B", "O", "P"), ("angle", ("A", "P", "B")))


class TangentLength(Family):
    """A tangent is at right angles to the radius: from the radius and the way to the center, its length."""

    topic, asks, steps = "circles", "length", 3
    wordings = ("{P}{T} is tangent to the circle. Find x.", "{P}{T} touches the circle at {T}. Find its length.")
    work = "sqrt({1}^2-{0}^2)"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for r in limits.lengths():
            yield from ((r, d) for d in limits.lengths() if 5 * d >= 6 * r and d <= 3 * r)

    def answer(self, *case: int) -> Value:
        r, d = case
        return root_of(d * d - r * r)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        r, d = case
        points = {"O": ORIGIN, "T": (0.0, float(r)), "P": (sqrt(d * d - r * r), float(r))}
        labels = lengths((r, ("O", "T")), (d, ("O", "P")))
        lines = (("O", "T"), ("O", "P"), ("T", "P"))
        diagram = Diagram(points, lines, (Circle("O", r),), labels=labels, marks=DOT)
        return Figure(diagram, ("O", "P", "T"), ("segment", ("T", "P")))


class CrossingChords(Family):
    """Two chords cross: the products of their parts are equal. Three parts are given, the fourth asked for."""

    topic, asks, steps = "circles", "length", 2
    wordings = ("Find x.", "What is the length of {E}{D}?")
    work = "{0}*{1}/{2}"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for a in limits.lengths():
            for b in limits.lengths():
                for c in limits.lengths():
                    if a * b % c == 0 and a * b // c <= limits.largest and fair(a, b, c, a * b // c):
                        yield a, b, c

    def answer(self, *case: int) -> Value:
        a, b, c = case
        return rational(a * b, c)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure | None:
        a, b, c = case
        d = a * b / c
        ux, uy = direction(luck(rng, 50, 130))
        # E is the origin, A and B lie on the x axis; the center is where both chords' perpendicular bisectors meet.
        h = (b - a) / 2
        k = ((c - d) / 2 - ux * h) / uy
        radius = sqrt((b - h) ** 2 + k * k)
        if radius > 0.85 * max(a + b, c + d):
            return None
        points = {
            "E": ORIGIN,
            "A": (-float(a), 0.0),
            "B": (float(b), 0.0),
            "C": (ux * c, uy * c),
            "D": (-ux * d, -uy * d),
        }
        points["O"] = (h, k)
        lines = (("A", "E"), ("E", "B"), ("C", "E"), ("E", "D"))
        labels = lengths((a, ("A", "E")), (b, ("E", "B")), (c, ("C", "E")))
        diagram = Diagram(points, lines, (Circle("O", radius),), labels=labels)
        return Figure(diagram, ("A", "B", "C", "D", "E"), ("segment", ("E", "D")))


class Chord(Family):
    """The radius and the distance of a chord from the center are given, the chord's length is asked for."""

    topic, asks, steps = "circles", "length", 3
    wordings = ("{O} is the center of the circle. Find the length of chord {A}{B}.", "How long is the chord {A}{B}?")
    work = "2*sqrt({0}^2-{1}^2)"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for r in limits.lengths(4):
            yield from ((r, d) for d in limits.lengths() if 10 * d <= 8 * r <= 40 * d)

    def answer(self, *case: int) -> Value:
        r, d = case
        return root_of(r * r - d * d, 2)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        r, d = case
        half = sqrt(r * r - d * d)
        points = {"O": ORIGIN, "A": (-half, -float(d)), "B": (half, -float(d)), "M": (0.0, -float(d))}
        labels = lengths((r, ("O", "A")), (d, ("O", "M")))
        marks = (*DOT, Mark("right", ("B", "M", "O")))
        lines = (("A", "B"), ("O", "A"), ("O", "M"))
        diagram = Diagram(points, lines, (Circle("O", r),), labels=labels, marks=marks)
        return Figure(diagram, ("A", "B", "O"), ("segment", ("A", "B")))


class ArcLength(Family):
    """The radius and the angle of a sector are given, the length of its arc is asked for, in terms of pi."""

    topic, asks, steps = "circles", "length", 2
    wordings = ("What is the length of arc {A}{B}, in terms of pi?", "{O} is the center. How long is the arc {A}{B}?")
    work = "2*pi*{0}*{1}/360"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for r in limits.lengths():
            yield from ((r, a) for a in TURNS if r * a * 2 % 180 == 0)

    def answer(self, *case: int) -> Value:
        r, a = case
        return times_pi(2 * r * a, 360)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        r, a = case
        points = {"O": ORIGIN, "A": (1.0, 0.0), "B": polar(ORIGIN, 1, a)}
        labels = lengths((r, ("O", "A"))) + angles((a, ("A", "O", "B")))
        diagram = Diagram(points, (("O", "A"), ("O", "B")), arcs=(Arc("O", "A", "B"),), labels=labels)
        return Figure(diagram, ("A", "B", "O"), ("arc", ("O", "A", "B")))


class SectorArea(ArcLength):
    """The radius and the angle of a sector are given, its area is asked for, in terms of pi."""

    asks = "area"
    wordings = ("What is the area of sector {A}{O}{B}, in terms of pi?", "Find the area of the sector.")
    work = "pi*{0}^2*{1}/360"

    def cases(self, limits: Limits) -> Iterator[Case]:
        for r in limits.lengths():
            yield from ((r, a) for a in TURNS if r * r * a * 2 % 360 == 0)

    def answer(self, *case: int) -> Value:
        r, a = case
        return times_pi(r * r * a, 360)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        figure = super().figure(case, rng)
        return Figure(figure.diagram, figure.lettered)


class CircleArea(Family):
    """The radius (1) or the diameter (2) of a circle is given, its area is asked for, in terms of pi."""

    topic, asks = "circles", "area"
    wordings = ("{O} is the center. What is the area of the circle, in terms of pi?", "Find the area of the circle.")

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((n, which) for n in limits.lengths() for which in (1, 2))

    def answer(self, *case: int) -> Value:
        n, which = case
        return times_pi(n * n, which * which)

    def thought(self, *case: int) -> str:
        return f"pi*{case[0]}^2" if case[1] == 1 else f"pi*({case[0]}/2)^2"

    def printed(self, *case: int) -> tuple[str, ...]:
        return (str(case[0]),)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        n, which = case
        points = {"O": ORIGIN, "A": (1.0, 0.0), "B": (-1.0, 0.0)}
        line = ("O", "A") if which == 1 else ("B", "A")
        if which == 1:
            del points["B"]
        diagram = Diagram(points, (line,), (Circle("O", 1),), labels=lengths((n, line)), marks=DOT)
        return Figure(diagram, ("O", "A") if which == 1 else ("A", "B", "O"))


class Circumference(CircleArea):
    """The radius (1) or the diameter (2) of a circle is given, its circumference is asked for, in terms of pi."""

    asks = "perimeter"
    wordings = (
        "{O} is the center. What is the circumference, in terms of pi?",
        "Find the circumference of the circle.",
    )

    def answer(self, *case: int) -> Value:
        n, which = case
        return times_pi(2 * n, which)

    def thought(self, *case: int) -> str:
        return f"2*pi*{case[0]}" if case[1] == 1 else f"pi*{case[0]}"


class SquareInCircle(Family):
    """The radius to a corner of a square in a circle is given, the square's area is asked for."""

    topic, asks, steps = "circles", "area", 3
    wordings = ("{A}{B}{C}{D} is a square on the circle with center {O}. What is its area?",)
    work = "2*{}^2"

    def cases(self, limits: Limits) -> Iterator[Case]:
        yield from ((r,) for r in limits.lengths(3))

    def answer(self, *case: int) -> Value:
        return rational(2 * case[0] ** 2)

    def figure(self, case: Case, rng: np.random.Generator) -> Figure:
        points = {name: polar(ORIGIN, 1, 45 + 90 * k) for k, name in enumerate("ABCD")} | {"O": ORIGIN}
        lines = (("A", "B"), ("B", "C"), ("C", "D"), ("D", "A"), ("O", "A"))
        diagram = Diagram(points, lines, (Circle("O", 1),), labels=lengths((case[0], ("O", "A"))), marks=DOT)
        return Figure(diagram, ("A", "B", "C", "D", "O"))
