"""What tokens say, and texts in which nothing can hide."""

import pytest

from agent.report.tokens import Spelled, Speller, visible, visible_lines
from tests.agent.report.recorded import decode, encode

UNSEEN = [
    "\0",
    "\x1b",
    "\x7f",
    "\x85",
    "\u061c",
    "\u200b",
    "\u2028",
    "\u202e",
    "\u2066",
    "\ufeff",
    "\U000e0041",
    "\ud800",
]


def test_every_token_is_spelled_in_order() -> None:
    assert "".join(said.text for said in Speller(decode).spell(encode("3 red\n"))) == "3 red\n"


def test_tokens_of_one_character_say_it_once_and_their_place() -> None:
    assert Speller(decode).spell(encode("é!")) == [Spelled("é", "1/2"), Spelled("", "2/2"), Spelled("!")]


def test_a_byte_that_belongs_to_no_character_is_named_by_its_id() -> None:
    assert Speller(decode).spell((0xFF, 0x41)) == [Spelled("⟨id 255⟩"), Spelled("A")]


def test_a_token_without_text_is_named_by_its_id() -> None:
    assert Speller(lambda ids: "").spell((5,)) == [Spelled("⟨id 5⟩")]


def test_without_a_tokenizer_tokens_are_named_by_their_ids() -> None:
    speller = Speller(None)
    assert speller.spell((5, 7)) == [Spelled("⟨id 5⟩"), Spelled("⟨id 7⟩")] and not speller.knows


def test_what_an_id_says_is_asked_once() -> None:
    asked: list[tuple[int, ...]] = []

    def counted(ids: tuple[int, ...]) -> str:
        asked.append(ids)
        return decode(ids)

    speller = Speller(counted)
    assert len(speller.spell(encode("aaab"))) == 4 and len(speller.spell(encode("ba"))) == 2
    assert asked == [(97,), (98,)]


def test_a_token_that_says_a_megabyte_is_cut() -> None:
    (said,) = Speller(lambda ids: "x" * 1_000_000).spell((1,))
    assert len(said.text) < 200 and "shortened from 1,000,000 characters" in said.text


@pytest.mark.parametrize("text", UNSEEN)
def test_what_cannot_be_seen_or_would_reorder_the_line_is_replaced(text: str) -> None:
    for shown in (
        visible(f"a{text}b"),
        visible_lines(f"a{text}b", 100),
        Speller(lambda ids: f"a{text}b").spell((1,))[0].text,
    ):
        assert text not in shown and shown.startswith("a") and shown.endswith("b") and len(shown) > 2
        shown.encode("utf-8")


def test_a_text_of_one_line_stays_one_and_one_of_many_keeps_them() -> None:
    assert visible("a\n\tb") == "a⏎⇥b" and visible_lines("a\r\n\tb", 9) == "a\n\tb"


def test_a_long_text_is_cut_and_says_how_much_is_missing() -> None:
    assert visible("x" * 300).endswith("(shortened from 300 characters)")
    shown = visible_lines("a" * 500_000 + "b" * 500_000, 1000)
    assert shown == "a" * 750 + "\n… 999,000 characters not shown …\n" + "b" * 250
