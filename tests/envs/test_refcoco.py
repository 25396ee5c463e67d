"""RefCOCO, RefCOCO+, RefCOCOg: what is asked, both ways of scoring, parts, guesses, arguments."""

import re
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.core.boxes import FORMATS
from envs.core.errors import ArgumentError
from envs.datasets import refcoco
from envs.refcoco import RefCOCO, published_metrics


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("refcoco")
    refcoco.write_sample(folder)
    return str(folder)


def test_the_splits_are_the_published_parts(folder: str) -> None:
    for dataset, test in (("refcoco", ["testA"] * 16 + ["testB"] * 16), ("refcocog", ["test"] * 16)):
        env = RefCOCO(data=folder, dataset=dataset)
        assert [item.part for item in env.items("train")] == ["train"] * 16
        assert [item.part for item in env.items("validation")] == ["val"] * 16
        assert [item.part for item in env.items("test")] == test


def test_a_subset_is_one_part_of_the_test_split(folder: str) -> None:
    env = RefCOCO(data=folder, dataset="refcoco+", split="test", subset="testB")
    assert env.num_tasks() == 16
    assert env.reset(seed=0)[1]["tags"]["subset"] == "testB"


@pytest.mark.parametrize("boxes", FORMATS)
@pytest.mark.parametrize("dataset", refcoco.DATASETS)
def test_every_gold_box_scores_the_maximum_in_every_form(dataset: str, boxes: str, folder: str) -> None:
    env = RefCOCO(data=folder, dataset=dataset, boxes=boxes)
    for index in range(4):
        env.reset(options={"task": index})
        _, reward, terminated, _, info = env.step(env.solve()[0])
        assert (reward, terminated) == (1.0, True)
        assert set(info["metrics"].values()) == {1.0}


def test_the_prompt_is_the_published_request_and_names_the_form_of_the_box(folder: str) -> None:
    text = RefCOCO(data=folder).reset(options={"task": 0})[0]["text"]
    assert text == (
        "Please provide the bounding box coordinate of the region this sentence describes: thing on the left, number "
        "0. Give the box as [x1, y1, x2, y2]: its top left corner (x1, y1) and its bottom right corner (x2, y2), in "
        "pixels of the picture, which is 96 pixels wide and 64 pixels high. Output the thinking process in <think> "
        "</think> and final answer in <answer> </answer> tags."
    )
    faithful = RefCOCO(data=folder, boxes="qwen2_vl", protocol="faithful").reset(options={"task": 0})[0]["text"]
    assert faithful.endswith(
        "number 0 First output the thinking process in <think> </think> tags and then output the final answer in "
        "<answer> </answer> tags."
    )


def step(env: RefCOCO, text: str) -> tuple[float, dict[str, float]]:
    env.reset(options={"task": 0})
    _, reward, _, _, info = env.step(text)
    return float(reward), info["metrics"]


def test_a_box_shifted_by_half_its_width_has_an_iou_of_a_third(folder: str) -> None:
    env = RefCOCO(data=folder)
    env.reset(options={"task": 0})
    x1, y1, x2, y2 = (int(edge) for edge in env.task.world.box)
    half = (x2 - x1) / 2
    reward, metrics = step(env, f"<think>a</think><answer>[{x1 - half}, {y1}, {x2 - half}, {y2}]</answer>")
    assert metrics["iou"] == pytest.approx(1 / 3)
    assert reward == pytest.approx(0.9 / 3 + 0.1)
    assert (metrics["accuracy_0.3"], metrics["accuracy_0.5"], metrics["centre"]) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "the thing",
        "[1, 2, 3]",
        "[{x2}, {y2}, {x1}, {y1}]",
        "[{x1}, {y1}, {x2}, {y2}] [0, 0, 5, 5]",
        "[9e9, 1, 2, 3]",
    ],
)
def test_no_box_two_boxes_and_an_inverted_box_are_none(said: str, folder: str) -> None:
    env = RefCOCO(data=folder)
    env.reset(options={"task": 0})
    named = dict(zip(("x1", "y1", "x2", "y2"), map(int, env.task.world.box), strict=True))
    _, metrics = step(env, f"<think>a</think><answer>{said.format(**named)}</answer>")
    assert metrics["iou"] == metrics["centre"] == 0.0


