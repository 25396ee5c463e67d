"""Geometry: its pictures, its balance, its words, its scores, its arguments."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core.errors import ArgumentError
from envs.core.images import image_hash
from envs.core.tasks import SPLITS
from envs.geometry import Geometry
from envs.geometry.families import FAMILIES, HELD_OUT
from envs.render.diagram import STYLES, draw
from envs.render.diagram_labels import overlap

TINY: dict[str, Any] = {"style": "tiny", "largest": 9, "angle_step": 10, "instructions": "short"}
SETTINGS = pytest.mark.parametrize(
    "kwargs", [TINY | {"families": "all"}, {"families": "all", "style": "mixed"}], ids=["tiny", "medium"]
)


def answer_of(action: str) -> str:
    return action.split("<answer>")[1].split("</answer>")[0]


# The picture.


@pytest.mark.parametrize(("size", "largest"), [((224, 224), 12), ((320, 200), 40)])
def test_labels_lie_inside_the_picture_and_apart_from_each_other(size: tuple[int, int], largest: int) -> None:
    env = Geometry(families="all", size=size, largest=largest, angle_step=1)
    for seed in range(80):
        env.reset(seed=seed)
        diagram = env.task.world.diagram
        assert diagram is not None
        drawing = draw(diagram, size)
        assert not any(overlap(a, b) for a, b in combinations(drawing.boxes, 2))
        assert all(0 <= a < c <= size[0] and 0 <= b < d <= size[1] for a, b, c, d in drawing.boxes)
        assert (drawing.overlaps, drawing.pixels.shape) == (0, (size[1], size[0], 3))
        assert drawing.covered <= 30


@SETTINGS
def test_the_answer_is_never_printed_in_the_picture(kwargs: dict[str, Any]) -> None:
    env = Geometry(**kwargs)
    for seed in range(150):
        env.reset(seed=seed)
        labels = [text.rstrip("°") for text in env._show(env.task.world).texts]
        assert env.task.world.plan.value.plain not in labels


@SETTINGS
def test_the_answer_is_the_familys_answer_to_the_printed_numbers(kwargs: dict[str, Any]) -> None:
    env = Geometry(**kwargs)
    for seed in range(60):
        env.reset(seed=seed)
        world = env.task.world
        assert FAMILIES[world.plan.family].answer(*world.case) == world.plan.value


def test_mixed_pictures_come_in_every_style() -> None:
    env = Geometry(style="mixed")
    corners = {tuple(env.reset(seed=seed)[0]["images"][0][0, 0].tolist()) for seed in range(20)}
    assert corners == {style.paper for style in STYLES.values()}


def test_a_picture_given_out_belongs_to_the_caller() -> None:
    env = Geometry()
    first = env.reset(seed=0)[0]["images"][0]
    expected = first.copy()
    first[:] = 0
    assert np.array_equal(env.reset(seed=0)[0]["images"][0], expected)


def test_pixels_and_questions_are_those_always_given() -> None:
    # Recorded: results of published runs depend on them.
    given = {}
    for name, kwargs in (("tiny", TINY), ("medium", {}), ("chalk", {"style": "chalk", "families": "test"})):
        observation, _ = Geometry(**kwargs).reset(seed=0)
        given[name] = (image_hash(observation["images"][0])[:12], observation["text"].split(" Output")[0])
    assert given == RECORDED


RECORDED: dict[str, tuple[str, str]] = {
    "tiny": ("4c3fa552bdd2", "Angle x?"),
    "medium": ("ee5e73ba66b2", "F is the center. Find angle CFD."),
    "chalk": ("9e0a8ce3c0da", "EL is parallel to QV. Find angle EXQ."),
}


# The balance.


def test_answers_of_a_family_are_uniform() -> None:
    env = Geometry(**TINY, families=["rectangle_area"], split="test")
    answers = Counter(env.reset(seed=seed) and env.task.world.plan.value for seed in range(500))
    expected = 500 / len(env._answers["rectangle_area"])
    chi = sum((answers[value] - expected) ** 2 / expected for value in env._answers["rectangle_area"])
    freedom = len(env._answers["rectangle_area"]) - 1
    assert chi < freedom + 5 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("name", ["constant", "random", "blind"])
def test_a_baseline_is_hardly_ever_right(name: str) -> None:
    env, rng = Geometry(**TINY), np.random.default_rng(0)
    right = []
    for seed in range(300):
        env.reset(seed=seed)
        right.append(env.step(env.baseline(name, rng))[4]["metrics"]["accuracy"])
    assert np.mean(right) < 0.15


def test_the_blind_guess_is_the_likeliest_answer_to_the_question() -> None:
    env = Geometry(**TINY, families=["right_angle_split", "rectangle_area"])
    rng, said = np.random.default_rng(0), set()
    for seed in range(30):
        text = env.reset(seed=seed)[0]["text"]
        said.add((text, answer_of(env.baseline("blind", rng))))
    assert len(said) == 2  # one guess a question


@pytest.mark.parametrize("thought", ["rows", "none", "steps"])
def test_a_hasty_annotator_takes_half_of_the_time_a_printed_number_for_the_answer(thought: str) -> None:
    env, rng, hasty = Geometry(**TINY, thought=thought), np.random.default_rng(0), 0
    for seed in range(200):
        env.reset(seed=seed)
        said = env.baseline("hasty", rng)
        if said == env.solve()[0]:
            continue
        hasty += 1
        assert answer_of(said) == env._numbers(env.task.world)[0]
        info = env.step(said)[4]
        assert info["rewards"] == {"accuracy": 0.0, "format": 1.0}
    assert abs(hasty / 200 - 0.5) < 0.12


def test_a_hasty_annotator_of_a_picture_without_numbers_says_nought() -> None:
    env, rng = Geometry(families=["regular_angle"]), np.random.default_rng(1)
    env.reset(seed=0)
    assert {answer_of(env.baseline("hasty", rng)) for _ in range(20)} == {"0", answer_of(env.solve()[0])}


def test_an_unknown_baseline_is_refused_with_those_allowed() -> None:
    with pytest.raises(ArgumentError, match="'constant', 'random', 'blind', 'hasty'"):
        Geometry().baseline("oracle", np.random.default_rng(0))


# Families, splits, difficulty.


def test_train_and_test_families_are_apart_and_make_up_all() -> None:
    train, test, every = (set(Geometry(families=which).families) for which in ("train", "test", "all"))
    assert train.isdisjoint(test)
    assert train | test == every == set(FAMILIES)
    assert test == set(HELD_OUT)


def test_only_the_chosen_families_are_asked() -> None:
    for which in ("train", "test", ["thales", "chord"]):
        env = Geometry(families=which)
        asked = {env.reset(seed=seed)[1]["tags"]["kind"] for seed in range(25)}
        assert asked <= set(env.families)


def test_steps_choose_the_difficulty() -> None:
    for steps, level in (((1, 1), "easy"), ((2, 2), "medium"), ((3, 3), "hard")):
        env = Geometry(families="all", steps=steps)
        assert {env.reset(seed=seed)[1]["tags"]["difficulty"] for seed in range(8)} == {level}


def test_no_picture_is_in_two_splits_even_where_pictures_are_few() -> None:
    seen = {}
    for split in SPLITS:
        env = Geometry(**TINY, families=["regular_perimeter"], split=split)
        seen[split] = {image_hash(env.reset(seed=s)[0]["images"][0]) for s in range(150)}
    assert sum(map(len, seen.values())) == len(set().union(*seen.values()))


# What is said.


@SETTINGS
@pytest.mark.parametrize("ask", ["solve", "read"])
@pytest.mark.parametrize("protocol", ["tags", "boxed"])
def test_the_gold_answer_scores_the_maximum(kwargs: dict[str, Any], ask: str, protocol: str) -> None:
    env = Geometry(**kwargs, ask=ask, protocol=protocol)
    for seed in range(25):
        env.reset(seed=seed)
        _, reward, terminated, truncated, info = env.step(env.solve()[0])
        assert (reward, terminated, truncated) == (1.0, True, False), env.solve()
        assert info["metrics"] == {"accuracy": 1.0, "format": 1.0}


def test_the_question_never_says_a_number() -> None:
    env = Geometry(families="all")
    for seed in range(80):
        text = env.reset(seed=seed)[0]["text"]
        assert not any(character.isdigit() for character in text)
        assert text.endswith(
            "Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."
        )


def test_letters_of_the_question_stand_in_the_picture() -> None:
    env = Geometry(families="all")
    for seed in range(80):
        env.reset(seed=seed)
        world = env.task.world
        spoken = {c for word in world.question.rstrip(".?").split() if word.isupper() for c in word.strip(".,?")}
        assert spoken <= set(env._show(world).texts), world.question


def test_short_questions_name_what_is_asked_and_an_x_stands_in_the_picture() -> None:
    env = Geometry(families="all", instructions="short")
    for seed in range(80):
        text = env.reset(seed=seed)[0]["text"]
        texts = env._show(env.task.world).texts
        assert any("x" in label for label in texts) == ("x" in text)
        assert text in ("Angle x?", "Side x?", "Length x?", "Perimeter?", "Area?", "Find x.")


def test_boxed_instructions_ask_for_think_tags_and_a_box() -> None:
    text = Geometry(protocol="boxed").reset(seed=0)[0]["text"]
    assert "<think> </think>" in text
    assert "\\boxed{}" in text


def test_the_thought_computes_the_answer() -> None:
    env = Geometry(**TINY, families="all")
    for seed in range(60):
        env.reset(seed=seed)
        thought = env.solve()[0].split("<think>")[1].split("</think>")[0]
        assert eval(thought) == env.task.world.plan.value.rational  # digits and + - * / ( ) of our own making
    assert Geometry(**TINY, thought="none").reset(seed=0)


def test_a_thought_of_interchangeable_numbers_has_them_in_reading_order() -> None:
    env = Geometry(**TINY, families=["triangle_perimeter"])
    for seed in range(20):
        env.reset(seed=seed)
        thought = env.solve()[0].split("<think>")[1].split("</think>")[0]
        assert thought.split("+") == list(env._show(env.task.world).texts)


@pytest.mark.parametrize(
    ("said", "reward"),
    [
        ("<think>a</think><answer>{right}</answer>", 1.0),
        ("<think>a</think><answer>\\boxed{{{right}}}</answer>", 1.0),
        ("<think>a</think><answer>{right}°</answer>", 1.0),
        ("<answer>{right}</answer>", 0.9),
        ("<think>a</think><answer>{wrong}</answer>", 0.1),
        ("<think>a</think><answer>{right}+0</answer>", 0.1),
        ("<answer>{wrong}</answer>", 0.0),
        ("{right}", 0.0),
        ("", 0.0),
    ],
)
def test_the_reward_is_nine_parts_answer_and_one_part_form(said: str, reward: float) -> None:
    env = Geometry(**TINY)
    env.reset(seed=0)
    answer = int(env.task.world.plan.value.rational)
    assert env.step(said.format(right=answer, wrong=answer + 1))[1] == pytest.approx(reward)


@pytest.mark.parametrize(
    ("said", "reward"),
    [
        ("<think>a</think>\\boxed{{{right}}}", 1.0),
        ("<think>a</think> So it is \\boxed{{{right}}}.", 1.0),
        ("<think>\\boxed{{1}}</think>\\boxed{{{right}}}", 1.0),
        ("\\boxed{{{right}}}", 0.9),
        ("<think>a</think>\\boxed{{{wrong}}}", 0.1),
        ("<think>a</think>\\boxed{{{right}}} or \\boxed{{{wrong}}}", 0.1),
        ("<think>a</think><answer>{right}</answer>", 0.0),
        ("<think>a</think>\\boxed{{{right}", 0.0),
        ("{right}", 0.0),
    ],
)
def test_boxed_is_the_published_form_and_the_last_box_counts(said: str, reward: float) -> None:
    env = Geometry(**TINY, protocol="boxed")
    env.reset(seed=0)
    answer = int(env.task.world.plan.value.rational)
    assert env.step(said.format(right=answer, wrong=answer + 1))[1] == pytest.approx(reward)


@pytest.mark.parametrize("protocol", ["tags", "boxed"])
def test_with_several_turns_a_missing_answer_is_told_what_was_wrong(protocol: str) -> None:
    env = Geometry(**TINY, max_turns=3, protocol=protocol)
    env.reset(seed=0)
    observation, reward, terminated, truncated, _ = env.step("<answer>")
    assert observation["text"]
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert env.step(env.solve()[0])[1:4] == (1.0, True, False)


@settings(max_examples=40, deadline=None)
@given(st.text(), st.sampled_from(["solve", "read"]), st.sampled_from(["tags", "boxed"]))
def test_any_text_is_answered_with_a_reward_from_zero_to_one(text: str, ask: str, protocol: str) -> None:
    env = Geometry(**TINY, ask=ask, protocol=protocol)
    env.reset(seed=0)
    said = f"<answer>{text}</answer>" if protocol == "tags" else f"<think>\\boxed{{{text}}}"
    assert 0.0 <= env.step(said)[1] <= 1.0


# Arguments.


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"style": "oil"}, "style must be one of"),
        ({"size": (50, 50)}, "size"),
        ({"families": "some"}, "families must be one of"),
        ({"families": ["pentagram"]}, "families"),
        ({"families": []}, "families"),
        ({"style": "tiny", "families": ["chord"]}, "families"),
        ({"families": ["linear_pair"], "steps": (3, 3)}, "leave no family"),
        ({"steps": (3, 1)}, "lowest exceeds"),
        ({"largest": 2}, "largest must be a whole number"),
        ({"angle_step": 7}, "angle_step must be one of"),
        ({"instructions": "none"}, "instructions"),
        ({"ask": "guess"}, "ask"),
        ({"thought": "long"}, "thought"),
        ({"thought": "rows"}, 'needs style="tiny"'),
        ({"protocol": "json"}, "protocol"),
        ({"format_weight": 0.6}, "format_weight"),
        ({"split": "dev"}, "split"),
    ],
)
def test_a_bad_argument_is_refused_at_construction_by_name(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Geometry(**kwargs)


@pytest.mark.parametrize(("step", "largest"), [(1, 40), (2, 6), (15, 6), (10, 9)])
def test_every_family_has_problems_within_any_limits(step: int, largest: int) -> None:
    env = Geometry(families="all", angle_step=step, largest=largest)
    assert all(env._answers[name] for name in FAMILIES)


def test_the_card_names_every_argument() -> None:
    card = Geometry.__doc__ or ""
    assert all(name in card for name in (Geometry.__init__.__kwdefaults__ or {}))


def test_the_card_states_how_many_families_there_are() -> None:
    topics = Counter(family.topic for family in FAMILIES.values())
    card = Geometry.__doc__ or ""
    assert f"out of {len(FAMILIES)} families: triangles ({topics['triangles']})" in card
    assert f'families="train" never asks {len(HELD_OUT)} of the families' in card
