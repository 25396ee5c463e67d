"""Geometry3K: what is asked, both ways of scoring, guesses, arguments."""

import re
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core.errors import ArgumentError
from envs.datasets import geometry3k
from envs.geometry3k import Geometry3K, after_thought, last_box, published_format

PATTERN = re.compile(r"<think>.*</think>.*\\boxed\{.*\}.*", re.DOTALL)  # as published


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("geometry")
    geometry3k.write_sample(folder)
    return str(folder)


def score(folder: str, text: str, protocol: str, task: int = 1) -> tuple[float, float, float]:
    """Reward, accuracy and format; the gold answer of task 1 of the test split is 3 sqrt(2)."""
    env = Geometry3K(data=folder, split="test", protocol=protocol)
    env.reset(options={"task": task})
    _, reward, terminated, _, info = env.step(text)
    assert terminated
    return round(float(reward), 9), info["rewards"]["accuracy"], info["rewards"]["format"]


def test_the_problem_is_the_published_one_with_how_to_answer(folder: str) -> None:
    text = Geometry3K(data=folder, split="test").reset(options={"task": 1})[0]["text"]
    assert text.startswith("Find the length of the diagonal. You FIRST think about the reasoning process")
    assert text.endswith("The final answer MUST BE put in \\boxed{}.")
    short = Geometry3K(data=folder, split="test", instructions="short").reset(options={"task": 1})[0]["text"]
    assert short == "Find the length of the diagonal."


@pytest.mark.parametrize(
    ("text", "strict", "faithful"),
    [
        ("<think>a</think>\\boxed{3\\sqrt{2}}", (1.0, 1, 1), (1.0, 1, 1)),
        ("<think>a</think>So it is \\boxed{\\sqrt{18}}.", (1.0, 1, 1), (1.0, 1, 1)),
        ("<think>a</think>\\boxed{3}", (0.1, 0, 1), (0.1, 0, 1)),
        ("\\boxed{3\\sqrt{2}}", (0.9, 1, 0), (0.9, 1, 0)),
        ("<think>\\boxed{3\\sqrt{2}}</think>", (0.0, 0, 0), (0.9, 1, 0)),
        ("<think>a</think>\\boxed{1}\\boxed{3\\sqrt{2}}", (0.9, 1, 0), (1.0, 1, 1)),
        ("a</think>\\boxed{3\\sqrt{2}}", (0.9, 1, 0), (0.9, 1, 0)),
        ("first <think>a</think>\\boxed{3\\sqrt{2}}", (0.9, 1, 0), (0.9, 1, 0)),
        ("<think>a</think>3\\sqrt{2}", (0.0, 0, 0), (0.0, 0, 0)),
        ("<think>a</think>\\boxed{}", (0.0, 0, 0), (0.1, 0, 1)),
        ("<think>a</think>\\boxed{3\\sqrt{2}", (0.0, 0, 0), (0.1, 0, 1)),
        ("", (0.0, 0, 0), (0.0, 0, 0)),
    ],
)
def test_strict_and_faithful_scores(
    text: str, strict: tuple[float, ...], faithful: tuple[float, ...], folder: str
) -> None:
    assert score(folder, text, "strict") == strict
    assert score(folder, text, "faithful") == faithful


@pytest.mark.parametrize("protocol", ["strict", "faithful"])
def test_every_gold_answer_scores_the_maximum(protocol: str, folder: str) -> None:
    env = Geometry3K(data=folder, protocol=protocol)
    for index in range(env.num_tasks()):
        env.reset(options={"task": index})
        assert env.step(env.solve()[0])[1] == 1.0


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(["<think>", "</think>", "\\boxed{", "}", "{", "a", "\n"]), max_size=9))
def test_the_published_format_is_that_of_the_published_pattern(parts: list[str]) -> None:
    text = "".join(parts)
    assert published_format(text) == float(PATTERN.fullmatch(text) is not None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\\boxed{1}", "1"),
        ("\\boxed{1} \\boxed{ 2 }", "2"),
        ("\\boxed{\\frac{1}{2}} x}", "\\frac{1}{2}"),
        ("\\boxed{1} \\boxed{2", None),
        ("no box", None),
        ("}", None),
    ],
)
def test_the_last_box_is_read_as_the_published_code_reads_it(text: str, said: str | None) -> None:
    assert last_box(text) == said


