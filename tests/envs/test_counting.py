"""Counting: its answers, its balance, its pictures, its arguments."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core.errors import ArgumentError, WorldNotFoundError
from envs.core.images import image_hash
from envs.core.tasks import SPLITS
from envs.counting import QUESTIONS, Counting
from envs.render.shapes import COLOURS

TINY: dict[str, Any] = {
    "layout": "grid",
    "cells": 3,
    "cell_px": 14,
    "objects": (9, 9),
    "shapes": 3,
    "colours": 4,
    "sizes": 1,
    "question": ["colour"],
    "instructions": "short",
}
SPARSE = TINY | {"objects": (3, 9)}
CROWDED: dict[str, Any] = {
    "size": (320, 240),
    "objects": (10, 14),
    "shapes": 5,
    "colours": 8,
    "distractors": 0.6,
    "max_overlap": 0.3,
}
SETTINGS = pytest.mark.parametrize("kwargs", [TINY, SPARSE, {}, CROWDED], ids=["tiny", "sparse", "medium", "crowded"])


def fitting(env: Counting) -> list[Any]:
    world = env.task.world
    return [i for i in world.items if all(getattr(i, a) == value for a, value in world.plan.query)]


@SETTINGS
def test_the_answer_is_the_number_of_objects_that_fit(kwargs: dict[str, Any]) -> None:
    env = Counting(**kwargs)
    for seed in range(40):
        env.reset(seed=seed)
        assert len(fitting(env)) == env.task.world.plan.answer
        low, high = env.objects
        assert low <= len(env.task.world.items) <= high


@SETTINGS
@pytest.mark.parametrize("ask", ["count", "describe", "tally"])
def test_the_gold_answer_scores_the_maximum(kwargs: dict[str, Any], ask: str) -> None:
    env = Counting(**kwargs, ask=ask)
    for seed in range(10):
        env.reset(seed=seed)
        _, reward, terminated, truncated, info = env.step(env.solve()[0])
        assert (reward, terminated, truncated) == (1.0, True, False)
        assert info["metrics"] == {"accuracy": 1.0, "format": 1.0}


@SETTINGS
def test_the_picture_shows_every_object_in_its_colour(kwargs: dict[str, Any]) -> None:
    env = Counting(**kwargs)
    for seed in range(10):
        observation, _ = env.reset(seed=seed)
        (pixels,) = observation["images"]
        assert pixels.shape == (env.height, env.width, 3)
        shown = Counter(map(tuple, pixels.reshape(-1, 3).tolist()))
        painted = {item.colour for item in env.task.world.items}
        # A pixel wholly inside an object has exactly its colour; no other colour of the palette may be in the picture.
        assert {name for name, value in COLOURS.items() if shown[value] > 0} == painted


def test_a_cell_of_the_grid_shows_what_its_description_says() -> None:
    env = Counting(**SPARSE, ask="describe")
    for seed in range(20):
        observation, _ = env.reset(seed=seed)
        said = env.solve()[0].split("<answer>")[1].split("</answer>")[0].split(", ")
        for k, name in enumerate(said):
            row, column = divmod(k, 3)
            cell = observation["images"][0][row * 14 : row * 14 + 14, column * 14 : column * 14 + 14].reshape(-1, 3)
            seen = {c for c, value in COLOURS.items() if (cell == value).all(axis=1).any()}
            assert seen == (set() if name == "none" else {name.split()[0]})


def test_a_crowded_scene_overlaps_but_hides_no_object() -> None:
    env = Counting(**CROWDED)
    shares = []
    for seed in range(30):
        env.reset(seed=seed)
        shares += env.look.paint(env.task.world.scene).visible
    assert 0.7 <= min(shares) < 1.0


# The balance: what can be had without looking for the objects asked about.


def draws(env: Counting, n: int) -> list[Any]:
    """Worlds of the test split, where most draws are refused, without painting them."""
    return [env.reset(seed=seed) and env.task.world for seed in range(n)]


@pytest.fixture(scope="module")
def worlds() -> list[Any]:
    kwargs = {
        "layout": "grid",
        "cells": 3,
        "cell_px": 14,
        "objects": (4, 9),
        "question": list(QUESTIONS),
        "split": "test",
    }
    return draws(Counting(**kwargs), 3000)


def skew(pairs: list[tuple[Any, int]]) -> float:
    """Chi-square of each group's answers 0..4 against uniform, as standard deviations from its expectation."""
    groups: dict[Any, list[int]] = defaultdict(lambda: [0] * 5)
    for group, answer in pairs:
        groups[group][answer] += 1
    chi = sum((n - sum(g) / 5) ** 2 / (sum(g) / 5) for g in groups.values() for n in g)
    freedom = 4 * len(groups)
    return float((chi - freedom) / np.sqrt(2 * freedom))


