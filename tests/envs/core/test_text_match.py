"""Exact match and token F1. The published cases are rows of the predictions released with Visual-ARFT."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core.errors import ArgumentError
from envs.core.text_match import exact_match, f1, normalise
from tests.oracle import text_match as oracle

PROTOCOLS = ("strict", "faithful")
# No digits, so that decimal points do not matter; no yes and no, which stand alone.
WORDS = st.lists(
    st.sampled_from(["a", "An", "the", "cat", "Cat.", "dog", "dog-house", "dog", "!", "(tree)"]), max_size=6
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("said", "gold", "exact", "overlap"),
    [
        ("Play well", "Play well.", 1, 1),
        ("UNIVERSITY OF WISCONSIN", "University of Wisconsin", 1, 1),
        ("A recycle bin", "recycle bin", 1, 1),
        # One of two words said (precision 1/1, recall 1/2), and the other way round.
        ("Wind", "Wind energy", 0, 2 / 3),
        ("Shiner Beer", "shiner", 0, 2 / 3),
        # "fin whale" of three words said: precision 2/3, recall 2/2.
        ("Cetaceans; Fin whale", "Fin whale", 0, 4 / 5),
        # 2 of 3 said, 2 of 2 gold.
        ("London, River Thames", "London, Thames", 0, 4 / 5),
        # "0" alone of two said and three of the gold: "°" is no punctuation, so "°c" is a word.
        ("0 °C", "0 degrees Celsius", 0, 2 / 5),
        ("Babylon", "China", 0, 0),
    ],
)
def test_published_answers_score_as_worked_by_hand(
    said: str, gold: str, exact: float, overlap: float, protocol: str
) -> None:
    assert exact_match(said, [gold], protocol) == exact
    assert f1(said, [gold], protocol) == pytest.approx(overlap)


def test_common_tokens_are_a_set_as_published_and_counted_in_strict() -> None:
    said, gold = "New York New York", "New York New York City"
    # Set: 2 of 4 and 2 of 5. Counted: 4 of 4 and 4 of 5.
    assert f1(said, [gold], "faithful") == pytest.approx(4 / 9)
    assert f1(said, [gold]) == pytest.approx(8 / 9)


def test_an_exact_match_forces_full_f1_although_a_word_occurs_twice() -> None:
    assert f1("New York, New York", ["new york new york"], "faithful") == 1.0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_best_of_several_golds_counts(protocol: str) -> None:
    golds = ["March 14th, 2017", "March 14, 2017", "TUE, March 14, 2017"]
    assert exact_match("March 14, 2017", golds, protocol) == 1.0
    assert f1("14 March 2017", golds, protocol) == 1.0
    assert exact_match("14 March 2017", golds, protocol) == 0.0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_answer_scores_nothing(protocol: str) -> None:
    assert f1(None, ["A"], protocol) == exact_match(None, ["A"], protocol) == 0.0


def test_a_gold_that_is_an_article_can_be_missed_in_strict_only() -> None:
    for said in ("", "the", "...", "!"):
        assert exact_match(said, ["A"], "faithful") == 1.0
        assert f1(said, ["A"]) == exact_match(said, ["A"]) == 0.0
    assert exact_match("A.", ["A"]) == f1("a", ["A"]) == 1.0


def test_a_line_break_written_as_two_characters_is_a_blank_in_strict() -> None:
    assert exact_match("Tawau Hill Park", [r"TAWAU HILL\nPARK"]) == 1.0
    assert exact_match("Tawau Hill Park", [r"TAWAU HILL\nPARK"], "faithful") == 0.0
    assert normalise(r"\nu \neq 3") == "nu neq 3"


def test_an_answer_of_punctuation_alone_is_kept_in_strict() -> None:
    assert exact_match("?", ["?"]) == 1.0
    assert exact_match("?", ["!"]) == 0.0


def test_a_blank_answer_never_scores_in_strict() -> None:
    assert exact_match(" \n", [""]) == f1("", ["", "?"]) == 0.0


def test_numbers_keep_their_point_and_their_sign_in_strict_only() -> None:
    for said, gold in (("8.5", "85"), ("-3", "3"), ("\u22123", "3"), ("(-.5)", ".5")):
        assert exact_match(said, [gold], "faithful") == (said != "\u22123")
        assert f1(said, [gold]) == 0.0
    for said, gold in (("$20,689", "20689"), ("8.5.", "8.5"), ("\u22123", "-3"), ("10\u201320", "10-20")):
        assert exact_match(said, [gold]) == 1.0
    assert normalise("pages 3-4, 1.5 m") == "pages 34 1.5 m"


def test_yes_and_no_stand_alone_in_strict() -> None:
    assert f1("yes no", ["Yes"], "faithful") == pytest.approx(2 / 3)
    assert f1("yes no", ["Yes"]) == f1("Yes", ["no, never"]) == 0.0
    assert f1("Yes.", ["Yes"]) == 1.0
    assert f1("yes indeed it is", ["yes it is"]) == pytest.approx(6 / 7)


def test_forms_that_mean_the_same_are_the_same_in_strict() -> None:
    for said, gold in (
        ("\uff14\uff12", "42"),
        ("m\u00b2", "m2"),
        ("STRASSE", "stra\u00dfe"),
        ("e\u0301t\u00e9", "\u00e9te\u0301"),
    ):
        assert exact_match(said, [gold]) == 1.0
        assert exact_match(said, [gold], "faithful") == 0.0


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("said", "gold", "exact", "overlap"),
    [
        ("软件工程", "软件工程", 1, 1),
        ("发票号码: 16734841 发票代码: 112001970102", "{'发票号码': '16734841', '发票代码': '112001970102'}", 1, 1),
        # 贡 献 网 咖 啡 against 哆 爱 i d 网 咖: two of five, two of six.
        ("贡献网咖啡", "哆爱iD网咖", 0, 4 / 11),
        # One side is Chinese: the other is read by characters too. f a x against 传 真.
        ("传真", "fax", 0, 0),
        ("金额：五元。", "金额五元", 1, 1),  # noqa: RUF001
        ("Tundra Wolf", "tundra wolf", 1, 1),
    ],
)
def test_chinese_answers_are_compared_by_characters(
    said: str, gold: str, exact: float, overlap: float, protocol: str
) -> None:
    assert exact_match(said, [gold], protocol, chinese=True) == exact
    assert f1(said, [gold], protocol, chinese=True) == pytest.approx(overlap)


def test_a_line_break_between_chinese_words_is_kept_as_published_and_dropped_in_strict() -> None:
    assert exact_match("爱网", ["爱\n网"], "faithful", chinese=True) == 0.0
    assert f1("爱网", ["爱\n网"], "faithful", chinese=True) == pytest.approx(4 / 5)
    assert exact_match("爱网", ["爱\n网"], chinese=True) == 1.0


def test_without_chinese_a_chinese_answer_is_one_word() -> None:
    assert f1("贡献网咖啡", ["网咖"], "faithful") == f1("贡献网咖啡", ["网咖"]) == 0.0
    assert normalise("“网 咖”", "faithful") == "“网 咖”"
    assert normalise("“网 咖”", "faithful", chinese=True) == "网咖"


@given(WORDS, WORDS)
def test_f1_agrees_with_the_slow_reference(said: list[str], gold: list[str]) -> None:
    ours, theirs = " ".join(said), " ".join(gold)
    assert f1(ours, [theirs], "faithful") == pytest.approx(oracle.published_f1(ours, theirs))
    if oracle.tokens(ours) and oracle.tokens(theirs):  # strict treats answers without any word otherwise
        assert f1(ours, [theirs]) == pytest.approx(oracle.squad_f1(ours, theirs))
        assert exact_match(ours, [theirs]) == (oracle.tokens(ours) == oracle.tokens(theirs))


@settings(max_examples=60)
@given(st.text(st.characters()), st.text(st.characters(), min_size=1), st.booleans())
def test_any_text_scores_within_bounds_and_itself_fully(said: str, gold: str, chinese: bool) -> None:
    for protocol in PROTOCOLS:
        assert 0.0 <= f1(said, [gold], protocol, chinese) <= 1.0
        assert f1(said, [gold], protocol, chinese) >= exact_match(said, [gold], protocol, chinese)
        again = normalise(gold, protocol, chinese)
        if again:
            assert f1(gold, [gold], protocol, chinese) == 1.0


@pytest.mark.parametrize("text", ["\u0315\u0301", "a ", "\ufdfa", "-", "1.", "\ud800", "爱", "ß"])
def test_a_megabyte_of_anything_takes_a_moment(text: str) -> None:
    start = time.process_time()
    for protocol in PROTOCOLS:
        f1(text * 1_000_000, ["爱 1"], protocol, chinese=True)
    assert time.process_time() - start < 2.0


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="protocol must be one of 'strict', 'faithful'; got 'lenient'"):
        f1("a", ["b"], "lenient")
    with pytest.raises(ArgumentError, match="at least one gold answer"):
        exact_match("a", [])
