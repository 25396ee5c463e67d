"""The contract's checks must pass a good environment and fail each bad one at the law that it breaks."""

import math
import random
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from envs.core.conformance import LAWS, check_env
from envs.core.elsewhere import switchable_features
from envs.core.report import Report
from envs.core.spaces import Images, UnicodeText
from envs.counting import Counting

SMALL = {"layout": "grid", "cells": 2, "cell_px": 14, "objects": (2, 4)}


@pytest.fixture
def short_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """For checks of other laws: megabytes take their time."""
    monkeypatch.setattr("envs.core.conformance.GARBAGE", {"short": "<answer>"})


class Bare(gymnasium.Env[dict[str, Any], str]):
    """Somebody else's environment: the two spaces, reset(seed) and step, nothing more. Say which colour it is."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Dict({"text": UnicodeText(100), "images": Images(1, 8)})
        self.action_space = UnicodeText(1000)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.colour = int(self.np_random.integers(256))
        return {"text": "Which?", "images": (np.full((2, 2, 3), self.colour, dtype=np.uint8),)}, {}

    def step(self, action: str) -> Any:
        return {"text": "", "images": ()}, float(action == str(self.colour)), True, False, {}


class RandomPixels(Bare):
    def reset(self, **kwargs: Any) -> Any:
        (observation, info), noise = super().reset(**kwargs), random.randrange(256)
        observation["images"] = (np.full((2, 2, 3), noise, dtype=np.uint8),)
        return observation, info


class DeafToSeeds(Bare):
    def reset(self, **kwargs: Any) -> Any:
        _, info = super().reset(**kwargs)
        return {"text": "Which?", "images": ()}, info


class RaisesOnGarbage(Bare):
    def step(self, action: str) -> Any:
        action.encode("ascii")
        return super().step(action)


class RewardIsNaN(Bare):
    def step(self, action: str) -> Any:
        observation, _, terminated, truncated, info = super().step(action)
        return observation, math.nan, terminated, truncated, info


class PaysForNothing(Bare):
    def step(self, action: str) -> Any:
        observation, _, terminated, truncated, info = super().step(action)
        return observation, 0.1, terminated, truncated, info


class Endless(Bare):
    def step(self, action: str) -> Any:
        return {"text": "", "images": ()}, 0.0, False, False, {}


class FloatPixels(Bare):
    def reset(self, **kwargs: Any) -> Any:
        observation, info = super().reset(**kwargs)
        observation["images"] = tuple(picture / 255 for picture in observation["images"])
        return observation, info


class RandomReward(Bare):
    def step(self, action: str) -> Any:
        observation, _, terminated, truncated, info = super().step(action)
        return observation, random.random() if action else 0.0, terminated, truncated, info


class Discrete(Bare):
    def __init__(self) -> None:
        super().__init__()
        self.action_space = gymnasium.spaces.Discrete(3)  # type: ignore[assignment]


class WrongGold(Counting):
    def solve(self) -> list[str]:
        return ["<think>a</think><answer>-1</answer>"]


class GoldThatGoesOn(Counting):
    def solve(self) -> list[str]:
        return []


class SharedSplits(Counting):
    def state(self, world: Any) -> bytes:
        # The split is decided by a number that the world does not have: any world may be in any split.
        self.calls = getattr(self, "calls", 0) + 1
        return str(self.calls).encode()


class SeededTasks(Counting):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=seed)


class NoSuchBaseline(Counting):
    def baseline(self, name: str, rng: np.random.Generator) -> str:
        return super().baseline("random", rng)


class PerfectBaseline(Counting):
    def baseline(self, name: str, rng: np.random.Generator) -> str:
        return self.solve()[0]


class NamelessMetric(Counting):
    primary_metric = "f1"


class NestedTags(Counting):
    def tags(self, world: Any) -> Any:
        return {"where": ["here"]}


@pytest.fixture(scope="module")
def good() -> Report:
    return check_env("envs:RLLaVA/Counting-v0", **SMALL)


def test_a_good_environment_keeps_every_law(good: Report) -> None:
    assert {entry.law: entry.status for entry in good.entries} == dict.fromkeys(LAWS, "passed")


def test_somebody_elses_environment_is_only_held_to_what_it_provides() -> None:
    report = check_env(Bare())
    # Gymnasium's own check wants a description of rendering even where there is none.
    statuses = {entry.law: entry.status for entry in report.entries}
    required = {"spaces", "gymnasium", "same seed", "replay", "nothing", "garbage"}
    assert {law for law, status in statuses.items() if status == "passed"} == required
    assert report.ok


@pytest.mark.parametrize(
    ("env", "law"),
    [
        (RandomPixels, "same seed"),
        (DeafToSeeds, "same seed"),
        (RaisesOnGarbage, "garbage"),
        (RewardIsNaN, "nothing"),
        (RewardIsNaN, "garbage"),
        (PaysForNothing, "nothing"),
        (Endless, "nothing"),
        (FloatPixels, "spaces"),
        (FloatPixels, "gymnasium"),
        (RandomReward, "replay"),
        (Discrete, "spaces"),
    ],
)
def test_a_broken_environment_fails_the_law_that_it_breaks(env: type[Bare], law: str) -> None:
    assert check_env(env())[law].status == "failed"


@pytest.mark.parametrize(
    ("env", "law"),
    [
        (WrongGold, "gold answer"),
        (GoldThatGoesOn, "gold answer"),
        (SeededTasks, "tasks"),
        (NoSuchBaseline, "baselines"),
        (PerfectBaseline, "baselines"),
        (NamelessMetric, "metrics"),
        (NestedTags, "tags"),
    ],
)
def test_a_broken_optional_part_fails_its_law_and_no_other(env: type[Counting], law: str, short_garbage: None) -> None:
    assert [entry.law for entry in check_env(env(**SMALL)).failed] == [law]


def test_splits_that_share_worlds_are_found(short_garbage: None) -> None:
    class Registered(SharedSplits):
        """One cell, few worlds: sharing must show."""

    gymnasium.register("Tests/SharedSplits-v0", entry_point=Registered)
    try:
        few = {"layout": "grid", "cells": 1, "cell_px": 14, "objects": (1, 1)}
        report = check_env("Tests/SharedSplits-v0", **few)
        assert report["splits"].status == "failed"
        assert "share" in report["splits"].message
    finally:
        del gymnasium.registry["Tests/SharedSplits-v0"]


def test_pixels_that_depend_on_the_process_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_garbage: None
) -> None:
    (tmp_path / "process_pixels.py").write_text(
        "import os\nfrom envs.counting import Counting\n"
        "class Pixels(Counting):\n"
        "    def state(self, world):\n        return super().state(world) + str(os.getpid()).encode()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    gymnasium.register("Tests/Pixels-v0", entry_point="process_pixels:Pixels")
    try:
        report = check_env("Tests/Pixels-v0", split="test", **SMALL)
        assert [entry.law for entry in report.failed] == ["same elsewhere"]
    finally:
        del gymnasium.registry["Tests/Pixels-v0"]


def test_the_other_process_runs_without_the_vector_instructions(good: Report) -> None:
    features = switchable_features()
    if not features:
        pytest.skip("this NumPy has nothing to switch off here")
    assert all(feature in good["same elsewhere"].message for feature in features)


def test_the_report_says_how_many_laws_hold(short_garbage: None) -> None:
    report = check_env(WrongGold(**SMALL))
    assert str(report).endswith(f"{len(report.passed)} passed, 1 failed")
    assert report.to_dict()["ok"] is False
