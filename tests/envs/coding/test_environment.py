"""Coding: its turns, its pictures, its balance, its arguments."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.coding import Coding
from envs.coding.contents import KINDS
from envs.coding.episode import PROBLEMS
from envs.core.errors import ArgumentError
from envs.core.images import image_hash
from envs.core.tasks import SPLITS
from envs.render.document import lay_out
from sandbox.errors import Lost

pytest.importorskip("cv2")
SMALL: dict[str, Any] = {"sandbox": "local", "size": (160, 160)}
TINY: dict[str, Any] = {"sandbox": "local", "style": "tiny", "program": "short", "instructions": "short"}
COPY = (
    "<think>a</think><code>import cv2\n"
    "cv2.imwrite('path_to_output_image.jpg', cv2.imread('path_to_input_image.jpg'))</code>"
)


def answer(text: str) -> str:
    return f"<think>a</think><answer>{text}</answer>"


def play(env: Coding, actions: list[str]) -> tuple[Any, ...]:
    for action in actions:
        result = env.step(action)
    return result


@pytest.mark.parametrize("faults", [[p] for p in PROBLEMS] + [["crop", "noise"], ["rotation90", "dark"]])
def test_the_expert_mends_every_problem_and_scores_the_maximum(faults: list[str]) -> None:
    env = Coding(**SMALL, faults=faults, problems=(len(faults), len(faults)))
    env.reset(seed=1)
    actions = env.solve()
    assert len(actions) == 3
    _, reward, terminated, truncated, info = play(env, actions)
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert set(info["metrics"].values()) == {1.0} == set(info["rewards"].values())


@pytest.mark.parametrize("kwargs", [TINY, {**TINY, "problems": (0, 2)}, {**TINY, "context": "restart"}])
def test_the_expert_scores_the_maximum_at_the_tiny_size(kwargs: dict[str, Any]) -> None:
    env = Coding(**kwargs)
    for seed in range(6):
        observation, _ = env.reset(seed=seed)
        assert observation["images"][0].shape == (42, 42, 3) and observation["text"] == "What number?"
        assert play(env, env.solve())[1] == 1.0


def test_what_the_program_writes_is_the_picture_from_then_on() -> None:
    env = Coding(**TINY, faults=["rotation180"], problems=(1, 1))
    observation, _ = env.reset(seed=0)
    before = observation["images"][0]
    turn = "<think>a</think><code>import cv2\ncv2.imwrite('out.png', cv2.imread('in.png')[::-1, ::-1])</code>"
    first = env.step(turn)[0]
    assert np.array_equal(first["images"][0], before[::-1, ::-1])
    # The next program begins where the last one ended.
    assert np.array_equal(env.step(turn)[0]["images"][0], before)


def test_without_a_sandbox_the_episodes_are_the_same_and_no_program_is_run() -> None:
    usual, taken = Coding(**TINY), Coding(**TINY | {"sandbox": "none"})
    one, other = usual.reset(seed=3)[0], taken.reset(seed=3)[0]
    assert one["text"] == other["text"] and np.array_equal(one["images"][0], other["images"][0])
    program = next(action for action in usual.solve() if "<code>" in action)
    observation, _, terminated, _, info = taken.step(program)
    assert observation == {"text": "Programs are not run here.", "images": ()} and not terminated
    assert info["metrics"]["tool"] == 0.0


def test_a_hasty_annotator_takes_two_times_in_three_everything_for_noise() -> None:
    env, rng, hasty = Coding(**TINY, problems=(1, 1)), np.random.default_rng(0), 0
    scores = {True: [], False: []}
    for seed in range(60):
        env.reset(seed=seed)
        truth = env.task.world.plan.problems[0]
        said = env.baseline("hasty", rng)
        right = said == env.solve()[0]
        if not right:
            assert said == "<think>look</think><problem>noise</problem>"
        hasty += not right or truth == "noise"
        env.step(said)
        program = env.baseline("hasty", rng)
        assert ("medianBlur" in program) == (not right or truth == "noise")
        env.step(program)
        scores[right].append(env.step(env.baseline("hasty", rng))[4]["metrics"]["accuracy"])
    assert np.mean(scores[True]) == 1.0 and np.mean(scores[False]) == 0.0
    assert abs(hasty / 60 - (2 / 3 + 1 / 15)) < 0.15


def test_a_program_that_fails_is_told_why_and_the_picture_stays() -> None:
    env = Coding(**TINY)
    env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step("<think>a</think><code>1/0</code>")
    assert "ZeroDivisionError" in observation["text"] and observation["images"] == ()
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["metrics"]["tool"] == 0.0
    assert np.array_equal(env._progress.picture, env.paint(env.task.world))


def test_a_failing_sandbox_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    env = Coding(**TINY)
    env.reset(seed=0)

    def lost(*_: object, **__: object) -> None:
        raise Lost("gone")

    assert env._bench is not None
    monkeypatch.setattr(env._bench._sandbox, "exec", lost)
    with pytest.raises(Lost) as caught:
        env.step(COPY)
    assert caught.value.infrastructure_failure


def test_a_program_pays_only_with_a_right_answer() -> None:
    env = Coding(**SMALL, faults=["dark"], problems=(1, 1))
    rewards = {}
    for name, actions in {
        "right": [answer("GOLD")],
        "right, mended": [COPY, answer("GOLD")],
        "wrong": [answer("no")],
        "wrong, mended": [COPY, answer("no")],
    }.items():
        env.reset(seed=0)
        gold = env.task.world.answer
        rewards[name] = play(env, [action.replace("GOLD", gold) for action in actions])[1]
    assert rewards == pytest.approx({"right": 0.9, "right, mended": 1.0, "wrong": 0.1, "wrong, mended": 0.1})


def test_without_an_answer_the_episode_scores_nothing() -> None:
    env = Coding(**TINY)
    env.reset(seed=0)
    results = [env.step("<think>a</think><problem>dark</problem>") for _ in range(5)]
    assert [r[1] for r in results] == [0.0] * 5
    assert results[-1][2:4] == (False, True)
    assert results[-1][4]["metrics"]["answered"] == 0.0 == results[-1][4]["metrics"]["accuracy"]


def test_appending_shows_what_is_new_and_restarting_the_whole_prompt() -> None:
    said = "<think>a</think><problem>{'dark'}</problem>"
    env = Coding(**SMALL)
    question = env.reset(seed=0)[0]["text"]
    observation, *_, info = env.step(said)
    assert question not in observation["text"] and observation["images"] == () and "context" not in info
    env = Coding(**SMALL, context="restart")
    first = env.reset(seed=0)[0]
    observation, *_, info = env.step(said)
    assert info["context"] == "restart"
    assert observation["text"].startswith(question) and said in observation["text"]
    assert np.array_equal(observation["images"][0], first["images"][0])


def test_the_diagnosis_is_measured_and_not_told() -> None:
    env = Coding(**SMALL, faults=["dark"], problems=(1, 1))
    seen = {}
    for said in ("dark", "blur"):
        env.reset(seed=0)
        observation, *_, info = env.step(f"<think>a</think><problem>{{'{said}'}}</problem>")
        seen[said] = (observation["text"], info["metrics"]["diagnosis"])
    assert seen["dark"][0] == seen["blur"][0]
    assert (seen["dark"][1], seen["blur"][1]) == (1.0, 0.0)


def test_without_tools_there_is_one_turn_and_no_program_runs() -> None:
    env = Coding(tools=False, size=(160, 160))  # and no sandbox is opened: docker is not to be had
    observation, _ = env.reset(seed=0)
    assert "<code>" not in observation["text"] and "<problem>" not in observation["text"]
    assert env.step(COPY)[1:4] == (0.0, True, False)
    env.reset(seed=0)
    assert env.step(env.solve()[0])[1] == 1.0


@pytest.mark.parametrize("kwargs", [{"ask": "read"}, {"ask": "name"}, {"ask": "read", "style": "tiny"}])
def test_the_dense_tasks_are_one_turn_and_can_be_solved(kwargs: dict[str, Any]) -> None:
    env = Coding(size=(160, 160), **kwargs)
    for seed in range(5):
        env.reset(seed=seed)
        (action,) = env.solve()
        assert env.step(action)[1:4] == (1.0, True, False)


def test_reading_shows_the_clean_picture_and_naming_the_spoilt_one() -> None:
    for ask in ("read", "name"):
        env = Coding(size=(160, 160), ask=ask, faults=["dark"], problems=(1, 1))
        observation, _ = env.reset(seed=0)
        same = np.array_equal(observation["images"][0], env.clean(env.task.world))
        assert same is (ask == "read")


# Pictures to crop.


def test_the_box_of_a_crop_holds_the_document_and_hardly_more() -> None:
    env = Coding(**SMALL, faults=["crop"], problems=(1, 1))
    for seed in range(4):
        env.reset(seed=seed)
        world = env.task.world
        picture, (x1, y1, x2, y2) = env.paint(world), env.box(world) or (0, 0, 0, 0)
        high, wide = picture.shape[:2]
        cut = picture[y1 * high // 1000 : -(-y2 * high // 1000), x1 * wide // 1000 : -(-x2 * wide // 1000)]
        _, boxes = lay_out(tuple(map(env._draw, world.table)), 3, (0, 0, 0))
        left, top, _, _ = boxes[world.place]
        inside = cut[top - y1 * high // 1000 :, left - x1 * wide // 1000 :][:160, :160]
        assert np.array_equal(inside, env.clean(world))
        assert max(cut.shape) <= 164
        assert f"[{x1}, {y1}, {x2}, {y2}]" in env._question(world)


def test_a_picture_to_crop_is_shown_smaller_than_the_program_gets_it() -> None:
    env = Coding(**SMALL, faults=["crop"], problems=(1, 1))
    observation, _ = env.reset(seed=0)
    assert observation["images"][0].shape == (160, 160, 3)
    assert env._progress.picture.shape == (560, 560, 3)
    said = env.step(COPY.replace("cv2.imwrite", "print(cv2.imread('path_to_input_image.jpg').shape)\ncv2.imwrite"))[0]
    assert "(560, 560, 3)" in said["text"]


# What is held out, splits, and what guessing reaches.


def test_seen_and_unseen_combinations_are_disjoint_and_together_all() -> None:
    choices = {}
    for which in ("all", "seen", "unseen"):
        env = Coding(tools=False, combinations=which, problems=(0, 2))
        choices[which] = {pair for pairs in env._choices.values() for pair in pairs}
    assert choices["seen"] | choices["unseen"] == choices["all"]
    assert choices["seen"] & choices["unseen"] == set()
    assert min(map(len, choices.values())) > 20


@pytest.mark.parametrize("style", ["document", "tiny"])
def test_every_problem_and_every_kind_is_seen_in_training(style: str) -> None:
    env = Coding(tools=False, style=style, combinations="seen", problems=(1, 1))
    assert {s for s, _ in env._choices[1]} == {(p,) for p in env.faults}
    assert {kind for _, kind in env._choices[1]} == set(env.kinds)


@pytest.mark.parametrize("combinations", ["seen", "unseen"])
def test_tags_say_what_is_shown(combinations: str) -> None:
    env = Coding(tools=False, size=(160, 160), combinations=combinations)
    for seed in range(10):
        _, info = env.reset(seed=seed)
        assert info["tags"]["combination"] == combinations
        number = len(info["tags"]["problems"].split("+"))
        assert info["tags"]["difficulty"] == ("easy", "medium", "hard")[number]


def test_two_problems_that_undo_each_other_do_not_occur() -> None:
    env = Coding(tools=False, problems=(2, 2))
    sets = {frozenset(s) for s, _ in env._choices[2]}
    for pair in (("rotation90", "rotation180"), ("dark", "overexposure"), ("rotation90", "crop")):
        assert frozenset(pair) not in sets
    assert len(sets) == 21 - 4


def test_no_document_is_in_two_splits_even_where_there_are_few() -> None:
    keys = {}
    for split in SPLITS:
        env = Coding(**TINY, split=split)
        keys[split] = {env.reset(seed=seed)[1]["world"] for seed in range(120)}
    assert sum(map(len, keys.values())) == len(set().union(*keys.values()))


def test_the_same_document_is_in_one_split_whatever_is_done_to_it() -> None:
    env = Coding(tools=False, size=(160, 160))
    env.reset(seed=0)
    world = env.task.world
    other = type(world)(
        type(world.plan)(("blur",), world.plan.kind, 5), world.written, "What?", "x", (), 0, world.grain + 1
    )
    assert env.state(world) == env.state(other)


def test_kinds_and_problems_occur_alike() -> None:
    env = Coding(tools=False)
    rng = np.random.default_rng(0)
    plans = [env.plan(rng) for _ in range(2100)]
    kinds = Counter(plan.kind for plan in plans)
    assert set(kinds) == set(KINDS) and max(kinds.values()) < 1.4 * min(kinds.values())
    counts = Counter(len(plan.problems) for plan in plans)
    assert abs(counts[1] / 2100 - 0.5) < 0.06


@pytest.mark.parametrize("name", ["constant", "random", "blind"])
def test_guessing_reaches_little(name: str) -> None:
    env, rng, right = Coding(tools=False, size=(160, 160), problems=(0, 0)), np.random.default_rng(0), []
    for seed in range(60):
        env.reset(seed=seed)
        right.append(env.step(env.baseline(name, rng))[4]["metrics"]["accuracy"])
    assert np.mean(right) < 0.15


def test_pixels_and_questions_are_those_always_given() -> None:
    # Recorded for the tiny style, which depends on no font.
    observation, _ = Coding(**TINY).reset(seed=0)
    assert image_hash(observation["images"][0])[:12] == "8ca85d37960d"


# What is said.


@settings(max_examples=40, deadline=None)
@given(st.text(), st.sampled_from(["answer", "problem"]), st.sampled_from(["append", "restart"]))
def test_any_text_is_answered_within_the_space(text: str, verb: str, context: str) -> None:
    env = Coding(**TINY, context=context)
    env.reset(seed=0)
    for said in (text, f"<{verb}>{text}</{verb}>"):
        observation, reward, terminated, *_ = env.step(said)
        assert env.observation_space.contains(observation) and 0.0 <= reward <= 1.0
        if terminated:
            break


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"sandbox": "docker"}, 'sandbox="local"'),
        ({}, 'sandbox="local"'),
        ({"sandbox": 3}, "sandbox must be one of"),
        ({"tools": "no"}, "tools"),
        ({"tools": False, "size": (100, 100)}, "size"),
        ({"tools": False, "kinds": ["poem"]}, "kinds"),
        ({"tools": False, "faults": 8}, "faults"),
        ({"tools": False, "problems": (1, 3)}, "problems"),
        ({"tools": False, "faults": ["dark", "overexposure"], "problems": (2, 2)}, "no picture is left"),
        ({"tools": False, "combinations": "new"}, "combinations"),
        ({"tools": False, "style": "huge"}, "style"),
        ({"tools": False, "style": "tiny", "faults": ["crop"]}, "faults"),
        ({"tools": False, "program": "shell"}, "program"),
        ({"tools": False, "context": "none"}, "context"),
        ({"tools": False, "ask": "guess"}, "ask"),
        ({"tools": False, "score": "bleu"}, "score"),
        ({"tools": False, "instructions": "long"}, "instructions"),
        ({"tools": False, "seconds": 0}, "seconds"),
        ({"tools": False, "format_weight": 0.6}, "format_weight"),
        ({"tools": False, "tool_weight": -0.1}, "tool_weight"),
        ({"sandbox": "local", "max_turns": 2}, "max_turns must be at least 3"),
        ({"tools": False, "split": "dev"}, "split"),
    ],
)
def test_a_bad_argument_is_refused_at_construction_by_name(
    no_engine: None, kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        Coding(**kwargs)


def test_the_card_shows_arguments_that_work() -> None:
    card = Coding.__doc__ or ""
    assert all(name in card for name in (Coding.__init__.__kwdefaults__ or {}))
