"""The language of Inter-GPS: what is read, and what is refused with its place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.datasets.logic_form import Form, LogicFormError, parse


def test_predicates_nest_and_expressions_stay_text() -> None:
    form = parse("Equals(LengthOf(Line(A, B)), x+\\frac{10}{3})")
    line = Form("Line", ("A", "B"))
    assert form == Form("Equals", (Form("LengthOf", (line,)), "x+\\frac{10}{3}"))


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("Find(x)", ("x",)),
        ("Find( 2x^{2}-10 )", ("2x^{2}-10",)),
        ("Find(2(x+1))", ("2(x+1)",)),
        ("PointLiesOnCircle(Z, Circle(X, radius_0_0))", ("Z", Form("Circle", ("X", "radius_0_0")))),
        ("MeasureOf(angle 1)", ("angle 1",)),
        ("Shape($1)", ("$1",)),
    ],
)
def test_arguments_are_read(text: str, args: tuple[object, ...]) -> None:
    form = parse(text)
    assert isinstance(form, Form) and form.args == args


def test_a_text_without_a_predicate_is_an_expression() -> None:
    assert parse(" 3y+5 ") == "3y+5"


def test_a_form_is_written_as_it_was_read() -> None:
    text = "Equals(MeasureOf(Angle(D,A,B)),Mul(MeasureOf(Angle(A,D,C)),2))"
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at character 1; got nothing"),
        ("Find(", "at character 6; got nothing"),
        ("Find()", "at character 6; got nothing"),
        ("Find(x", "Find is never closed"),
        ("Find(x))", r"expected the end at character 8; got '\)'"),
        ("Tangent(Line(A,B),Circle(C)) and more", "after Tangent.* at character 30; got 'and more'"),
        ("Line(A,,B)", "at character 8; got nothing"),
        ("Find(x}", "'}' at character 7 closes nothing"),
        ("Find({x))", r"expected '}' at character 8; got '\)'"),
        ("Find((x)", r"Find is never closed"),
        ("Find((x", r"expected '\)' at the end"),
        ("Not(" * 40 + "x" + ")" * 40, "nested more than 16 deep"),
        ("x" * 3000, "at most 2048 characters"),
    ],
)
def test_what_is_no_form_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(LogicFormError, match=message):
        parse(text)


@settings(max_examples=100)
@given(st.lists(st.sampled_from(["Line(", "Find(", "A", "x", ",", ")", "(", "{", "}", " ", "2", "$"]), max_size=16))
def test_any_text_is_read_or_refused(pieces: list[str]) -> None:
    try:
        form = parse("".join(pieces))
    except LogicFormError:
        return
    assert parse(str(form)) == form
