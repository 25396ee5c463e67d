"""Grounding: its answers, its scores, its pictures, its arguments."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core.boxes import FORMATS, Box, from_argument, iou
from envs.core.errors import ArgumentError, WorldNotFoundError
from envs.core.held_out import unseen
from envs.core.images import image_hash
from envs.core.tasks import SPLITS
from envs.grounding import Grounding
from envs.grounding.places import box_of
from envs.render.shapes import COLOURS, SHAPES

RESIZED = {"kind": "absolute_resized", "factor": 14, "min_pixels": 196, "max_pixels": 200704}
TINY: dict[str, Any] = {
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
    "thought": "place",
    "reward": "threshold",
    "boxes": RESIZED,
}
CLEVR: dict[str, Any] = {"look": "clevr", "size": (96, 72), "min_visible": 0}
SETTINGS = pytest.mark.parametrize("kwargs", [TINY, {}, CLEVR], ids=["tiny", "medium", "clevr"])


def gold_box(env: Grounding) -> Box:
    world = env.task.world
    return box_of(world.scene.items[world.target], world.scene)


@SETTINGS
@pytest.mark.parametrize("ask", ["box", "describe", "locate"])
def test_the_gold_answer_scores_the_maximum(kwargs: dict[str, Any], ask: str) -> None:
    env = Grounding(**kwargs, ask=ask)
    for seed in range(5):
        env.reset(seed=seed)
        _, reward, terminated, truncated, info = env.step(env.solve()[0])
        assert (reward, terminated, truncated) == (1.0, True, False)
        assert info["rewards"] == {"box" if ask == "box" else "accuracy": 1.0, "format": 1.0}
        assert set(info["metrics"].values()) == {1.0}
        assert env.primary_metric in info["metrics"]


@pytest.mark.parametrize("name", list(FORMATS))
def test_in_every_unit_the_gold_answer_is_said_exactly_and_close_to_the_true_box(name: str) -> None:
    env = Grounding(boxes=name, size=(230, 250))
    for seed in range(8):
        env.reset(seed=seed)
        said = env.solve()[0].split("<answer>")[1].split("</answer>")[0]
        assert said == FORMATS[name].write(gold_box(env), 230, 250)
        assert iou(FORMATS[name].read(said, 230, 250), gold_box(env)) > 0.9
        assert env.step(env.solve()[0])[1] == 1.0


def test_an_answer_in_another_unit_is_wrong() -> None:
    env = Grounding(boxes="qwen2_vl", size=(128, 128))
    env.reset(seed=0)
    pixels = FORMATS["pixels"].write(gold_box(env), 128, 128)
    assert env.step(f"<think>a</think><answer>{pixels}</answer>")[4]["metrics"]["accuracy_0.5"] == 0.0


def said(env: Grounding, x1: float, y1: float, x2: float, y2: float) -> dict[str, float]:
    _, reward, _, _, info = env.step(f"<think>a</think><answer>[{x1}, {y1}, {x2}, {y2}]</answer>")
    return {"reward": reward, **info["metrics"]}


@pytest.mark.parametrize(("reward", "low"), [("iou", 0.4), ("threshold", 0.0)])
def test_the_reward_is_the_overlap_or_nothing_below_a_half(reward: str, low: float) -> None:
    env = Grounding(reward=reward)
    for share, paid in ((1.0, 1.0), (0.6, 0.6), (0.4, low)):
        env.reset(seed=1)
        x1, y1, x2, y2 = gold_box(env)
        scores = said(env, x1, y1, x1 + share * (x2 - x1), y2)
        assert scores["iou"] == pytest.approx(share)
        assert scores["reward"] == pytest.approx(0.9 * paid + 0.1)
        assert scores["accuracy_0.5"] == float(share >= 0.5)


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("<think>a</think><answer>{gold}</answer>", 1.0),
        ("<answer>{gold}</answer>", 0.9),
        ("<answer>It is at {gold}, I think.</answer>", 0.9),
        ("<think>a</think><answer>{gold} {gold}</answer>", 0.1),
        ("<think>a</think><answer>nowhere</answer>", 0.1),
        ("<think>{gold}</think>", 0.0),
        ("{gold}", 0.0),
        ("", 0.0),
    ],
)
def test_the_reward_is_nine_parts_box_and_one_part_form(text: str, reward: float) -> None:
    env = Grounding(**TINY)
    env.reset(seed=0)
    gold = env.solve()[0].split("<answer>")[1].split("</answer>")[0]
    assert env.step(text.format(gold=gold))[1] == pytest.approx(reward)


def test_the_object_in_the_gold_box_has_the_colour_that_is_said() -> None:
    env = Grounding(**TINY | {"boxes": "pixels"})
    for seed in range(20):
        observation, _ = env.reset(seed=seed)
        x1, y1, x2, y2 = map(int, gold_box(env))
        centre = observation["images"][0][(y1 + y2) // 2, (x1 + x2) // 2]
        assert tuple(centre) == COLOURS[observation["text"].split()[1]]


def test_the_tiny_task_cannot_be_answered_by_one_attribute() -> None:
    env = Grounding(**TINY)
    for seed in range(30):
        observation, _ = env.reset(seed=seed)
        _, colour, shape = observation["text"].split()
        items = env.task.world.scene.items
        assert len(items) >= 6
        assert sum(i.colour == colour for i in items) > 1 and sum(i.shape == shape for i in items) > 1
        assert sum((i.colour, i.shape) == (colour, shape) for i in items) == 1


def test_a_thought_is_the_phrase_or_the_place() -> None:
    for thought, expected in (("query", "red circle"), ("place", "row 1 column 3")):
        env = Grounding(**TINY | {"thought": thought})
        env.reset(seed=0)
        given = env.solve()[0].split("</think>")[0].removeprefix("<think>")
        assert len(given.split()) == len(expected.split())
        if thought == "place":
            _, row, _, column = given.split()
            x1, y1, _, _ = gold_box(env)
            assert (int(row) - 1, int(column) - 1) == (y1 // 14, x1 // 14)
        else:
            assert env.reset(seed=0)[0]["text"] == f"Find {given}"


def test_a_thought_can_scan_the_cells_until_it_meets_the_object() -> None:
    env = Grounding(**TINY | {"thought": "scan"})
    cells = [f"{row}{column}" for row in "abc" for column in (1, 2, 3)]
    for seed in range(10):
        observation, _ = env.reset(seed=seed)
        named = env.solve()[0].split("</think>")[0].removeprefix("<think>").split(", ")
        x1, y1, _, _ = gold_box(env)
        assert [entry.split()[0] for entry in named] == cells[: int(y1) // 14 * 3 + int(x1) // 14 + 1]
        assert named[-1].split()[1:] == observation["text"].split()[1:]
        assert sum("none" not in entry for entry in named) <= len(env.task.world.scene.items)


def test_dense_tasks_name_what_the_picture_shows() -> None:
    env = Grounding(**TINY | {"ask": "describe"})
    env.reset(seed=0)
    names = env.solve()[0].split("<answer>")[1].split("</answer>")[0].split(", ")
    assert len(names) == 9 and 9 - names.count("none") == len(env.task.world.scene.items)
    env = Grounding(**TINY | {"ask": "locate"})
    env.reset(seed=0)
    entries = env.solve()[0].split("<answer>")[1].split("</answer>")[0].split("; ")
    assert [entry.split(" [")[0] for entry in entries] == [name for name in names if name != "none"]


def test_a_list_of_boxes_is_paid_by_the_share_of_entries_that_are_right() -> None:
    env = Grounding(**TINY | {"ask": "locate", "objects": (6, 6)})
    env.reset(seed=0)
    (gold,) = env.solve()
    assert env.step(gold.replace("[", "[9", 1))[4]["metrics"]["accuracy"] == pytest.approx(5 / 6)
    env.reset(seed=0)
    assert env.step(gold.replace("</answer>", "; a; b</answer>"))[4]["metrics"]["accuracy"] == pytest.approx(6 / 8)


# Guessing.


def test_targets_are_uniform_over_places() -> None:
    env, places, orders = Grounding(**TINY), Counter(), Counter()
    for seed in range(600):
        env.reset(seed=seed)
        world = env.task.world
        x1, y1, _, _ = gold_box(env)
        places[x1 // 14, y1 // 14] += 1
        orders[world.target * 3 // len(world.scene.items)] += 1
    assert len(places) == 9
    assert all(abs(count - 600 / 9) < 35 for count in places.values())  # four and a half standard deviations
    assert all(abs(count - 200) < 60 for count in orders.values())


@pytest.mark.parametrize(("name", "most"), [("constant", 0.2), ("random", 0.2), ("blind", 0.2)])
def test_who_does_not_look_is_hardly_ever_right(name: str, most: float) -> None:
    rng = np.random.default_rng(0)
    for kwargs, limit in ((TINY, most), ({}, 0.05)):
        env, right = Grounding(**kwargs), []
        for seed in range(150):
            env.reset(seed=seed)
            right.append(env.step(env.baseline(name, rng))[4]["metrics"]["accuracy_0.5"])
        assert np.mean(right) <= limit


def test_a_hasty_annotator_heeds_half_of_the_time_no_more_than_the_first_word() -> None:
    env, rng, hasty = Grounding(**TINY | {"thought": "rule_out"}), np.random.default_rng(0), 0
    for seed in range(200):
        _, colour, _ = env.reset(seed=seed)[0]["text"].split()
        scene = env.task.world.scene
        first = next(i for i in sorted(scene.items, key=lambda i: (i.y // 14, i.x // 14)) if i.colour == colour)
        said = env.baseline("hasty", rng)
        if said == env.solve()[0]:
            continue
        hasty += 1
        assert said.split("</think>")[0].endswith(f" {colour}")
        _, _, _, _, info = env.step(said)
        assert info["rewards"]["format"] == 1.0
        assert info["metrics"]["accuracy_0.5"] == float(first is scene.items[env.task.world.target])
    assert abs(hasty / 200 - 0.5) < 0.12


def test_a_blind_guess_looks_where_the_words_point() -> None:
    env, rng = Grounding(expressions=["ordinal"], conditions=(2, 2), boxes="pixels"), np.random.default_rng(0)
    seen = set()
    for seed in range(40):
        env.reset(seed=seed)
        pick = env.task.world.expression.pick
        text = env.baseline("blind", rng).split("[")[1].split("]")[0]
        x1, y1, x2, y2 = map(int, text.split(", "))
        if pick.place == 1:
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            assert {"left": x < 80, "right": x > 144, "above": y < 80, "below": y > 144}[pick.side]
            seen.add(pick.side)
    assert len(seen) == 4


def test_an_unknown_baseline_is_refused_with_those_allowed() -> None:
    with pytest.raises(ArgumentError, match="'constant', 'random', 'blind', 'hasty'"):
        Grounding().baseline("oracle", np.random.default_rng(0))


# Splits, held-out pairs, seeds.


def pair(item: Any) -> tuple[int, int]:
    return list(COLOURS).index(item.colour), list(SHAPES).index(item.shape)


def test_seen_shows_no_pair_that_is_held_out_and_unseen_asks_about_nothing_else() -> None:
    asked = {}
    for combinations in ("seen", "unseen"):
        env = Grounding(combinations=combinations)
        asked[combinations] = set()
        for seed in range(80):
            env.reset(seed=seed)
            world = env.task.world
            asked[combinations].add(pair(world.scene.items[world.target]))
            if combinations == "seen":
                assert not any(unseen(*pair(item)) for item in world.scene.items)
    assert not asked["seen"] & asked["unseen"]
    every = {(c, s) for c in range(6) for s in range(4)}
    assert asked["unseen"] == {p for p in every if unseen(*p)}
    assert asked["seen"] == every - asked["unseen"]


def test_no_scene_is_in_two_splits_whatever_is_asked_about_it() -> None:
    few = TINY | {"cells": 2, "objects": (4, 4), "shapes": 2, "colours": 2}
    seen = {}
    for split in SPLITS:
        env = Grounding(**few, split=split)
        seen[split] = {image_hash(env.reset(seed=s)[0]["images"][0]) for s in range(40)}
    assert sum(map(len, seen.values())) == len(set().union(*seen.values()))


def test_too_few_worlds_are_an_error_that_says_so() -> None:
    # Three values of one attribute cannot fill a block of two conditions.
    with pytest.raises((WorldNotFoundError, ArgumentError), match=r"too few different worlds|cannot be made"):
        Grounding(**TINY | {"colours": 1, "objects": (4, 4)}).reset(seed=0)


@pytest.mark.parametrize("ask", ["describe", "locate"])
def test_a_dense_task_shows_the_scenes_of_grounding(ask: str) -> None:
    box, dense = Grounding(**TINY), Grounding(**TINY | {"ask": ask})
    for seed in range(5):
        assert np.array_equal(box.reset(seed=seed)[0]["images"][0], dense.reset(seed=seed)[0]["images"][0])


def test_pixels_and_phrases_are_those_always_given() -> None:
    # Recorded: results of published runs depend on them.
    given = {}
    for name, kwargs in (("tiny", TINY), ("medium", {}), ("hard", {"conditions": (4, 6)}), ("clevr", CLEVR)):
        observation, _ = Grounding(**kwargs).reset(seed=0)
        given[name] = (image_hash(observation["images"][0])[:12], observation["text"].split(" Give the box")[0])
    assert given == {
        "tiny": ("9fc2f2d65018", "Find red circle"),
        "medium": ("3c008040f9cd", "Where is the green non-circle object nearest to the square?"),
        "hard": (
            "13a31144769d",
            "Find the large diamond that is higher up than the orange shape that is lower down than the yellow shape.",
        ),
        "clevr": ("ad940a89bab3", "Where is the blue non-sphere object nearest to the rubber object?"),
    }


# Turns and arguments.


def test_with_several_turns_a_malformed_answer_is_told_what_was_wrong() -> None:
    env = Grounding(**TINY, max_turns=3)
    env.reset(seed=0)
    observation, reward, terminated, truncated, _ = env.step("<answer>")
    assert "never closed" in observation["text"]
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert env.step(env.solve()[0])[1:4] == (1.0, True, False)


ENVIRONMENTS: dict[str, Grounding] = {}


@settings(max_examples=60, deadline=None)
@given(st.text() | st.text(alphabet="[](),.;-0123456789 <>"), st.sampled_from(["box", "describe", "locate"]))
def test_any_text_is_answered_with_a_reward_from_zero_to_one(text: str, ask: str) -> None:
    env = ENVIRONMENTS.setdefault(ask, Grounding(**TINY | {"ask": ask}))
    env.reset(seed=0)
    assert 0.0 <= env.step(f"<answer>{text}</answer>")[1] <= 1.0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"look": "oil"}, "look must be one of"),
        ({"layout": "hex"}, "layout must be one of"),
        ({"layout": "grid", "cells": 2, "objects": (4, 5)}, "objects"),
        ({"size": (10, 10)}, "size"),
        ({"objects": (3, 5)}, "objects"),
        ({"objects": (8, 5)}, "lowest exceeds"),
        ({"shapes": ["cube"]}, "shapes"),
        ({"expressions": "attributes"}, "expressions"),
        ({"expressions": ["irony"]}, "expressions"),
        ({"conditions": (0, 2)}, "conditions"),
        ({"conditions": (3, 7)}, "conditions"),
        ({"shapes": 1, "colours": 1, "sizes": 1, "conditions": (4, 4)}, "cannot be made of"),
        ({"combinations": "new"}, "combinations must be one of"),
        ({"combinations": "unseen", "shapes": ["circle"], "colours": ["red", "green"]}, "leaves no colour and shape"),
        ({"materials": 2}, "has no meaning with look='flat'"),
        ({"look": "clevr", "layout": "grid"}, "has no meaning with look='clevr'"),
        ({"max_overlap": 0.9}, "max_overlap"),
        ({"background": "sky"}, "background"),
        ({"boxes": "auto"}, "boxes='auto' is replaced by the trainer"),
        ({"boxes": {"unit": "px"}}, "boxes must be one of"),
        ({"instructions": "none"}, "instructions"),
        ({"ask": "guess"}, "ask"),
        ({"thought": "long"}, "thought"),
        ({"reward": "giou"}, "reward"),
        ({"format_weight": 0.6}, "format_weight"),
        ({"split": "dev"}, "split"),
    ],
)
def test_a_bad_argument_is_refused_at_construction_by_name(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Grounding(**kwargs)


def test_the_card_shows_arguments_that_work() -> None:
    card = Grounding.__doc__ or ""
    assert all(name in card for name in (Grounding.__init__.__kwdefaults__ or {}))


def test_boxes_may_be_plain_data() -> None:
    assert Grounding(boxes=RESIZED).boxes == from_argument(RESIZED)
