"""Expressions in English."""

import re

import pytest

from envs.grounding import Grounding
from envs.grounding.expression import Beside, Is, Nearest, Not, Ordinal, Referring, Same
from envs.grounding.wording import OPENINGS, SOLID, STYLES, phrase, short

RED, BLUE, CIRCLE, SQUARE = Is("colour", "red"), Is("colour", "blue"), Is("shape", "circle"), Is("shape", "square")
LARGE, SMALL = Is("size", "large"), Is("size", "small")
STAR = Referring((Is("shape", "star"),))


@pytest.mark.parametrize(
    ("expression", "few", "styles"),
    [
        (
            Referring((LARGE, RED, CIRCLE)),
            "large red circle",
            ("large red circle", "large red circle", "circle that is large and red"),
        ),
        (Referring((LARGE, RED)), "large red", ("large red object", "large red shape", "large red thing")),
        (
            Referring((CIRCLE, Not(RED))),
            "circle not red",
            ("circle that is not red", "circle that is not red", "non-red circle"),
        ),
        (
            Referring((RED, Not(CIRCLE), Not(SQUARE))),
            "red not circle not square",
            (
                "red object that is not a circle and not a square",
                "red shape that is not a circle or a square",
                "red non-circle non-square thing",
            ),
        ),
        (
            Referring((RED, CIRCLE), Ordinal(2, "left")),
            "second red circle from left",
            (
                "second red circle from the left",
                "red circle that is second from the left",
                "red circle in second place from the left",
            ),
        ),
        (
            Referring((CIRCLE, Not(RED)), Ordinal(1, "above")),
            "first circle not red from top",
            ("topmost non-red circle", "highest non-red circle", "first non-red circle from the top"),
        ),
        (
            Referring((), Ordinal(3, "below")),
            "third object from bottom",
            (
                "third object from the bottom",
                "shape that is third from the bottom",
                "thing in third place from the bottom",
            ),
        ),
        (
            Referring((CIRCLE, Beside("left", Referring((BLUE, SQUARE))))),
            "circle left of blue square",
            (
                "circle left of the blue square",
                "circle that is to the left of the blue square",
                "circle that is further left than the square that is blue",
            ),
        ),
        (
            Referring((CIRCLE, Beside("above", Referring((SQUARE, Beside("right", STAR)))))),
            "circle above square right of star",
            (
                "circle above the square that is right of the star",
                "circle that is higher up than the square that is to the right of the star",
                "circle that is further up than the square that is further right than the star",
            ),
        ),
        (
            Referring((SMALL, Beside("below", STAR)), Ordinal(2, "right")),
            "second small below star from right",
            (
                "second one from the right among the small objects that are below the star",
                "second one from the right among the small shapes that are lower down than the star",
                "second one from the right among the small things that are further down than the star",
            ),
        ),
        (
            Referring((RED,), Nearest(STAR)),
            "red nearest to star",
            (
                "red object nearest to the star",
                "red shape closest to the star",
                "red thing that is nearest to the star",
            ),
        ),
        (
            Referring((CIRCLE, Same("size", STAR))),
            "circle same size as star",
            (
                "circle with the same size as the star",
                "circle that has the same size as the star",
                "circle whose size is that of the star",
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_tree_in_english(expression: Referring, few: str, styles: tuple[str, ...]) -> None:
    assert short(expression) == few
    assert tuple(phrase(expression, style) for style in range(STYLES)) == styles


def test_on_the_ground_things_are_behind_each_other() -> None:
    behind = Referring((CIRCLE, Beside("above", STAR)))
    assert phrase(behind, 0, SOLID) == "circle behind the star"
    assert short(behind, SOLID) == "circle behind star"
    assert phrase(Referring((CIRCLE,), Ordinal(2, "below")), 0, SOLID) == "second circle from the front"


def test_a_prompt_is_one_sentence_about_the_object_and_then_how_to_answer() -> None:
    env = Grounding()
    seen = set()
    for seed in range(40):
        text = env.reset(seed=seed)[0]["text"]
        sentence, how = text.split(" Give the box as ")
        assert how.endswith("final answer in <answer> </answer> tags.")
        opening = next(o for o in OPENINGS if sentence.startswith(o.split("{")[0]))
        assert sentence.endswith(opening[-1])
        # Nothing is said twice, and no placeholder is left.
        assert not re.search(r"[{}]|\b(\w+) \1\b|  ", sentence), sentence
        seen.add(opening)
    assert len(seen) == len(OPENINGS)


def test_the_words_of_the_short_form_are_in_the_long_one() -> None:
    env = Grounding()
    for seed in range(30):
        text = env.reset(seed=seed)[0]["text"]
        values = {value for values in env.varying.values() for value in values}
        assert values & set(short(env.task.world.expression).split()) == {
            word for word in re.findall(r"[a-z]+", text.split(" Give the box")[0].replace("non-", "")) if word in values
        }
