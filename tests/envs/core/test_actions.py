"""The parser of model text."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core.actions import VERBS, Action, Malformed, parse, say, say_answer
from envs.core.garbage import GARBAGE

PIECES = [
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "<code>",
    "</code>",
    "4",
    "text",
    " ",
    "\n",
    "<",
    ">",
    "\U0001f9ee",
]
STRICT = re.compile(r"\s*<think>(.*?)</think>\s*<answer>(.*?)</answer>\s*", re.DOTALL)


def test_the_strict_form_is_well_formed_over_several_lines() -> None:
    action = parse("\n<think>one\ntwo</think>\n\n<answer>\n4\n</answer> \n")
    assert action == Action("answer", "\n4\n", "one\ntwo")
    assert action.well_formed


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("<answer>4</answer>", "4"),
        ("so <think>a</think><answer>4</answer>", "4"),
        ("<think>a</think><answer>4</answer> done", "4"),
        ("<think>a</think> so <answer>4</answer>", "4"),
        ("<answer>4</answer><think>a</think>", "4"),
        ("a</think><answer>4</answer>", "4"),
        ("<think>a<answer>4</answer>", "4"),
        ("<think>a</think><think>b</think><answer>4</answer>", "4"),
        ("<think>is it <answer>3</answer>?</think><answer>4</answer>", "4"),
        ("<think><think>a</think><answer>4</answer>", "4"),
        ("<think>a</think><answer>4</answer></answer>", "4"),
    ],
)
def test_a_breach_of_form_costs_the_form_but_not_the_answer(text: str, content: str) -> None:
    action = parse(text)
    assert isinstance(action, Action)
    assert action.content == content
    assert not action.well_formed


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("4", "There is no <answer>"),
        ("<think>a</think>", "There is no <answer>"),
        ("<think>a</think><answer>4", "never closed"),
        ("<answer>3</answer><answer>4</answer>", "2 actions"),
        ("<answer>3</answer><answer>4", "2 actions"),
        ("<answer>3<answer>4</answer>", "opened again"),
        ("<think>a</think><answer> </answer>", "<answer> is empty"),
        ("<think><answer>4</answer></think>", "There is no <answer>"),
    ],
)
def test_a_text_without_one_answer_is_told_what_is_wrong(text: str, what: str) -> None:
    action = parse(text)
    assert isinstance(action, Malformed)
    assert what in action.message
    assert not action.well_formed


def test_a_thought_before_a_closing_tag_alone_is_kept() -> None:
    assert parse("because</think><answer>4</answer>").thought == "because"


def test_other_verbs_are_read_when_asked_for_and_text_otherwise() -> None:
    text = "<think>a</think><code>print('<answer>4</answer>')</code>"
    action = parse(text, ("answer", "code"))
    assert isinstance(action, Action)
    assert (action.verb, action.content, action.well_formed) == ("code", "print('<answer>4</answer>')", True)
    assert parse(text).content == "4"


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_sequence_of_tags_is_read_and_the_strict_form_agrees_with_the_published_pattern(text: str) -> None:
    action = parse(text)
    assert isinstance(action, (Action, Malformed))
    if action.well_formed:
        match = STRICT.fullmatch(text)
        assert match is not None
        assert (action.thought, action.content) == match.groups()


@settings(deadline=None)
@given(st.text())
def test_any_text_gives_an_action_or_a_message(text: str) -> None:
    assert isinstance(parse(text), (Action, Malformed))


@settings(deadline=None)
@given(st.text(alphabet="ab \n4", max_size=20), st.text(alphabet="ab4", min_size=1, max_size=20))
def test_what_is_written_between_the_tags_comes_back(thought: str, answer: str) -> None:
    action = parse(f"<think>{thought}</think><answer>{answer}</answer>")
    assert action == Action("answer", answer, thought)


@pytest.mark.parametrize(
    "unit", ["<think>", "</think>", "<answer>", "<answer></answer>", "<think></think>", "<", "a", " "]
)
def test_a_megabyte_of_anything_is_read_in_linear_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    start = time.process_time()
    parse(text)
    # A quadratic reading would take minutes.
    assert time.process_time() - start < 5


def test_the_garbage_list_has_texts_of_a_megabyte() -> None:
    assert sum(len(text) > 900_000 for text in GARBAGE.values()) >= 5


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_said_in_the_strict_form_is_read_back_without_a_problem(verb: str) -> None:
    assert parse(say("a thought", verb, "content"), VERBS) == Action(verb, "content", "a thought")
    assert parse(say_answer("b", "4")) == Action("answer", "4", "b")
