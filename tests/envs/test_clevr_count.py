"""CLEVR-Count and SuperCLEVR: what is asked, both ways of scoring, guesses, arguments."""

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.clevr_count import CLEVRCount, SuperCLEVR, published_format
from envs.core.errors import ArgumentError, DatasetError
from envs.datasets import clevr_count, super_clevr
from envs.datasets.sample import write_json, write_picture

PATTERN = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)  # as published


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("counting")
    clevr_count.write_sample(folder)
    super_clevr.write_sample(folder)
    return str(folder)


def test_a_task_is_the_published_row_of_its_number(folder: str) -> None:
    env = CLEVRCount(data=folder)
    assert [env.num_tasks(split) for split in ("train", "validation", "test")] == [144, 16, 16]
    for index in (0, 80, 143):
        observation, info = env.reset(options={"task": index})
        assert env.task.world.position == info["task"] == index
        assert np.array_equal(observation["images"][0], env.task.world.picture.pixels())


def test_the_question_is_the_published_one_with_how_to_answer(folder: str) -> None:
    asked = "How many items are there in the image?"
    how = "Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."
    assert CLEVRCount(data=folder).reset(seed=0)[0]["text"] == f"{asked} {how}"
    assert CLEVRCount(data=folder, instructions="short").reset(seed=0)[0]["text"] == asked
    text = SuperCLEVR(data=folder, protocol="faithful").reset(seed=0)[0]["text"]
    assert text.endswith(
        "? First output the thinking process in <think> </think> and final answer (number) in <answer> </answer> tags."
    )


def score(env: CLEVRCount, text: str) -> tuple[float, float, float]:
    """Reward, accuracy and format of a text in which G is the gold answer and W a wrong one."""
    env.reset(options={"task": 0})
    gold = env.task.world.answer
    _, reward, terminated, _, info = env.step(text.replace("G", str(gold)).replace("W", str(gold + 1)))
    assert terminated
    return float(reward), info["rewards"]["accuracy"], info["rewards"]["format"]


@pytest.mark.parametrize(
    ("text", "strict", "faithful"),
    [
        ("<think>a</think><answer>G</answer>", (1.0, 1, 1), (1.0, 1, 1)),
        ("<think>a</think>\n<answer> G </answer>", (1.0, 1, 1), (1.0, 1, 1)),
        ("<think>a</think><answer>W</answer>", (0.5, 0, 1), (0.5, 0, 1)),
        ("<answer>G</answer>", (0.5, 1, 0), (0.5, 1, 0)),
        ("G", (0, 0, 0), (0.5, 1, 0)),
        ("<think>a</think><answer>G.0</answer>", (0.5, 0, 1), (1.0, 1, 1)),
        ("<think>a</think><answer>G items</answer>", (0.5, 0, 1), (0.5, 0, 1)),
        ("<think>a</think><answer>G</answer> ", (1.0, 1, 1), (0.5, 1, 0)),
        ("<think>a</think><answer>G</answer><answer>W</answer>", (0, 0, 0), (1.0, 1, 1)),
        ("<think><answer>G</answer></think><answer>W</answer>", (0, 0, 0), (1.0, 1, 1)),
        ("<think>a<think>b</think><answer>G</answer>", (0.5, 1, 0), (1.0, 1, 1)),
        ("", (0, 0, 0), (0, 0, 0)),
    ],
)
def test_strict_and_faithful_scores_of_clevr_count(
    text: str, strict: tuple[float, ...], faithful: tuple[float, ...], folder: str
) -> None:
    assert score(CLEVRCount(data=folder, protocol="faithful"), text) == faithful
    assert score(CLEVRCount(data=folder), text) == strict


@pytest.mark.parametrize(
    ("text", "accuracy"),
    [
        ("<think>a</think><answer>G</answer>", 1),
        ("no form at all <answer>\n G\n</answer> and more", 1),
        ("<answer>G items</answer><answer>G</answer>", 1),
        ("<answer>W</answer><answer>G</answer>", 0),
        ("<answer>G.0</answer>", 0),
        ("<answer>-G</answer>", 0),
        ("G", 0),
        ("<answer>" + "9" * 5000 + "</answer>", 0),
    ],
)
def test_super_clevr_is_scored_as_its_published_evaluation_does(text: str, accuracy: float, folder: str) -> None:
    assert score(SuperCLEVR(data=folder, protocol="faithful"), text)[1] == accuracy


def test_digits_of_other_scripts_count_only_where_the_published_code_counts_them(folder: str) -> None:
    env = SuperCLEVR(data=folder, protocol="faithful")
    env.reset(options={"task": 1})
    assert env.task.world.answer == 8
    assert env.step("<answer>\u0668</answer>")[4]["rewards"]["accuracy"] == 1.0
    env = SuperCLEVR(data=folder)
    env.reset(options={"task": 1})
    assert env.step("<answer>\u0668</answer>")[4]["rewards"]["accuracy"] == 0.0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", " ", "\n", "a", "<"]), max_size=9))
