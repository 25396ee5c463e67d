"""Places for labels: near what they name, outside rather than inside, never where there is no room."""

from __future__ import annotations

from itertools import combinations

import pytest

from envs.render.diagram import Box, Diagram, Label, draw
from envs.render.diagram_fit import fit
from envs.render.diagram_labels import overlap
from envs.render.diagram_strokes import SUB

POINTS = {"A": (0, 0), "B": (8, 0), "C": (4, 6)}
SIDES = (("A", "B"), ("B", "C"), ("C", "A"))


def middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0, 0, 4, 4), (3, 3, 6, 6), True),
        ((0, 0, 4, 4), (4, 0, 6, 4), False),
        ((0, 0, 4, 4), (0, 4, 4, 6), False),
        ((0, 0, 9, 9), (3, 3, 4, 4), True),
    ],
)
def test_boxes_overlap_if_they_share_a_pixel(one: Box, other: Box, expected: bool) -> None:
    assert overlap(one, other) == overlap(other, one) == expected


def test_a_sides_label_lies_outside_of_its_figure() -> None:
    drawing = draw(Diagram(POINTS, SIDES, labels=(Label("12", "segment", ("A", "B")),)))
    at = fit(Diagram(POINTS, SIDES), (224, 224)).at
    assert middle(drawing.boxes[0])[1] > at["A"][1] / SUB


def test_outside_is_judged_figure_by_figure() -> None:
    # The right side of the left triangle faces the middle of the picture: outside all the same.
    two = POINTS | {"D": (20, 0), "E": (28, 0), "F": (24, 6)}
    lines = (*SIDES, ("D", "E"), ("E", "F"), ("F", "D"))
    drawing = draw(Diagram(two, lines, labels=(Label("7", "segment", ("B", "C")),)), (400, 200))
    at = fit(Diagram(two, lines), (400, 200)).at
    assert middle(drawing.boxes[0])[0] > (at["B"][0] + at["C"][0]) / 2 / SUB


def test_an_angles_label_lies_within_the_angle() -> None:
    drawing = draw(Diagram(POINTS, SIDES, labels=(Label("53°", "angle", ("B", "A", "C")),)))
    at = fit(Diagram(POINTS, SIDES), (224, 224)).at
    x, y = middle(drawing.boxes[0])
    x, y = x - at["A"][0] / SUB, at["A"][1] / SUB - y
    assert x > 0
    assert 0 < y < 1.5 * x


def test_a_points_label_lies_opposite_to_its_lines() -> None:
    drawing = draw(Diagram(POINTS, SIDES, labels=(Label("C", "point", ("C",)),)))
    at = fit(Diagram(POINTS, SIDES), (224, 224)).at
    assert drawing.boxes[0][3] <= at["C"][1] / SUB


@pytest.mark.parametrize(("start", "end", "above"), [("P", "Q", True), ("Q", "P", False)])
def test_an_arcs_label_lies_outside_in_the_middle_of_the_arc(start: str, end: str, above: bool) -> None:
    points = {"O": (0, 0), "P": (3, 1), "Q": (-3, 1)}
    label = (Label("5π", "arc", ("O", start, end)),)
    diagram = Diagram(points | {"U": (0, 5), "V": (0, -5)}, labels=label)
    at = fit(diagram, (224, 224)).at
    assert (middle(draw(diagram).boxes[0])[1] < at["O"][1] / SUB) == above


def test_labels_that_want_the_same_place_are_put_apart() -> None:
    names = tuple(Label(text, "point", ("B",)) for text in ("B", "D", "E"))
    drawing = draw(
        Diagram(POINTS, SIDES, labels=(*names, Label("12", "segment", ("A", "B")), Label("8", "segment", ("A", "B"))))
    )
    assert drawing.overlaps == 0
    assert not any(overlap(a, b) for a, b in combinations(drawing.boxes, 2))
