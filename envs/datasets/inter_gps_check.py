"""Do the coordinates of a figure agree with its own predicates?

Figures in school books are not to scale, and coordinates were clicked by hand: a label "5" beside a side says nothing
about pixels. But what lies on a line must be seen to lie on it. So every one of these must hold, lengths being measured
against the longer side of the figure:

    every point that is drawn or spoken of has a position
    no two points of the figure are nearer than 2% to each other
    a point on a line is at most 2% away from it
    a point on a circle is at most 10% of the radius nearer or farther than the median of its points
    perpendicular lines meet at 85 to 95 degrees, parallel lines at no more than 5 degrees
    lengths marked as equal differ by at most 10%, angles marked as equal by at most 5 degrees
    an angle labelled with a number of degrees is drawn within 15 degrees of it
    the ends of a labelled arc lie on one circle
    no angle is called by two numbers
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from math import atan2, degrees, sqrt
from statistics import median

from .inter_gps_figure import Circle, Figure, Points

APART, ON_LINE, ON_CIRCLE, LENGTHS = 0.02, 0.02, 0.10, 0.10
RIGHT, PARALLEL, ANGLES, STATED = 5.0, 5.0, 5.0, 15.0

_DEGREES = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:\^?\{?\\circ\}?|°)?\s*", re.ASCII)


def distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Between two points. A root of a sum of squares, which is the same everywhere, unlike `math.hypot`."""
    return sqrt((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]))


def from_line(p: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> float:
    """The distance of p from the line through a and b; from a where these are one point."""
    length = distance(a, b)
    cross = (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
    return abs(cross) / length if length else distance(p, a)


def radius(circle: Circle, figure: Figure) -> float:
    """The median distance of the points on a circle from its centre."""
    return median(distance(figure.points[circle.centre], figure.points[p]) for p in circle.points)


def circle_of(ends: Points, figure: Figure) -> Circle | None:
    """The circle on which both ends of an arc lie."""
    return next((circle for circle in figure.circles if set(ends) <= set(circle.points)), None)


def inconsistency(figure: Figure) -> str | None:
    """The first breach of the rules above, in words; None if the figure is consistent."""
    named = figure.named()
    missing = sorted(named - figure.points.keys())
    if missing:
        return f"{', '.join(missing)} {'has' if len(missing) == 1 else 'have'} no position"
    if not figure.lines and not figure.circles:
        return "there is no line and no circle"
    xs, ys = zip(*(figure.points[p] for p in named), strict=True)
    size = max(max(xs) - min(xs), max(ys) - min(ys))
    if not size:
        return "all points lie at one place"
    return next(_breaches(figure, sorted(named), size), None)


def _breaches(figure: Figure, named: list[str], size: float) -> Iterator[str]:
    at = figure.points
    for a, b in combinations(named, 2):
        if distance(at[a], at[b]) < APART * size:
            yield f"{a} and {b} lie {distance(at[a], at[b]) / size:.1%} apart, less than {APART:.0%}"
    for p, a, b in figure.on_line:
        off = from_line(at[p], at[a], at[b]) / size
        if off > ON_LINE:
            yield f"{p} is {off:.1%} away from the line {a}{b}, more than {ON_LINE:.0%}"
    for circle in figure.circles:
        if not circle.points:
            yield f"no point lies on the circle around {circle.centre}"
            continue
        r = radius(circle, figure)
        for p in circle.points:
            off = abs(distance(at[circle.centre], at[p]) - r)
            if not r or off > ON_CIRCLE * r:
                yield f"{p} is {off / (r or 1):.0%} of the radius off the circle around {circle.centre}"
    for a, b, c, d in figure.right:
        between = _between(figure, a, b, c, d)
        if between < 90 - RIGHT:
            yield f"{a}{b} and {c}{d} should be perpendicular and meet at {between:.1f} degrees"
    for a, b, c, d in figure.parallel:
        between = _between(figure, a, b, c, d)
        if between > PARALLEL:
            yield f"{a}{b} and {c}{d} should be parallel and meet at {between:.1f} degrees"
    for a, b, c, d in figure.same_length:
        one, other = sorted((distance(at[a], at[b]), distance(at[c], at[d])))
        if one < (1 - LENGTHS) * other:
            yield f"{a}{b} and {c}{d} should be equally long and differ by {1 - one / other:.0%}"
    for six in figure.same_angle:
        off = abs(angle(figure, six[:3]) - angle(figure, six[3:]))
        if off > ANGLES:
            yield f"angles {''.join(six[:3])} and {''.join(six[3:])} should be equal and differ by {off:.1f} degrees"
    for three, text in figure.angle:
        stated = _DEGREES.fullmatch(text)
        if stated and abs(angle(figure, three) - float(stated[1])) > STATED:
            yield f"the angle {''.join(three)} is labelled {text} and drawn with {angle(figure, three):.0f} degrees"
    for ends, _ in figure.arc:
        if circle_of(ends, figure) is None:
            yield f"{' and '.join(ends)} are the ends of an arc and lie on no common circle"
    numbers: dict[object, str] = {}
    for three, number in figure.number:
        if numbers.setdefault((three[1], frozenset(three)), number) != number:
            yield f"the angle {''.join(three)} is called by two numbers"


def angle(figure: Figure, three: Points) -> float:
    """The angle at the middle one of three points, 0 to 180 degrees."""
    (ax, ay), (bx, by), (cx, cy) = (figure.points[p] for p in three)
    ux, uy, vx, vy = ax - bx, ay - by, cx - bx, cy - by
    return degrees(abs(atan2(ux * vy - uy * vx, ux * vx + uy * vy)))


def _between(figure: Figure, a: str, b: str, c: str, d: str) -> float:
    """The angle between two lines, 0 to 90 degrees."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = (figure.points[p] for p in (a, b, c, d))
    ux, uy, vx, vy = bx - ax, by - ay, dx - cx, dy - cy
    return degrees(atan2(abs(ux * vy - uy * vx), abs(ux * vx + uy * vy)))
