"""Which trajectories are shown, and how."""

from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.plugin_util import markdown_to_safe_html

from agent.model.processor import ProcessedImage
from agent.tracking.samples import LONGEST_SIDE, PICTURES, SAMPLES, Sample, as_code, samples_of
from agent.types import Trajectory
from tests.agent.report.recorded import action, decode, observation, prompt, trajectory
from tests.agent.tracking.elements import Elements
from tests.agent.tracking.shown import HOSTILE


def pixels(name: str) -> ProcessedImage:
    side = 1000 if name == "large" else 8
    return ProcessedImage(torch.zeros(4, 1), (1, 2, 2), 4, name, np.full((side, 2 * side, 3), len(name), np.uint8))


def shown(*trajectories: Trajectory, **extra: Any) -> list[Sample]:
    return samples_of(trajectories, pixels, decode, [{"advantage": 0.5, **extra}] * len(trajectories))


def test_turns_are_told_in_order_and_pictures_named_by_their_numbers() -> None:
    (one,) = shown(
        trajectory(
            prompt("How many?", ("a" * 64,)), action("<search>x</search>"), observation("no\nmore", 1), action(turn=1)
        )
    )
    assert one.text.split("\n") == [
        "[prompt]", "⟨image 1⟩How many?", "",
        "[action, turn 0 (reward 0.250)]", "<search>x</search>", "",
        "[observation, turn 1]", "no", "more", "",
        "[action, turn 1 (reward 0.250)]", "<answer>3</answer>",
    ]  # fmt: skip
    assert [image.shape for image in one.images] == [(8, 16, 3)]
    assert one.headline == "task 0, seed 7: reward 1.000, advantage +0.500, terminated"


def test_best_and_worst_of_groups_that_differ_come_first() -> None:
    groups = {0: [0.5, 0.5], 1: [0.0, 1.0, 0.25], 2: [1.0], 3: [0.75, 0.5]}
    found = shown(*(trajectory(task=task, score=score) for task, scores in groups.items() for score in scores))
    assert [(s.task, s.reward) for s in found] == [(1, 1.0), (1, 0.0), (3, 0.75), (3, 0.5)]
    assert len(found) == SAMPLES


def test_where_no_group_differs_the_first_are_shown() -> None:
    found = shown(*(trajectory(task=task, score=0.0) for task in (0, 0, 1, 1, 2)))
    assert [s.task for s in found] == [0, 0, 1, 1]


def test_an_episode_that_the_infrastructure_broke_has_no_reward_and_says_why() -> None:
    (_, broken) = shown(trajectory(score=0.0), trajectory(score=None, reason="lost"))
    assert broken.reward is None and broken.end == "failed: lost" and "reward none" in broken.headline


def test_of_advantages_by_token_the_mean_is_told() -> None:
    (one,) = shown(trajectory(), advantages=[1.0, 0.0])
    assert one.advantage == 0.5


def test_large_pictures_are_made_smaller_and_many_are_cut() -> None:
    names = ["large", *("b" * i for i in range(1, 12))]
    (one,) = shown(trajectory(prompt("?", names), action()))
    assert one.images[0].shape == (LONGEST_SIDE // 2, LONGEST_SIDE, 3)
    assert len(one.images) == PICTURES


def test_a_long_transcript_is_cut_with_a_note() -> None:
    (one,) = shown(trajectory(prompt("x\n" * 30_000), action()))
    assert len(one.text) < 21_000 and "shortened from" in one.text


@pytest.mark.parametrize("text", [HOSTILE, "", "\n\n\n", "    ", "\t<b>", "a\n\n\n# b\n\n<b>c"])
def test_whatever_a_transcript_says_is_shown_as_plain_text(text: str) -> None:
    page = Elements(markdown_to_safe_html(as_code(f"first\n{text}")))
    assert set(page.tags) <= {"pre", "code"} and page.attributes == []
    for line in text.split("\n"):
        assert line.translate(dict.fromkeys(range(0x20), None)).strip(" \x85\u2028\u202e\x0b\x0c")[:10] in page.text
    assert "\x1b" not in page.text and "\u202e" not in page.text


def test_the_transcript_of_a_hostile_policy_has_no_control_characters() -> None:
    (one,) = shown(trajectory(prompt(HOSTILE), action(HOSTILE)))
    assert {c for c in one.text if not c.isprintable()} == {"\n"}
