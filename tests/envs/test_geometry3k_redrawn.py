"""Geometry3K-redrawn: scores, text and pictures on a synthetic set, and the published one where there is a copy."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.core import mathematics
from envs.core.errors import ArgumentError, DatasetError, MissingExtraError
from envs.datasets.inter_gps import read, write_sample
from envs.geometry3k_redrawn import ROUND, Geometry3KRedrawn
from envs.render.redrawn import picture

REAL = os.environ.get("RLLAVA_GEOMETRY3K")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("inter_gps")
    write_sample(path)
    return str(path)


def make(folder: str, **kwargs: Any) -> Geometry3KRedrawn:
    return Geometry3KRedrawn(**({"data": folder, "split": "test"} | kwargs))


def test_the_question_says_how_to_answer(folder: str) -> None:
    text = make(folder).reset(options={"task": 0})[0]["text"]
    assert text.startswith("ABCD is a parallelogram. Find x. You FIRST think") and text.endswith(ROUND)
    assert (
        make(folder, instructions="short").reset(options={"task": 0})[0]["text"] == "ABCD is a parallelogram. Find x."
    )


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_gold_answer_scores_the_maximum(folder: str, split: str) -> None:
    env = make(folder, split=split)
    for task in range(env.num_tasks()):
        observation, _ = env.reset(options={"task": task})
        assert env.observation_space.contains(observation)
        assert env.step(env.solve()[0])[1:4] == (1.0, True, False)


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("<think>a</think>\\boxed{2427}", 1.0),
        ("<think>a</think>so x = \\boxed{2427.0}", 1.0),
        ("\\boxed{\\frac{4854}{2}}", 0.9),
        ("<think>a</think>\\boxed{2428}", 0.1),
        ("<think>a</think>\\boxed{1}\\boxed{2427}", 0.9),
        ("<think>\\boxed{2427}</think>", 0.0),
        ("2427", 0.0),
        ("", 0.0),
    ],
)
def test_accuracy_and_form_are_paid_for(folder: str, text: str, reward: float) -> None:
    env = make(folder)
    env.reset(options={"task": 0})
    assert env.step(text)[1] == pytest.approx(reward)


def test_an_exact_form_and_its_rounding_are_both_right(folder: str, tmp_path: Path) -> None:
    import json

    write_sample(tmp_path)
    path = tmp_path / "train/0/data.json"
    data = json.loads(path.read_text()) | {"choices": ["5 \\sqrt { 3 }"], "precise_value": [8.660254037844386]}
    path.write_text(json.dumps(data))
    env = make(str(tmp_path), split="train")
    for said, right in (("5\\sqrt{3}", 1.0), ("8.66", 1.0), ("8.6603", 1.0), ("8.7", 0.0), ("8.67", 0.0)):
        env.reset(options={"task": 0})
        assert env.step(f"\\boxed{{{said}}}")[4]["metrics"]["accuracy"] == right, said


def test_with_turns_left_a_text_without_an_answer_is_told_so(folder: str) -> None:
    env = make(folder, max_turns=2)
    env.reset(options={"task": 0})
    observation, _, terminated, truncated, _ = env.step("hm")
    assert "There is no answer" in observation["text"] and not terminated and not truncated
    assert env.step("hm")[2:4] == (False, True)


def test_the_picture_has_the_size_asked_for(folder: str) -> None:
    (pixels,) = make(folder, size=(200, 160)).reset(options={"task": 0})[0]["images"]
    assert pixels.shape == (160, 200, 3)


def test_a_changed_observation_does_not_change_the_next(folder: str) -> None:
    env = make(folder)
    (pixels,) = env.reset(options={"task": 0})[0]["images"]
    kept = pixels.copy()
    pixels[:] = 0
    assert (env.reset(options={"task": 0})[0]["images"][0] == kept).all()


@pytest.mark.parametrize(
    "kwargs", [{"size": (64, 64)}, {"format_weight": 2}, {"instructions": "long"}, {"split": "all"}]
)
def test_bad_arguments_are_refused_at_construction(folder: str, kwargs: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(kwargs))):
        make(folder, **kwargs)


def test_without_data_it_says_what_to_fetch() -> None:
    with pytest.raises(DatasetError, match="git clone"):
        Geometry3KRedrawn().reset(seed=0)


def test_without_math_verify_it_says_so_at_construction(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mathematics, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"rllava-gym\[geometry\]"):
        make(folder)


def test_baselines_never_look_and_never_win(folder: str) -> None:
    env, rng = make(folder), np.random.default_rng(0)
    for name in ("constant", "random", "blind"):
        scores = []
        for task in range(env.num_tasks()):
            env.reset(options={"task": task})
            scores.append(env.step(env.baseline(name, rng))[4]["metrics"]["accuracy"])
        assert sum(scores) / len(scores) < 0.4
    with pytest.raises(ArgumentError, match="constant"):
        env.baseline("oracle", rng)


@pytest.mark.skipif(not REAL, reason="RLLAVA_GEOMETRY3K does not name a folder with Inter-GPS's data/geometry3k")
def test_published_problems_that_pass_the_check_load_and_draw() -> None:
    assert REAL is not None
    reading = read(REAL, "test")
    asked = {n: why for n, why in reading.dropped.items() if why != "no answer is known"}
    total = len(reading.problems) + len(asked)
    assert len(reading.problems) >= 0.8 * total > 0, asked
    for problem in reading.problems:
        drawing = picture(problem.figure, (336, 336), problem.spoken, problem.numbered)
        assert drawing.overlaps == 0, problem.number
        assert (drawing.pixels < 128).any()
        assert mathematics.same_value(problem.golds[0], problem.golds[0]) == 1.0
