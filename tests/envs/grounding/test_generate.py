"""Expressions that denote one object and need all their parts; forms and how often they come."""

from collections import Counter
from typing import Any

import pytest

from envs.core.errors import ArgumentError
from envs.grounding import Grounding
from envs.grounding.evaluate import Scene, denoted
from envs.grounding.expression import Beside, Is, Nearest, Not, Ordinal, Same, size, weaker
from envs.grounding.places import margin, things
from envs.grounding.template import KINDS, templates

VALUES = {"size": ("large", "small"), "colour": tuple("abcdef"), "shape": tuple("wxyz")}
SETTINGS = pytest.mark.parametrize(
    "kwargs",
    [{}, {"conditions": (4, 6)}, {"layout": "grid", "cells": 4, "objects": (8, 14)}, {"combinations": "seen"}],
    ids=["medium", "hard", "grid", "seen"],
)


@SETTINGS
def test_an_expression_denotes_the_target_and_needs_every_part(kwargs: dict[str, Any]) -> None:
    env = Grounding(**kwargs)
    for seed in range(60):
        env.reset(seed=seed)
        world = env.task.world
        scene = Scene(things(world.scene, tuple(env.varying)), margin(env.look))
        assert denoted(world.expression, scene) == world.target
        for less in weaker(world.expression):
            assert denoted(less, scene) != world.target


@SETTINGS
def test_the_number_of_conditions_is_the_one_asked_for(kwargs: dict[str, Any]) -> None:
    env = Grounding(**kwargs)
    low, high = env.conditions
    for seed in range(60):
        _, info = env.reset(seed=seed)
        count = size(env.task.world.expression)
        assert low <= count <= high
        assert info["tags"]["conditions"] == count == env.task.world.plan.template.size
        assert info["tags"]["difficulty"] == {1: "easy", 2: "easy", 3: "medium"}.get(count, "hard")


def uses(expression: Any) -> set[str]:
    """The kinds of phrase that occur in an expression, found by walking it."""
    found = set()
    parts = [*expression.conditions, *([expression.pick] if expression.pick else [])]
    for part in parts:
        kind = {Is: "", Not: "negation", Beside: "relation", Same: "same", Ordinal: "ordinal", Nearest: "relation"}
        found.add(kind[type(part)])
        if hasattr(part, "anchor"):
            found |= uses(part.anchor)
    return found - {""}


@pytest.mark.parametrize("kind", KINDS)
def test_only_kinds_that_were_named_are_used(kind: str) -> None:
    env = Grounding(expressions=[kind])
    for seed in range(20):
        _, info = env.reset(seed=seed)
        assert uses(env.task.world.expression) == ({kind} if kind != "attributes" else set())
        assert info["tags"]["kind"] == kind


def test_all_kinds_come_about_equally_often() -> None:
    env = Grounding()
    counts = Counter(env.reset(seed=seed)[1]["tags"]["kind"] for seed in range(150))
    assert set(counts) == set(KINDS)
    assert min(counts.values()) > 12  # 30 expected, four standard deviations


def test_forms_have_the_sizes_and_kinds_asked_for() -> None:
    found = templates(("negation", "ordinal"), (3, 4), VALUES, 9)
    assert set(found) == {"negation", "ordinal"}
    for kind, forms in found.items():
        for form in forms:
            assert 3 <= form.size <= 4 and form.objects <= 9 and not form.relation
            assert (form.ordinal, kind) in {(True, "ordinal"), (False, "negation")}


def test_a_value_is_only_negated_where_two_others_are_left() -> None:
    assert "negation" not in templates(("negation",), (2, 4), {"size": ("a", "b"), "shape": ("x", "y")}, 9)
    assert "negation" in templates(("negation",), (2, 4), {"size": ("a", "b"), "shape": ("x", "y", "z")}, 9)
    env = Grounding(expressions=["negation"])
    for seed in range(30):
        env.reset(seed=seed)
        denied = [c.condition for c in env.task.world.expression.conditions if isinstance(c, Not)]
        assert denied and all(one.attribute != "size" for one in denied)


def test_a_kind_that_cannot_be_made_is_refused_with_what_to_change() -> None:
    with pytest.raises(ArgumentError, match="'attributes' cannot be made of 4 to 5 conditions with 9 objects"):
        Grounding(expressions=["attributes"], conditions=(4, 5))
    assert "attributes" not in Grounding(conditions=(4, 5)).templates
    with pytest.raises(ArgumentError, match="cannot be made of 1 to 6 conditions"):
        Grounding(shapes=1, colours=1, sizes=1, expressions=["same"], conditions=(1, 6))
