"""Exact values: how they are written and what says them."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.geometry.values import Value, rational, root_of, says, times_pi


@pytest.mark.parametrize(
    ("value", "plain", "latex"),
    [
        (rational(12), "12", "12"),
        (rational(6, 4), "3/2", "\\frac{3}{2}"),
        (root_of(50), "5√2", "5\\sqrt{2}"),
        (root_of(7), "√7", "\\sqrt{7}"),
        (root_of(3, Fraction(5, 2)), "5/2√3", "\\frac{5}{2}\\sqrt{3}"),
        (root_of(36), "6", "6"),
        (times_pi(9), "9π", "9\\pi"),
        (times_pi(1), "π", "\\pi"),
        (times_pi(3, 2), "3/2π", "\\frac{3}{2}\\pi"),
    ],
)
def test_a_value_is_written_plainly_and_in_latex(value: Value, plain: str, latex: str) -> None:
    assert (value.plain, value.latex) == (plain, latex)


def test_a_root_is_drawn_out_as_far_as_it_goes() -> None:
    for square in range(1, 200):
        value = root_of(square)
        assert value.rational**2 * value.root == square
        assert all(value.root % (k * k) for k in range(2, 15))


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("12", rational(12)),
        (" 12.0 ", rational(12)),
        ("12°", rational(12)),
        ("$12^\\circ$", rational(12)),
        ("12 degrees", rational(12)),
        ("12 cm", rational(12)),
        ("\\boxed{12}", rational(12)),
        ("x = 12", rational(12)),
        ("3/2", rational(3, 2)),
        ("1.5", rational(3, 2)),
        ("\\frac{3}{2}", rational(3, 2)),
        ("\\dfrac{3}{2}", rational(3, 2)),
        ("5\\sqrt{2}", root_of(50)),
        ("5√2", root_of(50)),
        ("\\sqrt{50}", root_of(50)),
        ("\\frac{5\\sqrt{3}}{2}", root_of(3, Fraction(5, 2))),
        ("9\\pi", times_pi(9)),
        ("9π", times_pi(9)),
        ("\\frac{3\\pi}{2}", times_pi(3, 2)),
    ],
)
def test_the_value_may_be_said_in_many_ways(said: str, value: Value) -> None:
    assert says(said, value) == 1.0


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("13", rational(12)),
        ("-12", rational(12)),
        ("", rational(12)),
        ("12 or 13", rational(12)),
        ("1 2", rational(12)),
        ("5", root_of(50)),
        ("7", root_of(50)),
        ("9", times_pi(9)),
        ("28", times_pi(9)),
        ("0.33", rational(1, 3)),
    ],
)
def test_another_value_is_wrong(said: str, value: Value) -> None:
    assert says(said, value) == 0.0


@pytest.mark.parametrize(
    "said",
    ["180-90", "180 - 90", "45+45", "9*10", "9\\times 10", "9 · 10", "180/2", "\\frac{180}{2}", "90/1", "\\sqrt{8100}",
     "√8100", "90\\pi/\\pi", "180\u221290", "\\frac{90^\\circ}{1}"],
)  # fmt: skip
def test_a_computation_left_undone_is_no_answer(said: str) -> None:
    assert says(said, rational(90)) == 0.0


def test_fractions_must_be_in_lowest_terms() -> None:
    assert says("3/2", rational(3, 2)) == 1.0
    assert says("6/4", rational(3, 2)) == says("\\frac{6}{4}", rational(3, 2)) == 0.0


def test_sums_are_no_values_of_roots_either() -> None:
    assert says("2\\sqrt{2}+3\\sqrt{2}", root_of(50)) == 0.0


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80), st.sampled_from([rational(12), rational(3, 2), root_of(50), times_pi(9)]))
def test_any_text_is_right_or_wrong(text: str, value: Value) -> None:
    assert says(text, value) in (0.0, 1.0)


def test_endless_answers_are_wrong_at_once() -> None:
    assert says("9" * 5000, rational(9)) == says("{" * 100_000, rational(9)) == 0.0
