"""Cards: class docstrings, read by their headings."""

import pytest

from envs import CATALOGUE
from envs.commands import cards

WHOLE = """What is it? `RLLaVA/Toy-v0`.

Observation
    `text`: a question.
        deeper
Action
    `<answer>4</answer>` or <answer> without code.
Reward
    a * b

    after a blank line
Episode end
    At once.
Tasks
    Ten.
Held out
    Nothing.
What guessing reaches
    Little.
Source
    Ours.
Against NOTHING
    None.

Keyword arguments (all plain data)
    size    pixels
    more    *

Two sizes
    tiny    size=1
"""


@pytest.mark.parametrize("env_id", list(CATALOGUE))
def test_every_environment_has_a_whole_card(env_id: str) -> None:
    card = cards.card_of(env_id)
    assert cards.missing(card) == []
    base = next(other for other, entry in CATALOGUE.items() if entry.entry_point == CATALOGUE[env_id].entry_point)
    assert f"`{base}`" in card.summary or f"`{env_id}`" in card.summary


def test_headings_and_texts_are_read() -> None:
    card = cards.read(WHOLE)
    assert card.summary == "What is it? `RLLaVA/Toy-v0`."
    assert list(card.sections)[:2] == ["Observation", "Action"]
    assert card.sections["Observation"] == "`text`: a question.\n    deeper"
    assert card.sections["Reward"] == "a * b\n\nafter a blank line"
    assert list(card.sections)[-1] == "Two sizes"
    assert cards.missing(card) == []


@pytest.mark.parametrize("heading", ["Observation", "Held out", "What guessing reaches", "Against NOTHING"])
def test_a_heading_that_is_missing_is_named(heading: str) -> None:
    lines = WHOLE.splitlines()
    at = lines.index(heading)
    until = next(k for k in range(at + 1, len(lines)) if lines[k] and not lines[k].startswith(" "))
    (lack,) = cards.missing(cards.read("\n".join(lines[:at] + lines[until:])))
    assert heading.split(" NOTHING")[0] in lack


def test_a_heading_in_the_wrong_place_and_one_without_text_are_named() -> None:
    moved = WHOLE.replace("Source\n    Ours.\n", "").replace("Tasks\n", "Source\n    Ours.\nTasks\n")
    assert any("comes too early" in lack for lack in cards.missing(cards.read(moved)))
    empty = WHOLE.replace("Held out\n    Nothing.\n", "Held out\n    \u200b\n".replace("\u200b", "``"))
    assert cards.missing(cards.read(empty)) == []
    assert cards.missing(cards.read("No id here.")) != []


def test_tags_and_asterisks_survive_markdown_and_columns_stay_columns() -> None:
    text = cards.markdown(cards.read(WHOLE))
    assert "`<answer>4</answer>` or &lt;answer> without code." in text
    assert "a \\* b" in text
    assert "```text\nsize    pixels\nmore    *\n```" in text
    assert "```text\ntiny    size=1\n```" in text
