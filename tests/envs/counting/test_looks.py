"""The look of CLEVR: its questions, its scenes, and that nothing hidden counts."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from envs.core.errors import ArgumentError
from envs.core.images import image_hash
from envs.counting import Counting
from envs.counting.looks import ClevrLook, Scene
from envs.render import clevr
from envs.render.clevr.camera import FILL, KEY, PLACE, TARGET, Light, look, unit

SMALL: dict[str, Any] = {"look": "clevr", "size": (160, 120), "objects": (3, 6)}
VIEW = clevr.View(look(320, 240, PLACE, TARGET), Light(unit(KEY)), Light(unit(FILL)))


def test_the_answer_is_the_number_of_things_that_fit() -> None:
    env = Counting(**SMALL)
    for seed in range(25):
        observation, info = env.reset(seed=seed)
        world = env.task.world
        assert observation["images"][0].shape == (120, 160, 3)
        assert sum(all(getattr(i, a) == v for a, v in world.plan.query) for i in world.items) == world.plan.answer
        assert 3 <= len(world.items) == info["tags"]["objects"] <= 6
        _, reward, terminated, _, _ = env.step(env.solve()[0])
        assert (reward, terminated) == (1.0, True)


def test_answers_depend_on_neither_the_question_nor_the_number_of_things() -> None:
    # Worlds as they are built, before any picture.
    env, rng = Counting(look="clevr", objects=(4, 7)), np.random.default_rng(0)
    totals: dict[Any, Counter[int]] = {}
    for _ in range(2500):
        plan = env.plan(rng)
        for group in [(), len(plan.query), plan.objects, *[value for _, value in plan.query]]:
            totals.setdefault(group, Counter())[plan.answer] += 1
    chi = sum((c[a] - c.total() / 5) ** 2 / (c.total() / 5) for c in totals.values() for a in range(5))
    freedom = 4 * len(totals)
    assert (chi - freedom) / (2 * freedom) ** 0.5 < 5
    assert totals[()].total() == 2500


@pytest.mark.parametrize(
    ("query", "question"),
    [
        (
            (("size", "large"), ("colour", "red"), ("material", "metal"), ("shape", "sphere")),
            "How many large red metal spheres are there?",
        ),
        ((("material", "metal"),), "How many metal things are there?"),
        ((("size", "small"), ("material", "rubber")), "How many small rubber things are there?"),
        ((("colour", "cyan"), ("shape", "cylinder")), "How many cyan cylinders are there?"),
    ],
)
def test_questions_are_worded_as_in_clevr(query: Any, question: str) -> None:
    env = Counting(**SMALL, instructions="short")
    kind, asked = "+".join(a for a, _ in query), set()
    env = Counting(**SMALL, instructions="short", question=[kind])
    env.asking.draw = lambda rng: query  # type: ignore[method-assign]
    for seed in range(2):
        asked.add(env.reset(seed=seed)[0]["text"])
    assert asked == {question}


def test_all_kinds_of_question_about_four_attributes_are_asked() -> None:
    assert len(Counting(look="clevr").asking.kinds) == 15
    assert "size+colour+material+shape" in Counting(look="clevr").asking.kinds
    assert "material" not in Counting(look="clevr", materials=["metal"]).asking.kinds


def planted(hidden_at: float) -> Scene:
    """A large cylinder and behind it a small ball, so far to its right."""
    return Scene(
        (
            clevr.Solid("sphere", "blue", "metal", "small", hidden_at, -0.6),
            clevr.Solid("cylinder", "red", "rubber", "large", 0.0, -2.0),
        ),
        VIEW,
    )


def test_a_scene_in_which_something_is_hidden_is_thrown_away() -> None:
    shows = {x: ClevrLook(min_visible=100, min_share=0.0).shows_all(planted(x)) for x in (0.0, 1.2)}
    assert shows == {0.0: False, 1.2: True}


def test_too_small_a_share_of_a_large_thing_is_hidden_as_well() -> None:
    scene = planted(0.65)
    tracing = clevr.trace(VIEW.camera, scene.items)
    share = tracing.visible[0] / tracing.whole[0]
    assert 0.1 < share < 0.9
    pixels = int(tracing.visible[0])
    assert ClevrLook(min_visible=pixels, min_share=share - 0.01).shows_all(scene)
    assert not ClevrLook(min_visible=pixels + 1, min_share=0.0).shows_all(scene)
    assert not ClevrLook(min_visible=0, min_share=share + 0.01).shows_all(scene)


def test_the_least_number_of_pixels_is_in_proportion_to_the_picture() -> None:
    view = clevr.View(look(640, 480, PLACE, TARGET), VIEW.key, VIEW.fill)
    scene = Scene(planted(0.65).items, view)
    pixels = clevr.trace(view.camera, scene.items).visible[0]
    assert ClevrLook(size=(640, 480), min_visible=int(pixels / 4), min_share=0.0).shows_all(scene)
    assert not ClevrLook(size=(640, 480), min_visible=int(pixels / 4) + 1, min_share=0.0).shows_all(scene)


def test_no_world_that_is_shown_hides_a_thing() -> None:
    env, shares = Counting(look="clevr", objects=(9, 10)), []
    for seed in range(6):
        env.reset(seed=seed)
        scene = env.task.world.scene
        tracing = clevr.trace(scene.view.camera, scene.items)
        assert min(tracing.visible) >= 100
        shares += [a / b for a, b in zip(tracing.visible, tracing.whole, strict=True)]
    assert 0.3 <= min(shares) < 0.9


def test_things_are_described_from_left_to_right() -> None:
    env = Counting(**SMALL, ask="describe")
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        scene = env.task.world.scene
        # The middle of a ball in the picture, from its box, is not far from where its centre is seen.
        lefts = {clevr.box(scene.view.camera, i).left + clevr.box(scene.view.camera, i).right: i for i in scene.items}
        said = env.solve()[0].split("<answer>")[1].split("</answer>")[0].split(", ")
        expected = [f"{i.size} {i.colour} {i.material} {i.shape}" for _, i in sorted(lefts.items())]
        assert Counter(said) == Counter(expected)
        assert sum(a != b for a, b in zip(said, expected, strict=True)) <= 2
        assert "from left to right" in observation["text"]
        assert env.step(env.solve()[0])[1] == 1.0


@pytest.mark.parametrize("ask", ["count", "describe", "tally"])
def test_baselines_have_the_form_and_do_not_reach_the_maximum(ask: str) -> None:
    env, rng = Counting(**SMALL, ask=ask), np.random.default_rng(0)
    for name in ("constant", "random", "blind", "miscount"):
        scores = []
        for seed in range(8):
            env.reset(seed=seed)
            info = env.step(env.baseline(name, rng))[4]
            assert info["rewards"]["format"] == 1.0
            scores.append(info["rewards"]["accuracy"])
        assert np.mean(scores) < 1.0 or (name == "miscount" and ask != "count")


def test_the_same_arrangement_seen_from_elsewhere_is_in_the_same_split() -> None:
    scene, rng = planted(1.2), np.random.default_rng(0)
    moved = Scene(scene.items[::-1], clevr.draw_view(320, 240, rng))
    assert ClevrLook().state(scene) == ClevrLook().state(moved)
    assert ClevrLook().state(scene) != ClevrLook().state(planted(1.21))


def test_pixels_and_questions_are_those_always_given() -> None:
    # Recorded: results of published runs depend on them.
    observation, info = Counting(look="clevr").reset(seed=0)
    given = (image_hash(observation["images"][0])[:12], observation["text"].split("?")[0], info["world"])
    assert given == ("09518a07d2cb", "How many large cubes are there", "ec1006f20c81aeaa")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"look": "photo"}, "look must be one of 'flat', 'clevr'"),
        ({"look": "clevr", "layout": "grid"}, "layout='grid' has no meaning with look='clevr'"),
        ({"look": "clevr", "background": "black"}, "background"),
        ({"look": "clevr", "max_overlap": 0.0}, "max_overlap"),
        ({"materials": 2}, "materials=2 has no meaning with look='flat'"),
        ({"min_visible": 10}, "min_visible"),
        ({"look": "clevr", "shapes": ["star"]}, "shapes"),
        ({"look": "clevr", "colours": 9}, "colours"),
        ({"look": "clevr", "materials": ["wood"]}, "materials"),
        ({"look": "clevr", "objects": (3, 21)}, "objects"),
        ({"look": "clevr", "size": (32, 32)}, "size"),
        ({"look": "clevr", "min_visible": -1}, "min_visible"),
        ({"look": "clevr", "min_share": 1.5}, "min_share"),
        ({"look": "clevr", "question": ["material"], "materials": 1}, "needs two values"),
        ({"look": "clevr", "question": ["shape+size"]}, "question"),
        ({"question": ["material"]}, "question"),
        ({"combinations": "some"}, "combinations must be one of 'all', 'seen', 'unseen'"),
    ],
)
def test_a_bad_argument_is_refused_at_construction_by_name(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Counting(**kwargs)
