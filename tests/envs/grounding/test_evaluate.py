"""What expressions denote, by hand on one scene, and by an oracle of another make on many."""

from typing import Any

import numpy as np
import pytest

from envs.grounding import Grounding
from envs.grounding.evaluate import Scene, Thing, denoted
from envs.grounding.expression import Beside, Is, Nearest, Not, Ordinal, Referring, Same
from envs.grounding.places import things


def thing(words: str, x: int, y: int) -> Thing:
    return Thing(dict(zip(("size", "colour", "shape"), words.split(), strict=True)), x, y)


#   0 large red circle (10, 50)   1 small red circle (40, 10)   2 large blue circle (70, 50)
#   3 small blue square (100, 90) 4 large red square (45, 60)
SCENE = Scene(
    [
        thing("large red circle", 10, 50),
        thing("small red circle", 40, 10),
        thing("large blue circle", 70, 50),
        thing("small blue square", 100, 90),
        thing("large red square", 45, 60),
    ],
    margin=10,
)
RED, BLUE, CIRCLE, SQUARE = Is("colour", "red"), Is("colour", "blue"), Is("shape", "circle"), Is("shape", "square")
SMALL, LARGE = Is("size", "small"), Is("size", "large")
BLUE_SQUARE = Referring((BLUE, SQUARE))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (BLUE_SQUARE, 3),
        (Referring((RED, CIRCLE)), None),
        (Referring((LARGE, RED, CIRCLE)), 0),
        (Referring((Is("colour", "green"),)), None),
        (Referring(()), None),
        (Referring((CIRCLE, Not(RED))), 2),
        (Referring((SQUARE, Not(BLUE))), 4),
        # Of the circles at x = 10, 40 and 70.
        (Referring((CIRCLE,), Ordinal(1, "left")), 0),
        (Referring((CIRCLE,), Ordinal(2, "left")), 1),
        (Referring((CIRCLE,), Ordinal(3, "left")), 2),
        (Referring((CIRCLE,), Ordinal(4, "left")), None),
        (Referring((CIRCLE,), Ordinal(1, "right")), 2),
        (Referring((CIRCLE,), Ordinal(1, "above")), 1),
        # The circles at y = 50 are level: none of them is second from the top, or first from the bottom.
        (Referring((CIRCLE,), Ordinal(2, "above")), None),
        (Referring((CIRCLE,), Ordinal(1, "below")), None),
        (Referring((CIRCLE,), Ordinal(3, "below")), 1),
        # At x = 40 and 45 nothing is second or third from the left; the fourth is settled.
        (Referring((), Ordinal(2, "left")), None),
        (Referring((), Ordinal(3, "left")), None),
        (Referring((), Ordinal(4, "left")), 2),
        (Referring((CIRCLE, Beside("right", Referring((LARGE, RED, SQUARE))))), 2),
        # 40 is left of 45 by less than the margin.
        (Referring((CIRCLE, Beside("left", Referring((LARGE, RED, SQUARE))))), None),
        (Referring((LARGE, CIRCLE, Beside("left", Referring((LARGE, RED, SQUARE))))), 0),
        (Referring((CIRCLE, Beside("above", Referring((LARGE, BLUE))))), 1),
        (Referring((CIRCLE, Beside("below", Referring((SMALL, CIRCLE))))), None),
        (Referring((SQUARE, Beside("below", Referring((LARGE, SQUARE))))), 3),
        (Referring((CIRCLE, Beside("left", Referring((CIRCLE,))))), None),
        (Referring((RED, Not(Beside("below", Referring((SMALL, CIRCLE)))))), 1),
        (Referring((SQUARE,), Nearest(Referring((SMALL, CIRCLE)))), 4),
        (Referring((CIRCLE,), Nearest(BLUE_SQUARE)), 2),
        # Squared distances from (45, 60): 1325 to 0, 2525 to 1, 725 to 2; but 1 and 3 alone: 2525 and 3925.
        (Referring((), Nearest(Referring((LARGE, SQUARE)))), 2),
        (Referring((SMALL,), Nearest(Referring((LARGE, SQUARE)))), 1),
        (Referring((CIRCLE, Same("colour", BLUE_SQUARE))), 2),
        (Referring((CIRCLE, Same("size", BLUE_SQUARE))), 1),
        (Referring((SQUARE, Same("colour", BLUE_SQUARE))), None),
    ],
    ids=str,
)
def test_an_expression_denotes_what_a_person_would_point_to(expression: Referring, expected: int | None) -> None:
    assert denoted(expression, SCENE) == expected


def test_two_that_are_about_as_near_are_too_close_to_call() -> None:
    def scene(far: int) -> Scene:
        return Scene([thing("small red circle", 0, 0), thing("large red circle", 10, 0), thing("x x y", far, 0)], 1)

    nearest = Referring((), Nearest(Referring((SMALL,))))
    assert denoted(nearest, scene(12)) is None  # 144 < 1.5 x 100
    assert denoted(nearest, scene(13)) == 1  # 169 > 1.5 x 100


def oracle(expression: Referring, seen: list[Thing], slack: int) -> set[int]:
    """What is denoted when sides begin `slack` pixels off: sets and sorting, no third truth value."""
    met = set(range(len(seen)))
    for condition in expression.conditions:
        met &= holds(condition, seen, slack)
    if isinstance(expression.pick, Ordinal):
        key = {"left": lambda k: seen[k].x, "right": lambda k: -seen[k].x}
        key |= {"above": lambda k: seen[k].y, "below": lambda k: -seen[k].y}
        ranked = sorted(met, key=key[expression.pick.side])
        return set(ranked[expression.pick.place - 1 : expression.pick.place])
    if isinstance(expression.pick, Nearest):
        (anchor,) = oracle(expression.pick.anchor, seen, slack)
        a = np.array([seen[anchor].x, seen[anchor].y])
        return {min(met - {anchor}, key=lambda k: np.hypot(*(np.array([seen[k].x, seen[k].y]) - a)))}
    return met


def holds(condition: Any, seen: list[Thing], slack: int) -> set[int]:
    everything = set(range(len(seen)))
    if isinstance(condition, Is):
        return {k for k in everything if seen[k].attributes[condition.attribute] == condition.value}
    if isinstance(condition, Not):
        return everything - holds(condition.condition, seen, slack)
    (anchor,) = oracle(condition.anchor, seen, slack)
    a = seen[anchor]
    if isinstance(condition, Same):
        value = a.attributes[condition.attribute]
        return {k for k in everything - {anchor} if seen[k].attributes[condition.attribute] == value}
    gaps = {"left": lambda t: a.x - t.x, "right": lambda t: t.x - a.x}
    gaps |= {"above": lambda t: a.y - t.y, "below": lambda t: t.y - a.y}
    return {k for k in everything if gaps[condition.side](seen[k]) > slack}


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"conditions": (4, 6)},
        {"layout": "grid", "cell_px": 14},
        {"layout": "grid", "cells": 4, "objects": (10, 14)},
    ],
    ids=["free", "hard", "grid", "crowded"],
)
def test_generated_expressions_denote_one_object_wherever_within_the_margin_a_side_begins(
    kwargs: dict[str, Any],
) -> None:
    env = Grounding(**kwargs)
    for seed in range(60):
        env.reset(seed=seed)
        world = env.task.world
        seen = things(world.scene, tuple(env.varying))
        for slack in (0, 3):
            assert oracle(world.expression, seen, slack) == {world.target}