def test_the_published_format_is_that_of_the_published_pattern(parts: list[str]) -> None:
    text = "".join(parts)
    assert published_format(text) == float(PATTERN.fullmatch(text) is not None)


@pytest.mark.parametrize("piece", ["<answer>", "</think><answer>", "<answer>1 ", "</think> ", "<answer> ", "1,111"])
def test_published_patterns_are_matched_in_linear_time(piece: str) -> None:
    text = "<think>" + piece * (1_000_000 // len(piece))
    start = time.process_time()
    for gold in (0, 4):
        CLEVRCount.published_accuracy(text, gold)
        SuperCLEVR.published_accuracy(text, gold)
        published_format(text + "</answer>")
    assert time.process_time() - start < 3.0  # a tenth of a second; in quadratic time minutes


@pytest.mark.parametrize("name", ["constant", "random", "blind"])
def test_guesses_are_counts_that_occur_and_do_not_look(name: str, folder: str) -> None:
    env, rng = CLEVRCount(data=folder, split="validation"), np.random.default_rng(0)
    said = set()
    for index in range(16):
        env.reset(options={"task": index})
        said.add(env.baseline(name, rng))
    assert said <= {f"<think>guess</think><answer>{count}</answer>" for count in range(3, 11)}
    assert len(said) == {"constant": 1, "random": len(said), "blind": len(said)}[name]
    with pytest.raises(ArgumentError, match="'constant', 'random', 'blind'"):
        env.baseline("lucky", rng)


def test_a_constant_on_the_real_questions_is_right_for_15_percent() -> None:
    # 30 of the 200 published answers are 3; the card says so.
    assert "15.0%" in (SuperCLEVR.__doc__ or "") and "12.5%" in (SuperCLEVR.__doc__ or "")


def test_with_several_turns_a_malformed_answer_is_told_what_was_wrong(folder: str) -> None:
    env = CLEVRCount(data=folder, max_turns=2)
    env.reset(seed=0)
    observation, reward, terminated, truncated, _ = env.step("<answer>")
    assert "never closed" in observation["text"]
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert env.step(env.solve()[0])[1:4] == (1.0, True, False)


def test_the_weight_of_the_form_is_an_argument(folder: str) -> None:
    assert score(CLEVRCount(data=folder, format_weight=0.1), "<answer>G</answer>")[0] == pytest.approx(0.9)


def test_tags_tell_the_count(folder: str) -> None:
    env = CLEVRCount(data=folder)
    tags = [env.reset(options={"task": index})[1]["tags"] for index in range(8)]
    assert [tag["count"] for tag in tags] == [3, 10, 9, 8, 7, 6, 5, 4]
    assert [tag["difficulty"] for tag in tags] == ["easy", "hard", "hard", "hard", "medium", "medium", "medium", "easy"]


def test_a_picture_larger_than_the_space_is_a_fault_of_the_data(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.zeros((2, 2049, 3), np.uint8))
    write_json(tmp_path / "test.jsonl", [{"problem": "How many?", "answer": "4", "images": ["a.png"]}])
    with pytest.raises(DatasetError, match=r"row 1, field 'images': expected sides of at most 2048 pixels"):
        CLEVRCount(data=str(tmp_path), split="test").reset(seed=0)


@settings(max_examples=40, deadline=None)
@given(text=st.text(), protocol=st.sampled_from(["strict", "faithful"]), tagged=st.booleans())
def test_any_text_is_answered_with_a_reward_from_zero_to_one(
    folder: str, text: str, protocol: str, tagged: bool
) -> None:
    for env in (CLEVRCount(data=folder, protocol=protocol), SuperCLEVR(data=folder, protocol=protocol)):
        env.reset(seed=0)
        assert 0.0 <= env.step(f"<answer>{text}</answer>" if tagged else text)[1] <= 1.0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"data": " "}, "data must be"),
        ({"data": 3}, "data must be"),
        ({"protocol": "exact"}, "protocol must be one of"),
        ({"instructions": "long"}, "instructions must be one of"),
        ({"format_weight": 1.5}, "format_weight must be a number"),
        ({"max_turns": 0}, "max_turns must be a whole number"),
        ({"split": "dev"}, "split must be one of"),
    ],
)
def test_a_bad_argument_is_refused_at_construction_by_name(kwargs: dict[str, Any], message: str) -> None:
    for kind in (CLEVRCount, SuperCLEVR):
        with pytest.raises(ArgumentError, match=message):
            kind(**kwargs)


def test_super_clevr_has_nothing_to_train_on() -> None:
    with pytest.raises(ArgumentError, match="split must be one of 'test'; got 'train'"):
        SuperCLEVR(split="train")


def test_the_cards_name_every_argument() -> None:
    for kind in (CLEVRCount, SuperCLEVR):
        assert all(name in (kind.__doc__ or "") for name in (kind.__init__.__kwdefaults__ or {}))
