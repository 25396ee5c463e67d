"""MAT-Coding: the published protocol, strict and faithful."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.core.errors import ArgumentError
from envs.datasets.mat_coding import write_sample
from envs.mat_coding import MATCoding, box_in, rewrite_slices
from envs.scoring.tally import Part, Scored, faithful

pytest.importorskip("cv2")
CROP = (
    "<think>a</think><code>import cv2\nimage = cv2.imread('path_to_input_image.jpg')\n"
    "cv2.imwrite('path_to_output_image.jpg', image[0:20, 0:30])</code>"
)
FAIL = "<think>a</think><code>1/0</code>"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("mat")
    write_sample(folder)
    return str(folder)


def make(data: str, task: int = 0, **kwargs: Any) -> MATCoding:
    env = MATCoding(data=data, **{"sandbox": "local"} | kwargs)
    env.reset(options={"task": task})
    return env


def position(env: MATCoding, kind: str) -> int:
    return next(item.position for item in env.items() if item.kinds == (kind,))


def answer(env: MATCoding) -> str:
    return f"<think>a</think><answer>{env.task.world.answers[0]}</answer>"


@pytest.mark.parametrize("protocol", ["strict", "faithful"])
def test_the_expert_scores_the_maximum_on_every_item(data: str, protocol: str) -> None:
    env = make(data, protocol=protocol)
    for task in range(env.num_tasks()):
        env.reset(options={"task": task})
        for action in env.solve():
            _, reward, terminated, _, info = env.step(action)
        assert (reward, terminated) == (1.0, True)
        assert info["metrics"]["f1"] == info["metrics"]["em"] == 1.0


def test_a_crop_begins_with_the_original_and_the_rest_with_the_processed_picture(data: str) -> None:
    env = make(data)
    for kind in ("crop", "dark"):
        observation, _ = env.reset(options={"task": position(env, kind)})
        item = env.task.world
        source = item.original if kind == "crop" else item.processed
        assert np.array_equal(observation["images"][0], source.pixels())


def test_every_turn_is_one_rebuilt_message_with_the_current_picture(data: str) -> None:
    env = make(data)
    env.reset(options={"task": position(env, "crop")})
    said = "<think>a</think><problem>{'crop'}</problem>"
    observation, *_, info = env.step(said)
    assert info["context"] == "restart"
    assert env.task.world.question in observation["text"] and said in observation["text"]
    observation, *_ = env.step(CROP)
    assert observation["images"][0].shape == (20, 30, 3)
    assert said in observation["text"] and "image[0:20, 0:30]" in observation["text"]


def test_faithful_rewrites_slices_of_a_crop_and_only_those(data: str) -> None:
    env = make(data, protocol="faithful")
    env.reset(options={"task": position(env, "crop")})
    x1, y1, x2, y2 = box_in(env.task.world.question) or (0, 0, 0, 0)
    high, wide = env.task.world.original.pixels().shape[:2]
    shape = env.step(CROP)[0]["images"][0].shape
    assert shape[:2] == (y2 * high // 1000 - y1 * high // 1000, x2 * wide // 1000 - x1 * wide // 1000) != (20, 30)
    env.reset(options={"task": position(env, "dark")})
    assert env.step(CROP)[0]["images"][0].shape == (20, 30, 3)


def test_a_failed_program_is_told_in_strict_mode_only(data: str) -> None:
    strict = make(data).step(FAIL)[0]["text"]
    faithful = make(data, protocol="faithful").step(FAIL)[0]["text"]
    assert "ZeroDivisionError" in strict and FAIL in strict
    assert faithful.endswith(FAIL)


def test_the_published_reward_pays_for_a_program_whatever_the_answer(data: str) -> None:
    rewards = {}
    for protocol in ("strict", "faithful"):
        for name, wrong in (("right", False), ("wrong", True)):
            env = make(data, protocol=protocol)
            said = "<think>a</think><answer>zzz</answer>" if wrong else answer(env)
            env.step(FAIL)
            rewards[protocol, name] = env.step(said)[1]
    assert rewards["faithful", "right"] == pytest.approx(1.0)
    assert rewards["faithful", "wrong"] == pytest.approx((0.2 + 1.2) / 2.2)
    # Nothing was mended: a tenth less, and only the form is paid where the answer is wrong.
    assert rewards["strict", "right"] == pytest.approx(0.9)
    assert rewards["strict", "wrong"] == pytest.approx(0.1)


def test_an_unanswered_item_scores_nothing(data: str) -> None:
    env = make(data)
    results = [env.step("<think>a</think><problem>{'dark'}</problem>") for _ in range(5)]
    assert results[-1][3] and sum(r[1] for r in results) == 0.0
    assert results[-1][4]["metrics"]["f1"] == 0.0 == results[-1][4]["metrics"]["answered"]


def test_faithful_divides_by_the_whole_list(data: str) -> None:
    env = make(data)
    results = [{"f1": 1.0}, {"f1": 0.5}]
    assert env.aggregate(results) == {"f1": 0.75}
    assert env.aggregate(results, "faithful") == {"f1": pytest.approx(1.5 / env.num_tasks())}


def test_the_published_parts_are_those_of_the_scorer_of_predictions(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(data, protocol="faithful")
    monkeypatch.setattr(env, "num_tasks", lambda split=None: 200)
    rng = np.random.default_rng(0)
    results = []
    for _ in range(200):
        f1 = float(rng.choice([0.0, 0.4, 1.0]))
        results.append({"f1": f1, "em": float(f1 == 1.0), "answered": 1.0})
    for unanswered in (3, 40, 69, 70, 199):  # rows behind them move up: three of the hard ones count as simple
        results[unanswered] = {"f1": 0.0, "em": 0.0, "answered": 0.0}
    rows = [Scored("", None, {"f1": r["f1"], "em": r["em"]}, True) for r in results if r["answered"]]
    whole, simple, hard = faithful(rows, (Part("simple", 0, 70), Part("hard", 70, 200)), 200)
    found = env.aggregate(results, "faithful")
    for metric in ("f1", "em"):
        assert found[metric] == pytest.approx(whole.metrics[metric], abs=1e-12)
        assert found[f"{metric}/simple"] == pytest.approx(simple.metrics[metric], abs=1e-12)
        assert found[f"{metric}/hard"] == pytest.approx(hard.metrics[metric], abs=1e-12)
    plain = sum(r["f1"] for r in results[:70]) / 70
    assert found["f1/simple"] != pytest.approx(plain, abs=1e-3)
    assert "f1/simple" not in env.aggregate(results) and "f1/simple" not in env.aggregate(results[:50], "faithful")


def test_without_tools_all_that_is_said_is_the_answer(data: str) -> None:
    env = make(data, tools=False, sandbox="docker")
    assert env.step(env.task.world.answers[0])[1:4] == (1.0, True, False)


def test_a_large_picture_is_shown_smaller_and_given_whole(data: str) -> None:
    env = make(data, view=64)
    observation, _ = env.reset(options={"task": 0})
    assert max(observation["images"][0].shape) == 64 < max(env._progress.picture.shape)


@pytest.mark.parametrize(
    ("question", "box"),
    [
        ("within the [354, 16, 469, 219] of the image", (354, 16, 469, 219)),
        ("in [1,2,3] and [10.4, 20, 30, 40.6]", (10, 20, 30, 41)),
        ("in [500, 0, 400, 10]", None),
        ("in [0, 0, 1001, 10]", None),
        ("no box", None),
    ],
)
def test_the_box_is_read_from_the_question(question: str, box: object) -> None:
    assert box_in(question) == box


@pytest.mark.parametrize(
    ("code", "after"),
    [
        ("a = i[1:2, 3:4]", "a = i[20:40, 10:30]"),
        ("a = i[y:y+h, x:x+w, :]", "a = i[20:40, 10:30]"),
        ("a = i[int(b[1]):int(b[3]), b[0]:b[2]]", "a = i[20:40, 10:30]"),
        ("a = i[:, ::-1]", "a = i[20:40, 10:30]"),
        ("a = i[1:2]", "a = i[1:2]"),
        ("b = [1, 2, 3, 4]", "b = [1, 2, 3, 4]"),
        ("a = i[0, 1:2]", "a = i[0, 1:2]"),
        ("a[", "a["),
    ],
)
def test_slices_of_rows_and_columns_are_rewritten(code: str, after: str) -> None:
    # A picture of 200 x 100 and the box [50, 200, 150, 400] in thousandths.
    assert rewrite_slices(code, (50, 200, 150, 400), 100, 200) == after


def test_rewriting_takes_linear_time() -> None:
    for text in ("[" * 16_000, "[a" * 8_000, "[a:" * 5_000, "[" + "a:" * 8_000, "[]" * 8_000):
        rewrite_slices(text, (0, 0, 1, 1), 10, 10)


@pytest.mark.parametrize("name", ["constant", "random", "blind"])
def test_baselines_have_the_form_of_an_answer(data: str, name: str) -> None:
    env = make(data)
    assert "<answer>" in env.baseline(name, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"sandbox": "docker"}, 'sandbox="local"'),
        ({"protocol": "published"}, "protocol"),
        ({"view": 10}, "view"),
        ({"max_turns": 2}, "max_turns"),
        ({"split": "train"}, "split"),
        ({"tools": 1}, "tools"),
        ({"seconds": 1000}, "seconds"),
        ({"format_weight": 2}, "format_weight"),
        ({"tool_weight": "x"}, "tool_weight"),
    ],
)
def test_a_bad_argument_is_refused_at_construction_by_name(
    no_engine: None, data: str, kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        MATCoding(data=data, **{"sandbox": "local"} | kwargs)


def test_the_card_shows_arguments_that_work() -> None:
    card = MATCoding.__doc__ or ""
    assert all(name in card for name in (MATCoding.__init__.__kwdefaults__ or {}))