def test_the_unit_is_never_guessed(folder: str) -> None:
    env = RefCOCO(data=folder, boxes="qwen3_vl")
    env.reset(options={"task": 0})
    x1, y1, x2, y2 = (int(edge) for edge in env.task.world.box)
    # The right box in pixels is a small box near the corner in thousandths.
    assert step(env, f"<answer>[{x1}, {y1}, {x2}, {y2}]</answer>")[1]["iou"] == 0.0


# The published evaluation.

GOLD = (100.0, 200.0, 300.0, 600.0)


@pytest.mark.parametrize(
    ("text", "overlap"),
    [
        ("[100, 200, 300, 600]", 1.0),
        ("<think>[100, 200, 300, 600]</think><answer>[0, 0, 1, 1]</answer>", 1.0),
        ("<|box_start|>(100,200),(300,600)<|box_end|>", 1.0),
        ("(100, 200, 300, 600)", 1.0),
        ('{"bbox_2d": [100, 200, 220, 600]}', 0.6),
        ("[100, 200, 200, 600]", 0.5),
        ("(0, 0, 1, 1) and [100, 200, 300, 600]", 1.0),  # square brackets are tried first
        ("[100.0, 200, 300., 600]", 1.0),
        ("[300, 600, 100, 200]", 0.0),
        ("[100 200 300 600]", 0.0),
        ("no numbers", 0.0),
        ("[" + "9" * 400 + ", 1, 2, 3]", 0.0),
    ],
)
def test_the_published_evaluation_reads_the_first_four_numbers_in_brackets(text: str, overlap: float) -> None:
    metrics = published_metrics(text, GOLD)
    assert metrics["iou"] == pytest.approx(overlap)
    assert metrics["accuracy_0.5"] == float(overlap > 0.5)  # a half is just missed: the published union is too large


NUMBER = r"(-?\d+\.?\d*)"
AS_PUBLISHED = [
    rf"\[\s*{NUMBER},\s*{NUMBER},\s*{NUMBER},\s*{NUMBER}\s*\]",
    rf"\(\s*{NUMBER},\s*{NUMBER},\s*{NUMBER},\s*{NUMBER}\s*\)",
    rf"\(\s*{NUMBER},\s*{NUMBER}\)\s*,\s*\(\s*{NUMBER},\s*{NUMBER}\s*\)",
]


def slow_reference(text: str, gold: tuple[float, ...]) -> float:
    """The published computation, written out."""
    box = [0.0] * 4
    for pattern in AS_PUBLISHED:
        found = re.search(pattern, text)
        if found:
            box = [float(found.group(k)) for k in range(1, 5)]
            break
    left, top, right, bottom = max(gold[0], box[0]), max(gold[1], box[1]), min(gold[2], box[2]), min(gold[3], box[3])
    inside = max(0, right - left) * max(0, bottom - top)
    one, two = (gold[2] - gold[0]) * (gold[3] - gold[1]), (box[2] - box[0]) * (box[3] - box[1])
    return inside / (one + two - inside + 1e-10)


PIECE = st.sampled_from(["[", "]", "(", ")", ", ", ",", " ", "-", ".", "1", "150", "400.5", "700", "\u0664"])


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECE, max_size=14), st.lists(st.integers(0, 999), min_size=4, max_size=4))
def test_the_published_iou_is_that_of_the_published_code(pieces: list[str], box: list[int]) -> None:
    for text in ("".join(pieces), "".join(pieces) + str(box), f"({box[0]},{box[1]}),({box[2]},{box[3]})"):
        assert published_metrics(text, GOLD)["iou"] == pytest.approx(max(slow_reference(text, GOLD), 0.0), abs=1e-12)


def test_faithful_is_scored_in_thousandths(folder: str) -> None:
    env = RefCOCO(data=folder, boxes="qwen2_vl", protocol="faithful")
    env.reset(options={"task": 0})
    gold = [int(edge) for edge in env.task.world.normalized]
    assert env.solve() == [f"<think>found</think><answer>{gold}</answer>"]
    reward, metrics = step(env, env.solve()[0])
    assert reward == pytest.approx(1.0, abs=1e-9) and metrics["accuracy_0.95"] == 1.0
    assert step(env, str(gold)) == (pytest.approx(0.9), metrics | {"format": 0.0})


