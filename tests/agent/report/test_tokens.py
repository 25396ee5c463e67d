"""Chips: one for each token, in the colour of who wrote it and how likely it was."""

import math

import pytest

from agent.report.tokens import chips, shade, token_texts, visible
from agent.types import ImageSpan, Segment
from tests.agent.report.recorded import action, decode, encode, observation, prompt


def test_every_token_of_a_segment_has_a_chip_in_order() -> None:
    assert "".join(chip.text for chip in chips(action("3 red"), decode, 100, {})) == "3␣red"


def test_only_what_the_policy_wrote_is_shaded_and_numbered() -> None:
    (written,) = chips(action("a", logprob=-1.5), decode, 9, {})
    assert (written.style, written.number) == ("p2", "-1.50")
    assert "log-probability -1.5000" in written.title and "22.3%" in written.title
    for segment in (prompt("a"), observation("a", 0)):
        (read,) = chips(segment, decode, 9, {})
        assert (read.style, read.number) == ("", "")


def test_an_action_that_was_not_sampled_has_no_numbers() -> None:
    (chip,) = chips(Segment("action", encode("a"), 0), decode, 9, {})
    assert (chip.style, chip.number) == ("given", "")


def test_a_log_probability_keeps_to_its_token_behind_the_cut() -> None:
    ids = encode("abcdefghij")
    segment = Segment("action", ids, 0, logprobs=tuple(-float(i) for i in range(10)))
    found = chips(segment, decode, 4, {})
    assert [(chip.text, chip.number) for chip in found if chip.number] == [
        ("a", "-0.00"),
        ("b", "-1.00"),
        ("c", "-2.00"),
        ("j", "-9.00"),
    ]
    assert found[3].text == "… 6 tokens not shown …"


@pytest.mark.parametrize(("probability", "expected"), [(1.0, 0), (0.9, 0), (0.5, 1), (0.2, 2), (0.05, 3), (0.01, 4)])
def test_the_less_likely_the_deeper_the_shade(probability: float, expected: int) -> None:
    assert shade(probability) == expected


@pytest.mark.parametrize("logprob", [-math.inf, math.nan, 1e-6])
def test_odd_log_probabilities_are_shown(logprob: float) -> None:
    assert len(chips(action("a", logprob=logprob), decode, 9, {})) == 1


def test_placeholders_of_a_picture_are_one_chip() -> None:
    found = chips(prompt("ab", ["f" * 64]), decode, 9, {"f" * 64: 1})
    assert [chip.text for chip in found] == ["image 1: 2x2 = 4 tokens", "a", "b"]


@pytest.mark.parametrize(
    ("grid", "length", "expected"),
    [
        ((1, 4, 6), 6, "image: 2x3 = 6 tokens"),
        ((2, 4, 4), 8, "image: 2x2x2 = 8 tokens"),
        ((1, 3, 3), 5, "image: 5 tokens"),
    ],
)
def test_a_picture_is_measured_after_merging(grid: tuple[int, int, int], length: int, expected: str) -> None:
    segment = Segment("prompt", (256,) * length, 0, (ImageSpan(0, length, grid, "f" * 64),))
    assert chips(segment, decode, 9, {})[0].text == expected


def test_bytes_of_one_character_are_named_by_it() -> None:
    assert token_texts(encode("é!"), decode) == ["é 1/2", "é 2/2", "!"]


def test_a_byte_that_belongs_to_no_character_is_named_by_its_id() -> None:
    assert token_texts((0xFF, 0x41), decode) == ["⟨id 255⟩", "A"]


def test_a_token_without_text_is_named_by_its_id() -> None:
    assert token_texts((5,), lambda ids: "") == ["⟨id 5⟩"]


def test_line_ends_and_lone_spaces_can_be_seen() -> None:
    found = chips(prompt("a \n"), decode, 9, {})
    assert [(chip.text, chip.breaks) for chip in found] == [("a", False), ("␣", False), ("⏎", True)]


def test_a_token_that_says_a_megabyte_is_cut() -> None:
    (chip,) = chips(prompt("a"), lambda ids: "x" * 1_000_000, 9, {})
    assert len(chip.text) < 200 and "shortened" in chip.text


@pytest.mark.parametrize(
    "text", ["\0", "\x1b", "\x7f", "\x85", "\u200b", "\u2028", "\u202e", "\u2066", "\ufeff", "\ud800"]
)
def test_what_cannot_be_seen_or_would_reorder_the_line_is_replaced(text: str) -> None:
    assert text not in visible(f"a{text}b")
    visible(text).encode("utf-8")
