"""Every family: its answer by sympy from another construction, and its picture measured."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from math import acos, degrees, dist, hypot, isclose

import numpy as np
import pytest
import sympy as sp

from envs.geometry.families import FAMILIES, HELD_OUT
from envs.geometry.family import Case, Figure, Limits
from envs.render.diagram import Diagram

LIMITS = Limits()
Number = sp.Expr | int


def area(*corners: tuple[Number, Number]) -> sp.Expr:
    return abs(sp.Polygon(*corners).area)


def around(*corners: tuple[Number, Number]) -> sp.Expr:
    return sp.Polygon(*corners).perimeter


def length(a: tuple[Number, Number], b: tuple[Number, Number]) -> sp.Expr:
    return sp.Point(a).distance(sp.Point(b))


def at(angle: Number, radius: Number = 1) -> tuple[sp.Expr, sp.Expr]:
    return radius * sp.cos(sp.pi * angle / 180), radius * sp.sin(sp.pi * angle / 180)


def corner(a: tuple[Number, Number], v: tuple[Number, Number], b: tuple[Number, Number]) -> sp.Expr:
    """The angle at v, in degrees, from the cosine of two vectors."""
    (ax, ay), (bx, by) = ((p[0] - v[0], p[1] - v[1]) for p in (a, b))
    cosine = (ax * bx + ay * by) / (sp.sqrt(ax**2 + ay**2) * sp.sqrt(bx**2 + by**2))
    return 180 / sp.pi * sp.acos(sp.N(cosine, 40))


def solve(equation: Callable[[sp.Symbol], sp.Expr]) -> sp.Expr:
    x = sp.Symbol("x", positive=True)
    (only,) = sp.solve(equation(x), x)
    return only


def inscribed(arc: Number) -> sp.Expr:
    """The angle over an arc, from a third of the way round the other side."""
    return corner(at(0), at(arc + sp.Rational(360 - arc, 3)), at(arc))


t = sp.Symbol("t", positive=True)
HALF, THIRD = sp.Rational(1, 2), sp.Rational(1, 3)

# Per family the answer, computed otherwise than by the family: from coordinates, equations or integrals.
BY_SYMPY: dict[str, Callable[..., Number]] = {
    "third_angle": lambda a, b: solve(lambda x: a + b + x - 180),
    "exterior_angle": lambda a, b: solve(lambda x: (180 - x) + a + b - 180),
    "isosceles_apex": lambda a: corner((-1, 0), (0, sp.tan(sp.pi * a / 180)), (1, 0)),
    "isosceles_base": lambda a: solve(lambda x: 2 * x + a - 180),
    "triangle_perimeter": lambda a, b, c: sp.Triangle(sss=(a, b, c)).perimeter,
    "right_triangle_area": lambda a, b: area((0, 0), (a, 0), (0, b)),
    "triangle_area": lambda b, h: area((0, 0), (b, 0), (b * THIRD, h)),
    "hypotenuse": lambda a, b: length((a, 0), (0, b)),
    "leg": lambda c, a: solve(lambda x: a**2 + x**2 - c**2),
    "midsegment": lambda a: length((THIRD, 1), (THIRD + sp.Rational(a, 2), 1)),
    "thirty_sixty": lambda n, which: n * (sp.tan(sp.pi / 3) if which == 0 else sp.cos(sp.pi / 6)),
    "forty_five": lambda n, which: n / sp.cos(sp.pi / 4) if which == 0 else n * sp.sin(sp.pi / 4),
    "law_of_cosines": lambda b, c, angle: length((c, 0), at(angle, b)),
    "geometric_mean": lambda p, q: solve(lambda x: (0 - p) * (p + q - p) + x * x),  # CA . CB = 0
    # Stewart's theorem with the bisector's length, d^2 = bc - mx.
    "angle_bisector": lambda c, b, m: solve(lambda x: b**2 * m + c**2 * x - (m + x) * b * c),
    "linear_pair": lambda a: corner(at(180 - a), (0, 0), (1, 0)),
    "right_angle_split": lambda a: corner(at(a), (0, 0), (0, 1)),
    "around_point": lambda a, b: corner(at(a + b), (0, 0), (1, 0)),
    "vertical_algebra": lambda k, c, v: solve(lambda x: k * x + c - v),
    "co_interior": lambda a: corner((1, 0), (0, 0), at(180 - a)),
    "corresponding_supplement": lambda a: corner((-1, 0), (0, 0), at(a)),
    "alternate_algebra": lambda k, c, v: solve(lambda x: k * x + c - v),
    "corresponding_algebra": lambda k, c, v: solve(lambda x: k * x + c - v),
    "co_interior_algebra": lambda k, c, v: solve(lambda x: k * x + c + v - 180),
    "zigzag": lambda a, b: corner(at(180 - a), (0, 0), at(180 + b)),
    "inscribed_angle": inscribed,
    "central_angle": lambda a: solve(lambda x: 180 - 2 * a - (180 - x)),
    "thales": lambda a: corner((-1, 0), (1, 0), at(2 * a)),
    "cyclic_quadrilateral": lambda a: corner(at(0), at(2 * a * THIRD), at(2 * a)),
    "tangent_angle": lambda a: 2 * sp.deg(sp.asin(sp.N(sp.cos(sp.pi * a / 360), 40))),
    "tangent_length": lambda r, d: solve(lambda x: x**2 - (d - r) * (d + r)),  # the power of a point
    "crossing_chords": lambda a, b, c: solve(
        lambda x: sp.Matrix(
            [
                [u * u + v * v, u, v, 1]
                for u, v in ((-a, 0), (b, 0), (c * 3 / sp.S(5), c * 4 / sp.S(5)), (-x * 3 / 5, -x * 4 / 5))
            ]
        ).det()
    ),
    "chord": lambda r, d: 2 * solve(lambda x: x**2 + d**2 - r**2),
    "arc_length": lambda r, a: sp.integrate(r, (t, 0, sp.pi * a / 180)),
    "sector_area": lambda r, a: sp.integrate(t * sp.pi * a / 180, (t, 0, r)),
    "circle_area": lambda n, which: sp.integrate(2 * sp.pi * t, (t, 0, sp.Rational(n, which))),
    "circumference": lambda n, which: sp.diff(sp.pi * t**2, t).subs(t, sp.Rational(n, which)),
    "square_in_circle": lambda r: area((r, 0), (0, r), (-r, 0), (0, -r)),
    "rectangle_perimeter": lambda a, b: around((0, 0), (a, 0), (a, b), (0, b)),
    "rectangle_area": lambda a, b: area((0, 0), (a, 0), (a, b), (0, b)),
    "rectangle_diagonal": lambda a, b: length((0, 0), (a, b)),
    "regular_perimeter": lambda n, a: sp.RegularPolygon((0, 0), a / (2 * sp.sin(sp.pi / n)), n).perimeter,
    "regular_angle": lambda n: corner(at(0), at(sp.Rational(360, n)), at(sp.Rational(720, n))),
    "quadrilateral_angle": lambda a, b, c: solve(lambda x: a + b + c + x - 360),
    "parallelogram_angle": lambda a: corner((0, 0), (2, 0), (2 + at(a)[0], at(a)[1])),
    "parallelogram_area": lambda b, h: area((0, 0), (b, 0), (b + 1, h), (1, h)),
    "trapezoid_area": lambda a, b, h: area((0, 0), (a, 0), (1 + b, h), (1, h)),
    "trapezoid_midsegment": lambda a, b: length((HALF, 1), (sp.Rational(a + 1 + b, 2), 1)),
    "rhombus_area": lambda p, q: area((p, 0), (0, q), (-p, 0), (0, -q)),
    "rhombus_side": lambda p, q: around((p, 0), (0, q), (-p, 0), (0, -q)) / 4,
    "similar_sides": lambda a, b, c: solve(lambda x: sp.Rational(b, a) - x / c),
    "side_splitter": lambda a, b, c: solve(lambda x: -a * (c + x) + c * (a + b)),  # DE x BC = 0
    "area_ratio": lambda a, b, s: area((0, 0), (b, 0), (0, sp.Rational(2 * s * b, a * a))),
    "similar_perimeter": lambda a, b, c, d: (
        sp.Triangle(sss=(a, b, c)).scale(sp.Rational(d, a), sp.Rational(d, a)).perimeter
    ),
    "l_shape_area": lambda w, h, u, v: area((0, 0), (w, 0), (w, h - v), (w - u, h - v), (w - u, h), (0, h)),
    "l_shape_perimeter": lambda w, h, u, v: around((0, 0), (w, 0), (w, h - v), (w - u, h - v), (w - u, h), (0, h)),
    "frame_area": lambda w, h, u, v: (
        area((0, 0), (w, 0), (w, h), (0, h)) - area((1, 1), (1 + u, 1), (1 + u, 1 + v), (1, 1 + v))
    ),
    "triangle_in_rectangle": lambda w, h: area((0, 0), (w, 0), (1, h)),
    "ring_area": lambda r, s: sp.integrate(2 * sp.pi * t, (t, s, r)),
    "quarter_circle": lambda r: sp.integrate(sp.sqrt(r**2 - t**2), (t, 0, r)),
    "house_area": lambda w, h, k: area((0, 0), (w, 0), (w, h), (w * HALF, h + k), (0, h)),
}
EVERY = pytest.mark.parametrize("name", FAMILIES)


def some_cases(name: str, count: int) -> list[Case]:
    cases = list(FAMILIES[name].cases(LIMITS))
    return [cases[k * (len(cases) - 1) // max(count - 1, 1)] for k in range(count)]


@EVERY
def test_sympy_finds_the_same_answer(name: str) -> None:
    for case in some_cases(name, 2):
        value = FAMILIES[name].answer(*case)
        gold = sp.Rational(*value.rational.as_integer_ratio()) * sp.sqrt(value.root) * (sp.pi if value.pi else 1)
        assert abs(sp.N(BY_SYMPY[name](*case) - gold, 20)) < 1e-15, (case, value)


def test_there_are_many_families_of_every_topic_and_some_of_each_are_held_out() -> None:
    topics = {family.topic for family in FAMILIES.values()}
    assert topics == {"triangles", "parallels", "circles", "polygons", "similar", "areas"}
    assert {FAMILIES[name].topic for name in HELD_OUT} == topics
    assert {FAMILIES[name].steps for name in HELD_OUT} == {1, 2, 3}
    assert len(FAMILIES) - len(HELD_OUT) >= 20


# The picture, measured.


def figures(name: str, count: int = 3) -> list[tuple[Case, Figure]]:
    rng = np.random.default_rng(0)
    drawn = ((case, FAMILIES[name].figure(case, rng)) for case in some_cases(name, 40))
    found = list(islice(((case, figure) for case, figure in drawn if figure is not None), count))
    assert len(found) == count
    return found


def side(diagram: Diagram, names: tuple[str, ...]) -> float:
    a, b = (tuple(map(float, diagram.points[name])) for name in names)
    return dist(a, b)


def measured(diagram: Diagram, names: tuple[str, ...]) -> float:
    (ax, ay), (vx, vy), (bx, by) = (tuple(map(float, diagram.points[name])) for name in names)
    a, b = (ax - vx, ay - vy), (bx - vx, by - vy)
    return degrees(acos((a[0] * b[0] + a[1] * b[1]) / (hypot(*a) * hypot(*b))))


def read(text: str, x: float) -> float:
    """The number that a label stands for: "12", "35°", "(2x+10)°"."""
    text = text.rstrip("°")
    if "x" not in text:
        return float(text)
    factor, _, added = text.strip("()").partition("x+")
    return float(factor) * x + float(added)


@EVERY
def test_what_a_picture_says_is_true_of_it(name: str) -> None:
    for case, figure in figures(name):
        answer, diagram = float(FAMILIES[name].answer(*case)), figure.diagram
        scales = [side(diagram, i.names) / float(i.text) for i in diagram.labels if i.kind == "segment"]
        assert all(isclose(scale, scales[0], rel_tol=1e-6) for scale in scales)
        for label in diagram.labels:
            if label.kind == "angle":
                assert isclose(measured(diagram, label.names), read(label.text, answer), abs_tol=1e-4)
        if figure.unknown is not None:
            kind, names = figure.unknown
            if kind == "angle":
                assert isclose(measured(diagram, names), answer, abs_tol=1e-4)
            elif kind == "segment":
                assert isclose(side(diagram, names) / scales[0], answer, rel_tol=1e-6)


@EVERY
def test_everything_given_is_printed_and_nothing_else(name: str) -> None:
    family = FAMILIES[name]
    for case, figure in figures(name):
        printed = {label.text.rstrip("°") for label in figure.diagram.labels}
        assert printed <= set(family.printed(*case))
        if name not in ("thirty_sixty", "area_ratio"):
            assert printed == set(family.printed(*case))


@EVERY
def test_what_is_asked_for_has_a_place_for_an_x_or_is_an_area_or_perimeter(name: str) -> None:
    family = FAMILIES[name]
    ((_, figure),) = figures(name, 1)
    has_x = figure.unknown is not None or any("x" in label.text for label in figure.diagram.labels)
    assert has_x == (family.asks not in ("area", "perimeter"))


@EVERY
def test_wordings_name_points_that_have_letters(name: str) -> None:
    ((_, figure),) = figures(name, 1)
    for wording in FAMILIES[name].wordings:
        assert wording.format(**dict.fromkeys(figure.lettered, "")) is not None
        assert not any(character.isdigit() for character in wording)


@EVERY
def test_symmetric_families_may_exchange_their_numbers(name: str) -> None:
    family = FAMILIES[name]
    if family.symmetric:
        for case in some_cases(name, 5):
            assert family.answer(*case) == family.answer(*reversed(case))


def test_limits_bound_the_numbers_in_the_picture() -> None:
    small = Limits(largest=6, angle_step=15)
    for family in FAMILIES.values():
        if family.asks not in ("angle", "value") and family.topic != "similar":
            # Twice the largest: a midsegment's base. Angles of sectors and of special triangles come from a fixed list.
            for case in family.cases(small):
                lengths = [n for n in case if n not in (30, 36, 40, 45, 60, 72, 80, 90, 100, 120, 135, 144, 150)]
                assert max(lengths, default=0) <= 12
    assert all(a % 15 == 0 and b % 15 == 0 for a, b in FAMILIES["third_angle"].cases(small))