def test_faithful_needs_a_box_in_thousandths() -> None:
    with pytest.raises(ArgumentError, match=r"needs boxes of kind 'relative_1000'.*got kind 'pixels'"):
        RefCOCO(protocol="faithful")


# Guesses.


def test_the_constant_box_has_the_median_edges(folder: str) -> None:
    env = RefCOCO(data=folder, boxes="qwen3_vl")
    env.reset(options={"task": 0})
    edges = np.median([item.normalized for item in env.items()], axis=0)
    said = env.baseline("constant", np.random.default_rng(0))
    assert said == f'<think>guess</think><answer>{{"bbox_2d": {[round(edge) for edge in edges.tolist()]}}}</answer>'


def test_a_blind_guess_knows_left_from_right(folder: str) -> None:
    env, rng = RefCOCO(data=folder, boxes="qwen3_vl"), np.random.default_rng(0)
    middle: dict[str, list[float]] = {"left": [], "right": []}
    for index in range(16):
        env.reset(options={"task": index})
        x1, _, x2, _ = map(int, re.findall(r"\d+", env.baseline("blind", rng).split("bbox_2d")[1]))
        middle["left" if "left" in env.task.world.question else "right"].append((x1 + x2) / 2)
    assert max(middle["left"]) < 500 < min(middle["right"])


@pytest.mark.parametrize("name", ["constant", "random", "blind"])
@pytest.mark.parametrize("protocol", ["strict", "faithful"])
def test_every_guess_is_a_box(name: str, protocol: str, folder: str) -> None:
    env, rng = RefCOCO(data=folder, boxes="qwen2_vl", protocol=protocol), np.random.default_rng(0)
    for index in range(8):
        env.reset(options={"task": index})
        reward = env.step(env.baseline(name, rng))[1]
        assert 0.1 <= reward < 1.0
    with pytest.raises(ArgumentError, match="'constant', 'random', 'blind'"):
        env.baseline("lucky", rng)


def test_tags_tell_the_part_and_the_size(folder: str) -> None:
    tags = RefCOCO(data=folder, split="validation").reset(options={"task": 0})[1]["tags"]
    assert tags == {"difficulty": "hard", "dataset": "refcoco", "subset": "val", "size": "small"}


@settings(max_examples=40, deadline=None)
@given(text=st.text(), protocol=st.sampled_from(["strict", "faithful"]), tagged=st.booleans())
def test_any_text_is_answered_with_a_reward_from_zero_to_one(
    folder: str, text: str, protocol: str, tagged: bool
) -> None:
    env = RefCOCO(data=folder, boxes="qwen2_vl", protocol=protocol)
    env.reset(seed=0)
    assert 0.0 <= env.step(f"<answer>{text}</answer>" if tagged else text)[1] <= 1.0


@pytest.mark.parametrize("piece", ["[", "[1,", "(1,1),", "[" + " " * 50, "1", "(", "[1, 2, 3, 4"])
def test_published_patterns_are_matched_in_linear_time(piece: str) -> None:
    start = time.process_time()
    published_metrics(piece * (1_000_000 // len(piece)), GOLD)
    assert time.process_time() - start < 5.0  # a tenth of a second; in quadratic time minutes


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"dataset": "refclef"}, "dataset must be one of"),
        ({"subset": "testC"}, "subset must be one of"),
        ({"subset": "testA"}, "subset='testA' is no part of the train split of refcoco; it has 'train'"),
        ({"subset": "testA", "split": "test", "dataset": "refcocog"}, "it has 'test'"),
        ({"boxes": "auto"}, "boxes='auto' is replaced by the trainer"),
        ({"boxes": {"kind": "percent"}}, "boxes.kind must be one of"),
        ({"protocol": "exact"}, "protocol must be one of"),
        ({"instructions": "long"}, "instructions must be one of"),
        ({"format_weight": 2}, "format_weight must be a number"),
        ({"split": "val"}, "split must be one of"),
    ],
)
def test_a_bad_argument_is_refused_at_construction_by_name(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        RefCOCO(**kwargs)


def test_the_card_names_every_argument() -> None:
    assert all(name in (RefCOCO.__doc__ or "") for name in (RefCOCO.__init__.__kwdefaults__ or {}))
