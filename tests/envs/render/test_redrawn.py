"""From predicates to diagrams: what is drawn, labelled and marked, and where."""

import pytest

from envs.datasets.inter_gps_figure import Figure, figure
from envs.datasets.logic_form import parse
from envs.render.diagram import Diagram, Label, Mark, draw
from envs.render.redrawn import diagram, picture

POINTS = {
    "A": (0.0, 0.0), "B": (100.0, 0.0), "C": (100.0, 100.0), "D": (0.0, 100.0), "E": (50.0, 50.0),
}  # fmt: skip


def make(*facts: str, lines: tuple[str, ...] = ("AB", "BC", "CD", "DA", "AC"), centres: tuple[str, ...] = ()) -> Figure:
    return figure(POINTS, lines, centres, [parse(fact) for fact in facts])


def labels(drawn: Diagram, kind: str) -> dict[tuple[str, ...], str]:
    return {label.names: label.text for label in drawn.labels if label.kind == kind}


def marks(drawn: Diagram, kind: str) -> list[tuple[tuple[str, ...], int]]:
    return [(mark.names, mark.count) for mark in drawn.marks if mark.kind == kind]


def test_pictures_have_y_up() -> None:
    assert diagram(make()).points["C"] == (100.0, -100.0)


def test_a_line_is_cut_at_the_points_on_it_and_drawn_once() -> None:
    drawn = diagram(make("PointLiesOnLine(E, Line(A, C))", lines=("AC", "AE", "EC", "AB")))
    assert sorted(sorted(pair) for pair in drawn.segments) == [["A", "B"], ["A", "E"], ["C", "E"]]


def test_given_lengths_and_angles_are_labels() -> None:
    drawn = diagram(
        make(
            "Equals(LengthOf(Line(A, B)), 5\\sqrt{3})",
            "Equals(LengthOf(Line(A, B)), 5\\sqrt{3})",
            "Equals(MeasureOf(Angle(B, A, C)), 45)",
            "Equals(MeasureOf(Angle(A, C, D)), 3x-5)",
        )
    )
    assert labels(drawn, "segment") == {("A", "B"): "5√3"}
    assert labels(drawn, "angle") == {("B", "A", "C"): "45°", ("A", "C", "D"): "(3x-5)°"}


def test_angles_have_numbers_only_where_the_question_uses_them() -> None:
    facts = ("Equals(MeasureOf(Angle(B, A, C)), MeasureOf(angle 1))", "Equals(MeasureOf(Angle(B, A, C)), 45)")
    assert labels(diagram(make(*facts), numbered=True), "angle") == {("B", "A", "C"): "1: 45°"}
    assert labels(diagram(make(*facts), numbered=False), "angle") == {("B", "A", "C"): "45°"}


def test_a_label_of_an_angle_stays_between_the_nearest_points_of_its_arms() -> None:
    drawn = diagram(make("PointLiesOnLine(E, Line(A, C))", "Equals(MeasureOf(Angle(B, A, C)), 45)"))
    assert list(labels(drawn, "angle")) == [("B", "A", "E")]


def test_equal_sides_have_equal_ticks_and_other_classes_others() -> None:
    drawn = diagram(
        make(
            "Equals(LengthOf(Line(A, B)), LengthOf(Line(B, C)))",
            "Equals(LengthOf(Line(B, C)), LengthOf(Line(C, D)))",
            "Equals(LengthOf(Line(A, E)), LengthOf(Line(E, C)))",
        )
    )
    assert marks(drawn, "ticks") == [
        (("A", "B"), 1),
        (("B", "C"), 1),
        (("C", "D"), 1),
        (("A", "E"), 2),
        (("E", "C"), 2),
    ]


def test_classes_that_meet_later_become_one() -> None:
    drawn = diagram(
        make(
            "Equals(LengthOf(Line(A, B)), LengthOf(Line(B, C)))",
            "Equals(LengthOf(Line(C, D)), LengthOf(Line(D, A)))",
            "Equals(LengthOf(Line(B, C)), LengthOf(Line(D, C)))",
        )
    )
    assert {count for _, count in marks(drawn, "ticks")} == {1}
    assert len(marks(drawn, "ticks")) == 4


def test_equal_angles_have_arcs() -> None:
    drawn = diagram(make("Equals(MeasureOf(Angle(B, A, C)), MeasureOf(Angle(C, A, D)))"))
    assert marks(drawn, "angle") == [(("B", "A", "C"), 1), (("C", "A", "D"), 1)]


def test_perpendiculars_have_their_square_where_they_meet() -> None:
    drawn = diagram(make("Perpendicular(Line(A, B), Line(C, B))"))
    assert marks(drawn, "right") == [(("A", "B", "C"), 1)]
    crossing = make("Perpendicular(Line(A, C), Line(B, D))", "PointLiesOnLine(E, Line(A, C))")
    ((_, corner, _),) = [names for names, _ in marks(diagram(crossing), "right")]
    assert corner == "E"


def test_parallels_have_arrow_heads_that_point_the_same_way() -> None:
    drawn = diagram(make("Parallel(Line(A, B), Line(C, D))", "Parallel(Line(A, B), Line(D, C))"))
    assert marks(drawn, "arrows") == [(("A", "B"), 1), (("D", "C"), 1)]


def test_circles_have_the_radius_of_their_points_and_a_dot() -> None:
    drawn = diagram(make(*(f"PointLiesOnCircle({p}, Circle(E, radius_0_0))" for p in "ABCD")))
    (circle,) = drawn.circles
    assert circle.center == "E" and circle.radius == pytest.approx(50 * 2**0.5)
    assert Mark("dot", ("E",)) in drawn.marks


def test_an_arc_is_labelled_on_its_shorter_side() -> None:
    facts = [f"PointLiesOnCircle({p}, Circle(E, radius_0_0))" for p in "ABCD"]
    for ends in ("A, B", "B, A"):
        drawn = diagram(make(*facts, f"Equals(MeasureOf(Arc({ends})), 4x+50)"))
        # A is left, B right, both above E: counterclockwise from B to A.
        assert labels(drawn, "arc") == {("E", "B", "A"): "(4x+50)°"}


def test_points_have_names_unless_angles_have_numbers() -> None:
    assert {names[0] for names in labels(diagram(make(), numbered=False), "point")} == {"A", "B", "C", "D"}
    assert labels(diagram(make(), spoken=["B"], numbered=True), "point") == {("B",): "B"}


def test_a_crowded_figure_names_only_what_is_spoken_of() -> None:
    points = {chr(65 + k): (float(10 * k), float(k * k)) for k in range(16)}
    crowd = figure(points, [f"{chr(65 + k)}{chr(66 + k)}" for k in range(15)], [], [])
    assert set(labels(diagram(crowd, spoken=["C", "F"], numbered=False), "point")) == {("C",), ("F",)}


def test_smaller_letters_are_taken_where_usual_ones_do_not_fit() -> None:
    wide = make(f"Equals(LengthOf(Line(A, B)), {'1234567890' * 4})")
    assert draw(diagram(wide), (336, 336)).overlaps > 0
    assert picture(wide, (336, 336)).overlaps == 0


def test_the_same_figure_gives_the_same_pixels_and_its_labels_show() -> None:
    plain, labelled = make(), make("Equals(LengthOf(Line(A, B)), 7)")
    one, again, other = (picture(f, (224, 224), (), False) for f in (plain, plain, labelled))
    assert (one.pixels == again.pixels).all()
    assert (one.pixels != other.pixels).any()
    assert other.overlaps == 0 and Label("7", "segment", ("A", "B")) in diagram(labelled).labels
