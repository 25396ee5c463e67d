"""Predicates in English, against sentences written by hand."""

import pytest

from envs.datasets.inter_gps_text import math_text, question
from envs.datasets.logic_form import Form, parse


def say(*texts: str) -> str:
    forms = [parse(text) for text in texts]
    assert all(isinstance(form, Form) for form in forms)
    return question(forms)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("forms", "sentences"),
    [
        (["Find(x)"], "Find x."),
        (["Find(LengthOf(Line(A,B)))", "Equals(LengthOf(Line(B,C)),7)"], "BC = 7. Find AB."),
        (["Equals(MeasureOf(Angle(1)),58)", "Find(MeasureOf(Angle(A,B,C)))"], "m∠1 = 58. Find m∠ABC."),
        (["Parallelogram(M,N,P,R)", "Find(y)"], "MNPR is a parallelogram. Find y."),
        (["Parallelogram($)", "Find(y)"], "The figure is a parallelogram. Find y."),
        (["Congruent(Triangle(A,B,C),Triangle(D,E,F))", "Find(x)"], "△ABC is congruent to △DEF. Find x."),
        (["Circle(P)", "Find(MeasureOf(Arc(A,B)))"], "The circle has the centre P. Find the measure of arc AB."),
        (["Tangent(Line($),Circle($))", "Find(x)"], "The line is tangent to the circle. Find x."),
        (["IsMedianOf(Line(J,K),Quadrilateral(A,B,T,Q))", "Find(x)"], "JK is a median of quadrilateral ABTQ. Find x."),
        (["IsAltitudeOf(Line(C,P),Shape($))", "Find(x)"], "CP is an altitude of the figure. Find x."),
        (["IsMidpointOf(Point(R),Line(A,B))", "Find(x)"], "R is the midpoint of AB. Find x."),
        (
            ["IsPerpendicularBisectorOf(Line(m),Line(X,Z))", "Find(x)"],
            "Line m is the perpendicular bisector of XZ. Find x.",
        ),
        (["Find(AreaOf(Shaded(Shape($))))"], "Find the area of the shaded figure."),
        (["Find(RatioOf(CosOf(Angle(B))))"], "Find cos B."),
        (["Find(RatioOf(Line(A,B),Line(C,D)))"], "Find the ratio of AB to CD."),
        (["Equals(LengthOf(Line(P,M)),Mul(Line(K,P),2))", "Find(x)"], "PM = KP · 2. Find x."),
        (["Equals(c,5)", "Find(x)"], "c = 5. Find x."),
        (["IntersectAt(Line(F,H),Line(G,J),Point(K))", "Find(x)"], "FH and GJ intersect at K. Find x."),
        (["Isosceles(Triangle(A,B,C))", "Find(x)"], "△ABC is isosceles. Find x."),
        (["Regular(Hexagon(U,V,W,X,Y,Z))", "Find(x)"], "Hexagon UVWXYZ is regular. Find x."),
        (["UseTheorem(Bisector_Theorem)", "Find(x)"], "Find x."),
        (["IsOrthocenterOf(Point(A),Triangle(B,C,D))", "Find(x)"], "A is the orthocenter of △BCD. Find x."),
    ],
)
def test_predicates_become_sentences(forms: list[str], sentences: str) -> None:
    assert say(*forms) == sentences


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\\frac{1}{2}x+12", "(1/2)x+12"),
        ("x+\\frac{10}{3}", "x+10/3"),
        ("2\\sqrt{3}", "2√3"),
        ("\\sqrt{x+1}", "√(x+1)"),
        ("2x^{2}-10", "2x²-10"),
        ("y^2", "y²"),
        ("x^{n+1}", "x^(n+1)"),
        ("42\\pi", "42π"),
        ("54^\\circ", "54°"),
        ("2 * a", "2·a"),
    ],
)
def test_expressions_lose_their_latex(text: str, plain: str) -> None:
    assert math_text(text) == plain
