"""The check of coordinates: every rule on a figure that just keeps it and one that just breaks it."""

import pytest

from envs.datasets.inter_gps_check import angle, circle_of, inconsistency, radius
from envs.datasets.inter_gps_figure import Figure, FigureError, figure
from envs.datasets.logic_form import parse

# A square of side 100 with its middle E, and F left of it.
POINTS = {"A": (0.0, 0.0), "B": (100.0, 0.0), "C": (100.0, 100.0), "D": (0.0, 100.0), "E": (50.0, 50.0)}
LINES = ["AB", "BC", "CD", "DA", "AC", "BD"]


def make(
    *facts: str, centres: tuple[str, ...] = (), lines: list[str] | None = None, **moved: tuple[float, float]
) -> Figure:
    return figure(POINTS | moved, LINES if lines is None else lines, centres, [parse(fact) for fact in facts])


FACTS = [
    ("PointLiesOnLine(E, Line(A, C))", {"E": (50.0, 52.0)}, {"E": (50.0, 53.5)}, "E is 2.5% away from the line AC"),
    ("Perpendicular(Line(A, B), Line(B, C))", {"C": (108.0, 100.0)}, {"C": (110.0, 100.0)}, "meet at 84.3 degrees"),
    ("Parallel(Line(A, B), Line(D, C))", {"C": (100.0, 108.0)}, {"C": (100.0, 110.0)}, "meet at 5.7 degrees"),
    ("Equals(LengthOf(Line(A, B)), LengthOf(Line(A, D)))", {"D": (0.0, 91.0)}, {"D": (0.0, 89.0)}, "differ by 11%"),
    ("Equals(Line(A, B), Line(A, D))", {"D": (0.0, 91.0)}, {"D": (0.0, 89.0)}, "differ by 11%"),
    (
        "Equals(MeasureOf(Angle(A, B, D)), MeasureOf(Angle(D, B, C)))",
        {"D": (2.0, 103.0)},
        {"D": (0.0, 111.0)},
        "should be equal and differ by 6.0 degrees",
    ),
    ("Equals(MeasureOf(Angle(B, A, C)), 31)", {}, {"C": (100.0, 110.0)}, "BAC is labelled 31 and drawn with 48"),
    ("Equals(MeasureOf(Angle(B, A, C)), 60^\\circ)", {}, {"B": (100.0, 8.0)}, "is labelled 60"),
]


@pytest.mark.parametrize(("fact", "kept", "broken", "reason"), FACTS)
def test_a_predicate_is_held_to_its_tolerance(
    fact: str, kept: dict[str, tuple[float, float]], broken: dict[str, tuple[float, float]], reason: str
) -> None:
    assert inconsistency(make(fact)) is None
    assert inconsistency(make(fact, **kept)) is None
    assert reason in (inconsistency(make(fact, **broken)) or "")


def test_points_of_a_circle_are_held_to_its_radius() -> None:
    facts = [f"PointLiesOnCircle({p}, Circle(E, radius_0_0))" for p in "ABCD"]
    assert inconsistency(make(*facts)) is None
    assert inconsistency(make(*facts, D=(3.0, 95.0))) is None
    assert "D is 13% of the radius off the circle around E" in (inconsistency(make(*facts, D=(0.0, 112.0))) or "")


def test_the_radius_is_that_of_most_points() -> None:
    facts = [f"PointLiesOnCircle({p}, Circle(E, radius_0_0))" for p in "ABC"]
    drawn = make(*facts, C=(110.0, 110.0))
    assert radius(drawn.circles[0], drawn) == pytest.approx(50 * 2**0.5)


def test_a_point_without_a_position_is_named() -> None:
    assert inconsistency(make("PointLiesOnLine(Q, Line(A, C))")) == "Q has no position"
    assert inconsistency(make(lines=["AQ", "RB"])) == "Q, R have no position"


def test_points_that_cannot_be_told_apart_are_refused() -> None:
    assert "A and D lie 1.0% apart" in (inconsistency(make(D=(1.0, 0.0), lines=["AB", "BC", "AD"])) or "")


def test_an_arc_needs_a_circle() -> None:
    assert "lie on no common circle" in (inconsistency(make("Equals(MeasureOf(Arc(A, B)), 90)")) or "")
    drawn = make("Equals(MeasureOf(Arc(A, B)), 90)", *(f"PointLiesOnCircle({p}, Circle(E, r))" for p in "AB"))
    assert inconsistency(drawn) is None
    assert circle_of(("A", "B"), drawn) is drawn.circles[0]


def test_a_circle_needs_a_point_on_it() -> None:
    assert inconsistency(make(centres=("E",))) == "no point lies on the circle around E"


def test_an_angle_has_one_number() -> None:
    one, same, other = (f"Equals(MeasureOf(Angle({three})), MeasureOf(angle {n}))" for three, n in
                        (("A, B, C", 1), ("C, B, A", 1), ("C, B, A", 2)))  # fmt: skip
    assert inconsistency(make(one, same)) is None
    assert "CBA is called by two numbers" in (inconsistency(make(one, other)) or "")


def test_an_empty_figure_is_refused() -> None:
    assert "no line and no circle" in (inconsistency(make(lines=[])) or "")


def test_angles_are_measured_between_0_and_180() -> None:
    drawn = make()
    assert angle(drawn, ("B", "A", "C")) == pytest.approx(45)
    assert angle(drawn, ("C", "A", "B")) == pytest.approx(45)
    assert angle(drawn, ("A", "E", "C")) == pytest.approx(180)


@pytest.mark.parametrize(
    ("facts", "lines", "message"),
    [
        (["PointLiesOnCircle(A, E)"], [], "names no circle"),
        (["PointLiesOnLine(A, Line(B))"], [], "expected Line of 2 points"),
        (["PointLiesOnLine(quux, Line(A, B))"], [], "'quux' is no point"),
        (["Equals(Square(1), Square(2))"], [], "which names no points"),
        (["Equals(LengthOf(Line(A, B)), MeasureOf(Angle(A, B, C)))"], [], "cannot be drawn as equal"),
        (["Equals(MeasureOf(angle 3), 40)"], [], "nothing says where the angle 3 is"),
        (["Similar(Triangle(A, B, C), Triangle(B, C, D))"], [], "is no fact about a diagram"),
        ([], ["ABd"], "the line 'ABd' does not name two points"),
    ],
)
def test_what_is_not_understood_is_quoted(facts: list[str], lines: list[str], message: str) -> None:
    with pytest.raises(FigureError, match=message):
        make(*facts, lines=lines)


def test_a_numbered_angle_takes_the_size_that_its_number_is_given() -> None:
    drawn = make("Equals(MeasureOf(angle 1), 58)", "Equals(MeasureOf(Angle(B, A, C)), MeasureOf(angle 1))")
    assert drawn.angle == [(("B", "A", "C"), "58")]
    assert drawn.number == [(("B", "A", "C"), "1")]
