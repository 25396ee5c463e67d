"""Constructions become pictures: turned, mirrored, lettered."""

from math import dist

import numpy as np

from envs.geometry.construction import LETTERS, construct, outline
from envs.geometry.families import FAMILIES
from envs.render.diagram import Diagram, Label
from envs.render.diagram_fit import fit


def test_turning_keeps_lengths_and_mirrors_about_half_of_the_figures() -> None:
    rng, left = np.random.default_rng(0), 0
    for _ in range(60):
        made = construct(FAMILIES["leg"], (10, 6), "Find x.", False, rng)
        assert made is not None
        a, b, c = (made[0].points[name] for name in "ABC")
        assert abs(dist(a, b) - 6) < 1e-6
        assert abs(dist(b, c) - 10) < 1e-6
        left += (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0
    assert 15 <= left <= 45


def test_an_arc_keeps_its_end_points_and_size_when_mirrored() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        made = construct(FAMILIES["arc_length"], (6, 60), "How long is arc {A}{B}?", False, rng)
        assert made is not None
        (arc,) = made[0].arcs
        (ax, ay), (bx, by) = (made[0].points[name] for name in (arc.start, arc.end))
        assert ax * by - ay * bx > 0  # counterclockwise by 60 degrees, not by 300


def test_x_is_written_where_the_question_asks_for_it() -> None:
    rng = np.random.default_rng(0)
    for wording, with_x, expected in (("Find x.", False, 1), ("How long is {A}{C}?", False, 0), ("", True, 1)):
        made = construct(FAMILIES["leg"], (10, 6), wording, with_x, rng)
        assert made is not None
        assert [label.text for label in made[0].labels].count("x") == expected


def test_a_figure_and_its_mirror_image_that_look_the_same_have_the_same_outline() -> None:
    square = {"A": (0, 0), "B": (1, 0), "C": (1, 1), "D": (0, 1)}
    sides = (("A", "B"), ("B", "C"), ("C", "D"), ("D", "A"))
    mirrored = {"B": (0, 0), "A": (1, 0), "D": (1, 1), "C": (0, 1)}
    one, other = (Diagram(points, sides, labels=(Label("7", "segment", ("A", "B")),)) for points in (square, mirrored))
    assert outline(one, fit(one, (224, 224))) == outline(other, fit(other, (224, 224)))
    moved = Diagram(square, sides, labels=(Label("7", "segment", ("B", "C")),))
    assert outline(one, fit(one, (224, 224))) != outline(moved, fit(moved, (224, 224)))


def test_letters_differ_and_are_none_that_look_like_digits() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        made = construct(FAMILIES["cyclic_quadrilateral"], (70,), "{A}{B}{C}{D}", False, rng)
        assert made is not None
        assert len(set(made[1])) == 4
        assert set(made[1]) <= set(LETTERS)
    assert not {"I", "O"} & set(LETTERS)
