"""The episode, on a toy: guess a number from 0 to 999 that the picture shows as a colour."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from envs.core.env import Environment, Prompt, Response
from envs.core.errors import ArgumentError, EnvironmentAuthorError, EpisodeOrderError
from envs.core.spaces import Images

RIGHT = Response(True, 1.0, {"accuracy": 1.0}, {"accuracy": 1.0})
WRONG = Response(False, 0.0, {"accuracy": 0.0}, {"accuracy": 0.0}, text="again")


class Guess(Environment[int]):
    """`answer` and `prompt`, where given, replace what a hook returns."""

    def __init__(self, answer: Any = None, prompt: Any = None, **kwargs: Any) -> None:
        super().__init__(images=Images(1, 8), **kwargs)
        self.answer, self.prompt = answer, prompt

    def build(self, plan: object, rng: np.random.Generator) -> int:
        return int(rng.integers(1000))

    def observe(self, world: int) -> Prompt:
        return self.prompt or Prompt("Which?", (np.full((2, 2, 3), world % 256, dtype=np.uint8),))

    def respond(self, world: int, text: str) -> Response:
        return self.answer or (RIGHT if text == str(world) else WRONG)

    def tags(self, world: int) -> dict[str, str | int]:
        return {"digits": len(str(world))}


def test_the_right_answer_ends_the_episode_as_terminated() -> None:
    env = Guess(max_turns=3)
    env.reset(seed=1)
    assert env.step(str(env.task.world))[1:4] == (1.0, True, False)


def test_an_episode_whose_turns_run_out_is_truncated() -> None:
    env = Guess(max_turns=3)
    env.reset(seed=1)
    assert [env.step("no")[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]


def test_an_episode_of_one_turn_is_terminated_whatever_is_said() -> None:
    env = Guess()
    env.reset(seed=1)
    assert env.step("no")[2:4] == (True, False)


def test_a_wrong_guess_shows_the_environments_answer() -> None:
    env = Guess(max_turns=2)
    env.reset(seed=1)
    assert env.step("no")[0] == {"text": "again", "images": ()}


def test_a_step_before_reset_is_refused() -> None:
    with pytest.raises(EpisodeOrderError, match="before reset"):
        Guess().step("1")


def test_a_step_after_the_end_is_refused_until_the_next_reset() -> None:
    env = Guess()
    env.reset(seed=1)
    env.step("no")
    with pytest.raises(EpisodeOrderError, match="after the end"):
        env.step("no")
    env.reset()
    env.step("no")


def test_an_action_that_is_no_str_is_refused() -> None:
    env = Guess()
    env.reset(seed=1)
    with pytest.raises(TypeError, match=r"must be a str.*got int"):
        env.step(4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "broken",
    [
        replace(RIGHT, reward=math.nan),
        replace(RIGHT, reward=math.inf),
        replace(RIGHT, reward=1.5),
        replace(RIGHT, reward=-0.1),
        replace(RIGHT, reward=1),
        replace(RIGHT, reward=np.float32(1)),
        replace(RIGHT, rewards={"accuracy": math.nan}),
        replace(RIGHT, metrics={"accuracy": 2.0}),
        replace(RIGHT, done=1),
        replace(RIGHT, text=None),
        replace(RIGHT, text="a\ud800"),
        replace(RIGHT, text="a" * 10_000),
        replace(RIGHT, images=(np.zeros((2, 2)),)),
        replace(RIGHT, images=[np.zeros((2, 2, 3), np.uint8)]),
        (True, 1.0),
    ],
    ids=str,
)
def test_what_the_contract_forbids_is_the_authors_mistake(broken: Any) -> None:
    env = Guess(answer=broken)
    env.reset(seed=1)
    with pytest.raises(EnvironmentAuthorError, match=r"^Guess: .*mistake in the environment"):
        env.step("no")


@pytest.mark.parametrize(
    "broken", ["Which?", Prompt("a\ud800"), Prompt("a", (np.zeros((9, 9, 3), np.uint8),))], ids=repr
)
def test_a_first_observation_outside_the_space_is_the_authors_mistake(broken: Any) -> None:
    with pytest.raises(EnvironmentAuthorError, match=r"^Guess: observe\(\)"):
        Guess(prompt=broken).reset(seed=1)


def test_a_seed_names_a_world_in_any_object_and_after_any_history() -> None:
    one, other = Guess(), Guess()
    worlds = [one.reset(seed=s)[1]["world"] for s in range(20)]
    assert len(set(worlds)) > 15
    other.reset(options={"task": 3})
    assert [other.reset(seed=s)[1]["world"] for s in reversed(range(20))] == worlds[::-1]


def test_resets_without_a_seed_go_on_from_the_last_one() -> None:
    env = Guess()
    runs = []
    for _ in range(2):
        env.reset(seed=5)
        runs.append([env.reset()[1]["world"] for _ in range(5)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 1


def test_a_numbered_task_does_not_depend_on_the_seed() -> None:
    env = Guess(split="test")
    infos = [env.reset(seed=s, options={"task": 7})[1] for s in (None, 1, 2)]
    assert len({info["world"] for info in infos}) == 1
    assert {info["task"] for info in infos} == {7}


@pytest.mark.parametrize("options", [{"task": 2048}, {"task": -1}, {"task": "1"}, {"task": 1.0}, {"taks": 1}])
def test_a_task_outside_the_list_or_an_unknown_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="task"):
        Guess(split="test").reset(options=options)


@pytest.mark.parametrize("kwargs", [{"split": "dev"}, {"max_turns": 0}, {"max_turns": 1.5}, {"render_mode": "human"}])
def test_bad_arguments_are_refused_at_construction(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(kwargs))):
        Guess(**kwargs)


def test_info_carries_parts_metrics_tags_and_turn() -> None:
    env = Guess(max_turns=2)
    _, info = env.reset(seed=1)
    assert info["tags"] == {"digits": len(str(env.task.world))}
    assert (info["split"], len(info["world"])) == ("train", 16)
    info = env.step("no")[4]
    assert info == {
        "rewards": {"accuracy": 0.0},
        "metrics": {"accuracy": 0.0},
        "tags": env.tags(env.task.world),
        "turn": 1,
    }


def test_aggregate_gives_the_mean_of_every_metric() -> None:
    results = [{"accuracy": 1.0, "format": 1.0}, {"accuracy": 0.0, "format": 1.0}]
    assert Guess().aggregate(results) == {"accuracy": 0.5, "format": 1.0}
    assert Guess().aggregate([]) == {}


def test_aggregate_refuses_mixed_metrics_and_unknown_protocols() -> None:
    with pytest.raises(ArgumentError, match="same metrics"):
        Guess().aggregate([{"accuracy": 1.0}, {"iou": 1.0}])
    with pytest.raises(ArgumentError, match="protocol"):
        Guess().aggregate([], "lenient")


def test_rendering_returns_the_picture_shown() -> None:
    env = Guess(render_mode="rgb_array")
    with pytest.raises(EpisodeOrderError, match="reset"):
        env.render()
    observation, _ = env.reset(seed=1)
    assert np.array_equal(env.render(), observation["images"][0])


@pytest.mark.parametrize(("turns", "context"), [(2, "restart"), (1, None)])
def test_an_answer_that_begins_the_context_anew_says_so_unless_the_episode_is_over(turns: int, context: Any) -> None:
    env = Guess(replace(WRONG, restart=True), max_turns=turns)
    env.reset(seed=1)
    assert env.step("no")[4].get("context") == context


def test_an_environment_may_have_fewer_splits() -> None:
    class TestOnly(Guess):
        splits = ("test",)

    assert TestOnly(split="test").num_tasks("test") == 2048
    with pytest.raises(ArgumentError, match="split must be one of 'test'; got 'train'"):
        TestOnly(split="train")
    with pytest.raises(ArgumentError, match="split must be one of 'test'; got 'validation'"):
        TestOnly(split="test").num_tasks("validation")
