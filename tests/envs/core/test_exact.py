"""Reading answers: values against floats worked out otherwise, units, and what is left to computer algebra."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core.exact import Exact, read


def as_float(value: Exact) -> float:
    return value.sign * math.sqrt(value.top / value.bottom) * math.pi**value.pi


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3.50", -3.5),
        (".5", 0.5),
        ("1,234,567.5", 1234567.5),
        ("7/2", 3.5),
        (r"\frac{3}{2}", 1.5),
        (r"-\dfrac{3}{2}", -1.5),
        (r"\frac12", 0.5),
        (r"3\frac{1}{2}", 3.5),
        (r"3\sqrt{2}", 3 * 2**0.5),
        (r"\frac{5\sqrt{3}}{2}", 2.5 * 3**0.5),
        (r"3\frac{\sqrt{2}}{2}", 1.5 * 2**0.5),
        (r"\sqrt{\frac{1}{4}}", 0.5),
        (r"\sqrt{\frac{2}{9}}", 2**0.5 / 3),
        (r"2\pi", 2 * math.pi),
        (r"\frac{\pi}{3}", math.pi / 3),
        ("2·π", 2 * math.pi),
        ("3√2", 3 * 2**0.5),
        ("4*sqrt(5)", 4 * 5**0.5),
        ("pi/2", math.pi / 2),
        (r"\frac{6}{\pi}", 6 / math.pi),
        (r"2\cdot 3\cdot 4", 24),
        ("50%", 0.5),
        (r"12.5\%", 0.125),
        ("2½", 2.5),
    ],
)
def test_a_product_of_numbers_roots_and_pi_has_its_value(text: str, value: float) -> None:
    found = read(text).value
    assert found is not None and as_float(found) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        (r"30^\circ", "degree", 30),
        (r"30^{\circ}", "degree", 30),
        ("30 degrees", "degree", 30),
        ("30°", "degree", 30),
        ("12 cm", "cm", 12),
        (r"12\text{ cm}", "cm", 12),
        (r"12~\mathrm{cm}^{2}", "cm^2", 12),
        ("12 cm²", "cm^2", 12),
        ("12 square meters", "m^2", 12),
        ("12 cubic inches", "in^3", 12),
        ("5.5 in.", "in", 5.5),
        (r"2\pi ft", "ft", 2 * math.pi),
        ("12", "", 12),
    ],
)
def test_a_unit_is_named_once(text: str, unit: str, value: float) -> None:
    found = read(text)
    assert found.unit == unit
    assert found.value is not None and as_float(found.value) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(
    "text", ["x=5", "x = 5.", r"$x=5$", r"m\angle ABC = 5", "AB = 5", r"\angle 1=5", "≈ 5", r"\(5\)"]
)
def test_a_name_and_typesetting_are_taken_away(text: str) -> None:
    assert read(text).text == "5"


@pytest.mark.parametrize(
    "text",
    [
        "2 3",
        "1/2\\pi",
        "5+1",
        "5-1",
        "5^2",
        "x",
        "",
        ".",
        "-",
        "5 or 6",
        "5, 6",
        "x=5=6",
        "1/0",
        r"\frac{1}{0}",
        "(5",
        "5)",
        *[r"\sqrt{-1}", r"\sqrt{2\pi}", "{" * 100 + "5" + "}" * 100, "٤", "1e5", r"2\frac{3}{2}", "--5"],
    ],
)
def test_what_is_no_certain_product_has_no_value(text: str) -> None:
    assert read(text).value is None


def test_a_mixed_number_takes_nothing_but_its_whole_part() -> None:
    value = read(r"2*3\frac{1}{2}").value
    assert value is None or as_float(value) != 3.5


@settings(max_examples=150)
@given(st.integers(-999, 999), st.integers(1, 60), st.integers(1, 60), st.integers(0, 2))
def test_written_products_are_read_back(a: int, b: int, c: int, pi: int) -> None:
    value = read(rf"{a}\sqrt{{{b}}}" + r"\pi" * pi + rf"/{c}").value
    assert value is not None
    assert as_float(value) == pytest.approx(a * math.sqrt(b) * math.pi**pi / c, rel=1e-12, abs=1e-12)


PIECES = [*"0123456789.,+-*/^_=(){}[]\\ %°πx√", "\\frac", "\\sqrt", "\\pi"]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_reading_never_raises(text: str) -> None:
    read(text)