def test_answers_are_uniform(worlds: list[Any]) -> None:
    assert skew([((), w.plan.answer) for w in worlds]) < 5


def test_answers_do_not_depend_on_the_kind_of_question(worlds: list[Any]) -> None:
    assert skew([(tuple(a for a, _ in w.plan.query), w.plan.answer) for w in worlds]) < 5


def test_answers_do_not_depend_on_the_words_of_the_question(worlds: list[Any]) -> None:
    assert skew([(word, w.plan.answer) for w in worlds for _, word in w.plan.query]) < 5


def test_answers_do_not_depend_on_the_number_of_objects(worlds: list[Any]) -> None:
    assert skew([(len(w.items), w.plan.answer) for w in worlds]) < 5


def test_neither_place_nor_painting_order_tells_which_objects_are_counted(worlds: list[Any]) -> None:
    ranks, rows = [], []
    for world in worlds:
        for rank, item in enumerate(world.items):
            fits = all(getattr(item, a) == value for a, value in world.plan.query)
            if fits:
                ranks.append(rank / (len(world.items) - 1))
                rows.append((item.y // 14 * 3 + item.x // 14) / 8)
    assert len(ranks) > 5000
    assert abs(np.mean(ranks) - 0.5) < 0.025
    assert abs(np.mean(rows) - 0.5) < 0.025


def test_the_skew_of_an_unbalanced_sample_would_show() -> None:
    assert skew([((), min(k % 6, 4)) for k in range(3000)]) > 50


@pytest.mark.parametrize("name", ["constant", "random", "blind"])
def test_a_baseline_is_right_at_chance(name: str) -> None:
    env, rng = Counting(**TINY), np.random.default_rng(0)
    right = []
    for seed in range(600):
        env.reset(seed=seed)
        right.append(env.step(env.baseline(name, rng))[4]["metrics"]["accuracy"])
    assert abs(np.mean(right) - 0.1) < 0.06  # five standard deviations


@pytest.mark.parametrize("ask", ["describe", "tally"])
def test_a_baseline_of_a_dense_task_has_the_form_but_not_the_content(ask: str) -> None:
    env, rng = Counting(**TINY, ask=ask), np.random.default_rng(0)
    for name in ("constant", "random", "blind"):
        env.reset(seed=0)
        rewards = env.step(env.baseline(name, rng))[4]["rewards"]
        assert rewards["format"] == 1.0
        assert rewards["accuracy"] < 0.6


def test_an_unknown_baseline_is_refused_with_those_allowed() -> None:
    with pytest.raises(ArgumentError, match="'constant', 'random', 'blind'"):
        Counting().baseline("oracle", np.random.default_rng(0))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_distractors_miss_the_description_in_exactly_one_attribute(share: float) -> None:
    env = Counting(**TINY | {"question": ["size+colour+shape"], "sizes": 2, "distractors": share})
    misses = []
    for seed in range(60):
        env.reset(seed=seed)
        world = env.task.world
        misses += [sum(getattr(item, a) != value for a, value in world.plan.query) for item in world.items]
    near = misses.count(1) / sum(m > 0 for m in misses)
    assert near == 1.0 if share == 1.0 else near < 0.5


# Splits, seeds and modes.


def test_no_picture_is_in_two_splits_even_where_pictures_are_few() -> None:
    few = {"layout": "grid", "cells": 2, "cell_px": 14, "objects": (1, 2), "shapes": 2, "colours": 2, "sizes": 1}
    seen = {}
    for split in SPLITS:
        env = Counting(**few, split=split)
        seen[split] = {image_hash(env.reset(seed=s)[0]["images"][0]) for s in range(150)}
    assert min(map(len, seen.values())) > 3
    assert sum(map(len, seen.values())) == len(set().union(*seen.values()))


def test_too_few_worlds_are_an_error_that_says_so() -> None:
    two_pictures = {
        "layout": "grid",
        "cells": 1,
        "cell_px": 14,
        "objects": (1, 1),
        "shapes": 1,
        "colours": 2,
        "sizes": 1,
    }

    def reset_every_split() -> None:
        for split in SPLITS:
            Counting(**two_pictures, split=split).reset(seed=0)

    # Two pictures cannot fill three splits.
    with pytest.raises(WorldNotFoundError, match="too few different worlds"):
        reset_every_split()


@pytest.mark.parametrize("ask", ["describe", "tally"])
def test_a_dense_task_shows_the_scenes_of_counting(ask: str) -> None:
    count, describe = Counting(**TINY), Counting(**TINY, ask=ask)
    for seed in range(10):
        assert np.array_equal(count.reset(seed=seed)[0]["images"][0], describe.reset(seed=seed)[0]["images"][0])


def test_a_picture_given_out_belongs_to_the_caller() -> None:
    env = Counting(**TINY)
    first = env.reset(seed=0)[0]["images"][0]
    expected = first.copy()
    first[:] = 0
    assert np.array_equal(env.reset(seed=0)[0]["images"][0], expected)


def test_pixels_and_questions_are_those_always_given() -> None:
    # Recorded: results of published runs depend on them.
    given = {}
    for name, kwargs in (("tiny", TINY), ("medium", {}), ("crowded", CROWDED)):
        observation, _ = Counting(**kwargs).reset(seed=0)
        given[name] = (image_hash(observation["images"][0])[:12], observation["text"].split("?")[0])
    assert given == {
        "tiny": ("d4159f52049f", "How many green shapes are there"),
        "medium": ("69e5c9a2b1be", "How many large shapes are there"),
        "crowded": ("2c2eee94aaf9", "How many large shapes are there"),
    }


# What is said.


def test_the_full_instructions_are_those_of_the_benchmark() -> None:
    text = Counting().reset(seed=0)[0]["text"]
    assert text.startswith("How many ")
    assert text.endswith(
        " are there? Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."
    )


@pytest.mark.parametrize(
    ("kind", "question", "thought"),
    [
        ("colour", "How many red shapes are there?", "red"),
        ("shape", "How many crosses are there?", "cross"),
        ("size+colour+shape", "How many large red crosses are there?", "large red cross"),
    ],
)
def test_the_question_names_what_is_asked_in_english(kind: str, question: str, thought: str) -> None:
    env = Counting(shapes=["cross", "star"], colours=["red", "blue"], question=[kind], instructions="short")
    texts = {}
    for seed in range(40):
        observation, _ = env.reset(seed=seed)
        texts[observation["text"]] = env.solve()[0].split("</think>")[0].removeprefix("<think>")
    assert texts[question] == thought


def test_the_thought_can_list_the_objects() -> None:
    env = Counting(**TINY, thought="list")
    for seed in range(20):
        env.reset(seed=seed)
        listed = env.solve()[0].split(": ")[1].split("</think>")[0]
        assert (0 if listed == "none" else len(listed.split(", "))) == env.task.world.plan.answer


def test_describe_lists_free_objects_from_top_to_bottom() -> None:
    env = Counting(ask="describe")
    env.reset(seed=0)
    said = env.solve()[0].split("<answer>")[1].split("</answer>")[0].split(", ")
    items = sorted(env.task.world.items, key=lambda i: i.y)
    assert said == [f"{i.size} {i.colour} {i.shape}" for i in items]


def test_a_tally_counts_the_objects_of_every_colour_in_the_order_of_colours() -> None:
    env = Counting(**SPARSE, ask="tally")
    for seed in range(10):
        env.reset(seed=seed)
        painted = Counter(item.colour for item in env.task.world.items)
        said = env.solve()[0].split("<answer>")[1].split("</answer>")[0]
        assert said == ", ".join(f"{colour} {painted[colour]}" for colour in env.values["colour"])


def test_a_weak_annotator_is_right_half_of_the_time_and_misses_by_one() -> None:
    env, rng, misses = Counting(**TINY), np.random.default_rng(0), []
    for seed in range(400):
        env.reset(seed=seed)
        said = int(env.baseline("miscount", rng).split("<answer>")[1].split("<")[0])
        misses.append(said - env.task.world.plan.answer)
    assert set(misses) == {-1, 0, 1}
    assert abs(misses.count(0) / 400 - 0.5) < 0.1


@pytest.mark.parametrize(
    ("said", "reward"),
    [
        ("<think>a</think><answer>{right}</answer>", 1.0),
        ("<answer>{right}</answer>", 0.9),
        ("<think>a</think><answer>{wrong}</answer>", 0.1),
        ("<answer>{wrong}</answer>", 0.0),
        ("{right}", 0.0),
        ("", 0.0),
    ],
)
def test_the_reward_is_nine_parts_answer_and_one_part_form(said: str, reward: float) -> None:
    env = Counting(**TINY)
    env.reset(seed=0)
    answer = env.task.world.plan.answer
    assert env.step(said.format(right=answer, wrong=answer + 1))[1] == pytest.approx(reward)


def test_with_several_turns_a_malformed_answer_is_told_what_was_wrong() -> None:
    env = Counting(**TINY, max_turns=3)
    env.reset(seed=0)
    observation, reward, terminated, truncated, _ = env.step("<answer>")
    assert "never closed" in observation["text"]
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert env.step(env.solve()[0])[1:4] == (1.0, True, False)


def test_with_several_turns_a_wrong_answer_is_final() -> None:
    env = Counting(**TINY, max_turns=3)
    env.reset(seed=0)
    assert env.step("<answer>-1</answer>")[1:4] == (0.0, True, False)


@settings(max_examples=60, deadline=None)
@given(st.text(), st.sampled_from(["count", "describe", "tally"]))
def test_any_text_is_answered_with_a_reward_from_zero_to_one(text: str, ask: str) -> None:
    env = Counting(**TINY, ask=ask)
    env.reset(seed=0)
    assert 0.0 <= env.step(f"<answer>{text}</answer>")[1] <= 1.0


# Arguments.


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"layout": "hex"}, "layout must be one of"),
        ({"cells": 0}, "cells must be a whole number"),
        ({"cell_px": 4}, "cell_px must be a whole number"),
        ({"size": (10, 10)}, "size"),
        ({"objects": (8, 5)}, "lowest exceeds"),
        ({"layout": "grid", "objects": (5, 10)}, "objects"),
        ({"max_count": 6}, "max_count must be a whole number from 1 to 5"),
        ({"shapes": ["cube"]}, "shapes"),
        ({"colours": 11}, "colours"),
        ({"sizes": []}, "sizes"),
        ({"question": "colour"}, "question"),
        ({"question": ["material"]}, "question"),
        ({"question": ["size"], "sizes": 1}, "needs two values"),
        ({"shapes": 1, "colours": 1, "sizes": 1}, "needs two values"),
        ({"distractors": 1.5}, "distractors"),
        ({"max_overlap": 0.9}, "max_overlap"),
        ({"background": "sky"}, "background"),
        ({"instructions": "none"}, "instructions"),
        ({"ask": "guess"}, "ask"),
        ({"thought": "long"}, "thought"),
        ({"format_weight": 0.6}, "format_weight"),
        ({"split": "dev"}, "split"),
    ],
)
def test_a_bad_argument_is_refused_at_construction_by_name(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Counting(**kwargs)


def test_the_card_shows_arguments_that_work() -> None:
    card = Counting.__doc__ or ""
    assert all(name in card for name in (Counting.__init__.__kwdefaults__ or {}))
