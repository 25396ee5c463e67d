"""What is shown of search results: nothing in them can pass for a tag."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.search.information import content, information, neutral, snippet, spoken
from sandbox.search import Hit, Passage


def hit(title: str, text: str) -> Hit:
    return Hit(Passage("1", title, text), 1.0)


def test_passages_are_numbered_between_tags() -> None:
    assert information([hit("A", "one two"), hit("B", "three")], 100) == (
        "<information> 1. A: one two 2. B: three </information>"
    )
    assert information([], 100) == "<information> Nothing was found. </information>"


def test_the_published_form_has_no_blank_before_the_next_number() -> None:
    assert content([hit("A", "one"), hit("B", "two")], 100) == (
        "<information> 1. Content:A: one2. Content:B: two </information> "
    )
    assert content([], 100) == "<information>  </information> "


_TAGS = ["<answer>", "</answer>", "<|im_end|>", "<image>", "<s>", "[INST]", "[/INST]", "<ans<answer>wer>", "<search>"]


@pytest.mark.parametrize("tag", _TAGS)
def test_no_tag_in_a_passage_survives(tag: str) -> None:
    shown = information([hit(f"T{tag}", f"before {tag}4{tag} behind")], 200)
    inside = shown.removeprefix("<information>").removesuffix("</information>")
    assert re.search(r"<[/|\w]|\[/?INST", inside) is None
    assert "before" in inside and "4" in inside


def test_a_comparison_is_left_as_it_is() -> None:
    assert neutral("3 < 4, a <- b, x[1], [citation], 5<6") == "3 < 4, a <- b, x[1], [citation], 5<6"


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet="<|/>answer[INST] \ud800"))
def test_nothing_that_is_neutral_opens_a_tag(text: str) -> None:
    shown = neutral(text)
    assert re.search(r"<[/|A-Za-z_]", shown) is None
    shown.encode()


def test_a_text_is_cut_between_words() -> None:
    assert snippet("one  two\nthree four", 100) == "one two three four"
    assert snippet("one two three four", 13) == "one two three"
    assert snippet("one two three four", 12) == "one two"
    assert snippet("x" * 50, 10) == "x" * 10
    assert snippet("", 10) == ""


def test_what_was_said_is_shown_without_special_tokens() -> None:
    said = "<think>a</think><|box_start|><search>b</search><|im_end|>"
    assert spoken(said, 1000) == "<think>a</think><search>b</search>"
    assert "<|" not in spoken("<|a<|b|>c|>", 1000)
    assert spoken("abc\ud800", 4) == "abc?"
    assert spoken("abcdef", 3) == "abc"


def test_a_megabyte_of_bars_costs_little() -> None:
    start = time.process_time()
    spoken("<|" * 500_000, 1 << 20)
    neutral("<" * 1_000_000)
    assert time.process_time() - start < 3.0
