"""Which answers are the same value, against judgements made by hand."""

import os
import subprocess
import sys
import time
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core import computer_algebra, mathematics
from envs.core.errors import MissingExtraError
from envs.core.garbage import GARBAGE
from envs.core.mathematics import boxed, same_value

# Decided here, without another process.
SAME = [
    (r"\frac{3}{2}", "1.5"),
    ("1.5", r"\frac{3}{2}"),
    (r"3\sqrt{2}", r"\sqrt{18}"),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"),
    (r"30^\circ", "30"),
    ("30", "30 degrees"),
    ("12 cm", "12"),
    ("12 centimeters", "12 cm"),
    ("x=5", "5"),
    (r"\boxed{5}", "5"),
    ("-5.0", "-5"),
    ("0", "-0"),
    ("1,234", "1234"),
    ("50%", r"\frac{1}{2}"),
    ("x", "x"),
]
ROUNDED = [
    ("2.04", "2.0"),
    ("2.05", "2.0"),
    (r"6\pi", "18.85"),
    (r"2\sqrt{61}", "15.6"),
    (r"\frac{7}{3}", "2.3"),
    ("-2.04", "-2.0"),
    ("4.242641", r"3\sqrt{2}"),
    ("0.333333", r"\frac{1}{3}"),
]
OTHER = [
    ("6", "5"),
    ("-5", "5"),
    ("2.06", "2.0"),
    ("18.8", "18.81"),
    (r"6\pi", "18.86"),
    (r"-6\pi", "18.85"),
    ("4.24", r"3\sqrt{2}"),
    ("4.242642", r"3\sqrt{2}"),
    ("2.4", "2"),
    ("12 cm", "12 m"),
    ("12 cm", "12 cm^2"),
    ("5 or 6", "5"),
    ("6, 5", "5"),
    ("5 6", "56"),
    ("x=6=5", "5"),
    ("", "5"),
    (".", "5"),
    ("y", "x"),
    ("nan", "5"),
    (r"\pi", "3"),
]
ALGEBRA_SAME = [
    (r"2+3\sqrt{2}", r"3\sqrt{2}+2"),
    (r"\frac{5+\sqrt{25}}{2}", "5"),
    ("5^2", "25"),
    (r"\sqrt[3]{8}", "2"),
    (r"10\sin 30^\circ", "5"),
    (r"\pi^2", "9.87"),
    ("2x+3", "3+2x"),
    ("5!", "120"),
    (r"6\sqrt{3}-6", "4.4"),
]
ALGEBRA_OTHER = [
    (r"2+3\sqrt{2}", r"3\sqrt{2}-2"),
    ("2x+3", "2x+4"),
    (r"\pi^2", "9.88"),
    (r"\sqrt{-1}", "1"),
    ("1/0", "5"),
]


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> bool:
        raise AssertionError("this answer needs no computer algebra")

    monkeypatch.setattr(mathematics, "agree", forbidden)


@pytest.mark.usefixtures("no_process")
@pytest.mark.parametrize(("said", "gold"), SAME + ROUNDED)
def test_the_same_value_in_another_form_is_right(said: str, gold: str) -> None:
    assert same_value(said, gold) == 1.0


@pytest.mark.usefixtures("no_process")
@pytest.mark.parametrize(("said", "gold"), OTHER)
def test_another_value_is_wrong(said: str, gold: str) -> None:
    assert same_value(said, gold) == 0.0


@pytest.mark.usefixtures("no_process")
@settings(max_examples=200)
@given(st.integers(-9999, 9999), st.integers(1, 99), st.integers(0, 3))
def test_a_gold_decimal_is_what_the_exact_value_rounds_to(top: int, bottom: int, places: int) -> None:
    gold = f"{round(top / bottom, places):.{places}f}"
    if places and (2 * top * 10**places) % bottom:  # no tie, on which floats and fractions may differ
        assert same_value(f"{top}/{bottom}", gold) == 1.0
        assert same_value(f"{top + bottom}/{bottom}", gold) == 0.0


