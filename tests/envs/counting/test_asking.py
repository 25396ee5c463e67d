"""Held-out pairs of colour and shape: never shown in training, always asked about at the test."""

from typing import Any

import numpy as np
import pytest

from envs.core.errors import ArgumentError
from envs.core.held_out import unseen
from envs.counting import Counting
from envs.render import clevr
from envs.render.shapes import COLOURS, SHAPES

FLAT: dict[str, Any] = {"shapes": 7, "colours": 10}
CLEVR: dict[str, Any] = {"look": "clevr"}
TINY: dict[str, Any] = {"layout": "grid", "cells": 3, "cell_px": 14, "objects": (6, 9), "shapes": 3, "colours": 4}
LOOKS = pytest.mark.parametrize("kwargs", [FLAT, CLEVR, TINY], ids=["flat", "clevr", "tiny"])


def held_out(kwargs: dict[str, Any], colour: str, shape: str) -> bool:
    if kwargs is CLEVR:
        return unseen(clevr.COLOURS.index(colour), clevr.SHAPES.index(shape))
    return unseen(list(COLOURS).index(colour), list(SHAPES).index(shape))


def worlds(kwargs: dict[str, Any], combinations: str, n: int = 150) -> list[Any]:
    """Worlds as they are built, before any picture."""
    env, rng = Counting(**kwargs, combinations=combinations), np.random.default_rng(0)
    found = []
    while len(found) < n:
        world = env.build(env.plan(rng), rng)
        if world is not None:
            found.append(world)
    return found


def asked(world: Any) -> tuple[str, str] | None:
    words = dict(world.plan.query)
    return (words["colour"], words["shape"]) if {"colour", "shape"} <= words.keys() else None


@LOOKS
def test_training_neither_shows_nor_asks_about_a_held_out_pair(kwargs: dict[str, Any]) -> None:
    pairs = set()
    for world in worlds(kwargs, "seen"):
        assert not any(held_out(kwargs, item.colour, item.shape) for item in world.items)
        pairs.add(asked(world))
    assert len(pairs) > 4
    assert not any(pair is not None and held_out(kwargs, *pair) for pair in pairs)


@LOOKS
def test_the_test_always_asks_about_a_held_out_pair(kwargs: dict[str, Any]) -> None:
    pairs = [asked(world) for world in worlds(kwargs, "unseen")]
    assert all(pair is not None and held_out(kwargs, *pair) for pair in pairs)


@LOOKS
def test_seen_and_unseen_questions_share_nothing_and_miss_nothing(kwargs: dict[str, Any]) -> None:
    pairs = {}
    for combinations in ("seen", "unseen"):
        env = Counting(**kwargs, combinations=combinations, question=["colour+shape"])
        rng = np.random.default_rng(0)
        pairs[combinations] = {tuple(v for _, v in env.asking.draw(rng)) for _ in range(1500)}
    assert not pairs["seen"] & pairs["unseen"]
    values = Counting(**kwargs).values
    assert len(pairs["seen"] | pairs["unseen"]) == len(values["colour"]) * len(values["shape"])
    assert 0.1 < len(pairs["unseen"]) / len(pairs["seen"] | pairs["unseen"]) < 0.3


@LOOKS
def test_every_colour_and_every_shape_is_shown_in_training(kwargs: dict[str, Any]) -> None:
    values = Counting(**kwargs).values
    items = [item for world in worlds(kwargs, "seen") for item in world.items]
    assert {item.colour for item in items} == set(values["colour"])
    assert {item.shape for item in items} == set(values["shape"])


@pytest.mark.parametrize("combinations", ["seen", "unseen"])
def test_answers_stay_uniform(combinations: str) -> None:
    env, rng = Counting(**TINY, combinations=combinations), np.random.default_rng(0)
    counts = np.bincount([env.plan(rng).answer for _ in range(3000)], minlength=7)
    assert ((counts - 3000 / 7) ** 2 / (3000 / 7)).sum() < 30
    for world in worlds(TINY, combinations, 60):
        fitting = [i for i in world.items if all(getattr(i, a) == v for a, v in world.plan.query)]
        assert len(fitting) == world.plan.answer


@pytest.mark.parametrize("combinations", ["seen", "unseen"])
def test_an_episode_with_held_out_pairs_is_won_by_the_gold_answer(combinations: str) -> None:
    env = Counting(**TINY, combinations=combinations, distractors=1.0)
    for seed in range(10):
        env.reset(seed=seed)
        assert env.step(env.solve()[0])[1] == 1.0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"combinations": "unseen", "question": ["colour"]}, "must name colour and shape"),
        ({"combinations": "unseen", "question": ["colour+shape", "size"]}, "question='size'"),
        ({"combinations": "unseen", "shapes": 2, "colours": 2}, "too few"),
        # The pair of blue and square is held out, and with it all squares of this list.
        ({"combinations": "unseen", "shapes": 1, "colours": ["blue"]}, "needs two values|too few"),
    ],
)
def test_arguments_that_leave_nothing_to_ask_are_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Counting(**kwargs)
