"""What an expert thinks on the way to an object."""

from __future__ import annotations

import pytest

from envs.core.errors import ArgumentError
from envs.grounding.environment import Grounding

TINY = {
    "layout": "grid",
    "cells": 3,
    "cell_px": 14,
    "objects": (6, 8),
    "shapes": 3,
    "colours": 4,
    "sizes": 1,
    "expressions": ["attributes"],
    "conditions": (2, 2),
    "instructions": "short",
}


def entries(env: Grounding) -> list[list[str]]:
    return [entry.split() for entry in env.solve()[0].split("</think>")[0].removeprefix("<think>").split(", ")]


def test_ruling_out_names_of_every_cell_no_more_than_shows_that_it_is_not_the_one() -> None:
    env = Grounding(**TINY | {"thought": "rule_out"})
    for seed in range(20):
        _, colour, shape = env.reset(seed=seed)[0]["text"].split()
        seen = {f"{'abc'[int(i.y) // 14]}{int(i.x) // 14 + 1}": (i.colour, i.shape) for i in env.task.world.scene.items}
        *passed, last = entries(env)
        assert last[1:] == [colour, shape] and seen[last[0]] == (colour, shape)
        for cell, *words in passed:
            if cell not in seen:
                assert words == ["none"]
            elif seen[cell][0] != colour:
                assert words == [seen[cell][0]]
            else:
                assert words == list(seen[cell]) and words[1] != shape


def test_a_phrase_of_one_word_is_compared_in_that_attribute_alone() -> None:
    env = Grounding(**TINY | {"thought": "rule_out", "conditions": (1, 1)})
    for seed in range(10):
        (word,) = env.reset(seed=seed)[0]["text"].split()[1:]
        if word == "object":
            continue
        assert all(len(entry) == 2 for entry in entries(env))
        assert entries(env)[-1][1] == word


def test_ruling_out_is_refused_for_phrases_that_name_more_than_attributes() -> None:
    with pytest.raises(ArgumentError, match="rule_out"):
        Grounding(**TINY | {"thought": "rule_out", "expressions": ["attributes", "ordinal"]})