@pytest.mark.parametrize(
    ("text", "after", "well"),
    [
        ("<think>a</think>b", "b", True),
        (" \n<think>a</think>b", "b", True),
        ("a</think>b", "b", False),
        ("b", "b", False),
        ("<think>b", "", False),
        ("<think>a</think>b<think>c</think>d", "d", False),
        ("</think>a<think>b", "a<think>b", False),
        ("x<think>a</think>b", "b", False),
    ],
)
def test_what_comes_after_the_thought(text: str, after: str, well: bool) -> None:
    assert after_thought(text) == (after, well)


def test_guesses_never_use_an_items_own_answer(folder: str) -> None:
    env, rng = Geometry3K(data=folder), np.random.default_rng(0)
    env.reset(options={"task": 1})  # "Find the length of the diagonal.", whose answers in the sample run from 2 to 8
    answers = [i.answer for i in env.items() if i.question == env.task.world.question and i is not env.task.world]
    assert env.baseline("blind", rng) in {f"<think>guess</think>\\boxed{{{answer}}}" for answer in answers}
    assert {env.baseline("constant", rng) for _ in range(3)} == {"<think>guess</think>\\boxed{8}"}
    with pytest.raises(ArgumentError, match="'constant', 'random', 'blind'"):
        env.baseline("lucky", rng)


def test_with_several_turns_a_text_without_an_answer_is_told_what_to_write(folder: str) -> None:
    env = Geometry3K(data=folder, max_turns=2)
    env.reset(seed=0)
    observation, reward, terminated, truncated, _ = env.step("<think>a</think>five")
    assert observation["text"].startswith(
        "There is no answer: write <think>...</think> and then the answer in \\boxed{}"
    )
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert env.step(env.solve()[0])[1:4] == (1.0, True, False)


def test_tags_tell_how_the_answer_is_written(folder: str) -> None:
    env = Geometry3K(data=folder, split="test")
    tags = [env.reset(options={"task": index})[1]["tags"]["kind"] for index in range(4)]
    assert tags == ["number", "radical", "number", "fraction"]


@pytest.mark.parametrize("piece", ["\\boxed{", "</think>", "<think>", "{", "\\boxed{1}", "}", "</think>\\boxed{"])
def test_published_patterns_are_matched_in_linear_time(piece: str) -> None:
    text = "<think>" + piece * (1_000_000 // len(piece))
    start = time.process_time()
    last_box(text), last_box("\\boxed{" + text), published_format(text), after_thought(text)
    assert time.process_time() - start < 5.0  # half a second at most; in quadratic time minutes


@settings(max_examples=40, deadline=None)
@given(text=st.text(), protocol=st.sampled_from(["strict", "faithful"]), boxed=st.booleans())
def test_any_text_is_answered_with_a_reward_from_zero_to_one(
    folder: str, text: str, protocol: str, boxed: bool
) -> None:
    env = Geometry3K(data=folder, protocol=protocol)
    env.reset(seed=0)
    assert 0.0 <= env.step(f"<think>a</think>\\boxed{{{text}}}" if boxed else text)[1] <= 1.0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"data": ""}, "data must be"),
        ({"protocol": "exact"}, "protocol must be one of"),
        ({"instructions": "long"}, "instructions must be one of"),
        ({"format_weight": -0.1}, "format_weight must be a number"),
        ({"split": "dev"}, "split must be one of"),
    ],
)
def test_a_bad_argument_is_refused_at_construction_by_name(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Geometry3K(**kwargs)


def test_the_card_names_every_argument() -> None:
    assert all(name in (Geometry3K.__doc__ or "") for name in (Geometry3K.__init__.__kwdefaults__ or {}))