@pytest.mark.parametrize(("said", "gold"), ALGEBRA_SAME)
def test_computer_algebra_finds_them_equal(said: str, gold: str) -> None:
    assert same_value(said, gold) == 1.0


@pytest.mark.parametrize(("said", "gold"), ALGEBRA_OTHER)
def test_computer_algebra_finds_them_different(said: str, gold: str) -> None:
    assert same_value(said, gold) == 0.0


def test_code_in_an_answer_is_not_run(tmp_path: object) -> None:
    witness = f"{tmp_path}/written"
    for text in (f"__import__('os').system('touch {witness}')", f"\\sqrt{{open('{witness}','w')}}", "().__class__"):
        assert same_value(text, "5") == 0.0
    assert not os.path.exists(witness)


@pytest.mark.usefixtures("no_process")
@pytest.mark.parametrize(
    "text", [*GARBAGE.values(), "9" * 513, "5" + " " * 600 + "x", "(" * 500, "{" * 250 + "}" * 250]
)
def test_garbage_is_wrong_at_once(text: str) -> None:
    start = time.process_time()
    assert same_value(text, "4") == 0.0 or text.strip() == "4"
    assert boxed(text) is None
    assert time.process_time() - start < 2.0


PIECES = [*"0123456789.,+-*/^_=!(){}[]\\ %°πx√²", "\\frac", "\\sqrt", "\\pi", "\\text{", "\\boxed{", " cm"]
ANY = st.text(st.characters(codec=None), max_size=60) | st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@settings(max_examples=400)
@given(ANY)
def test_no_text_raises(text: str) -> None:
    kept, mathematics.agree = mathematics.agree, lambda *_: False
    try:
        assert same_value(text, r"3\sqrt{2}") in (0.0, 1.0)
        boxed(text)
    finally:
        mathematics.agree = kept


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (r"so \boxed{5}", "5"),
        (r"\boxed{5} no, \boxed{6}", "6"),
        (r"\boxed{\frac{3}{2}}", r"\frac{3}{2}"),
        (r"\boxed {5}", "5"),
        (r"\boxed{\boxed{5}}", r"\boxed{5}"),
        (r"\boxed{5} and \boxed{6", "5"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{ \boxed{5}", "5"),
        (r"} \boxed{5}", "5"),
        (r"\boxed{}", ""),
        (r"\boxed{5", None),
        ("5", None),
        ("", None),
    ],
)
def test_the_last_complete_box_is_read(text: str, held: str | None) -> None:
    assert boxed(text) == held


def test_a_megabyte_of_boxes_takes_no_time() -> None:
    start = time.process_time()
    assert boxed("\\boxed{" * 140_000) is None
    assert boxed("\\boxed{5}" * 100_000 + "}" * 10_000) == "5"
    assert time.process_time() - start < 5.0


def test_the_same_pair_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(mathematics, "agree", lambda *question: asked.append(question) or True)
    for _ in range(3):
        assert same_value("77+1", "78") == 1.0
    assert len(asked) == 1
    mathematics._same_symbolically.cache_clear()


def test_without_math_verify_plain_numbers_still_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mathematics, "find_spec", lambda _: None)
    mathematics._same_symbolically.cache_clear()
    assert all(same_value(said, gold) == 1.0 for said, gold in chain(SAME, ROUNDED))
    for call in (mathematics.require, lambda: same_value("1+1", "2")):
        with pytest.raises(MissingExtraError, match=r"pip install 'rllava-gym\[geometry\]'"):
            call()


def test_importing_loads_no_computer_algebra() -> None:
    code = "import sys, envs.core.mathematics as m; print(m.same_value('1', '1.0') == 1 and 'sympy' not in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert computer_algebra.CPU_SECONDS == 2.0
