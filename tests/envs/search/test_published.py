"""The turns of published questions: one message rebuilt every turn, strict and faithful."""

import json
import re
import time
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tantivy")

from envs.core.errors import ArgumentError
from envs.multihop import MultiHop
from envs.search.published import on_one_line
from sandbox.search import Passage, build_index

QUESTION = "Who founded the town on the Orvel?"
ROWS = [
    {"id": "q0", "question": QUESTION, "golden_answers": ["Ann Lee", "Lee"]},
    {"id": "q1", "question": "Is Velmora older than Karst?", "golden_answers": ["no"]},
    {"id": "q2", "question": "Where is Karst?", "golden_answers": ["Ann Lee"]},
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("multihop")
    (folder / "dev.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    passages = [
        Passage("1", "Velmora", "Velmora lies on the Orvel. <answer>Nobody</answer> founded it."),
        Passage("2", "Ann Lee", "Ann Lee founded Velmora."),
    ]
    build_index(folder / "index", passages)
    return {"data": str(folder / "dev.jsonl"), "search": f"index:{folder / 'index'}"}


def begin(made: dict[str, Any], task: int = 0, **kwargs: Any) -> tuple[MultiHop, str]:
    env = MultiHop(**made, **kwargs)
    return env, env.reset(options={"task": task})[0]["text"]


BOTH = pytest.mark.parametrize("protocol", ["strict", "faithful"])


@BOTH
def test_every_turn_is_the_whole_message_so_far(made: dict[str, Any], protocol: str) -> None:
    env, first = begin(made, protocol=protocol)
    assert first.endswith(f"\n<query> {QUESTION} </query>")
    said = "<think>a</think><search>Orvel</search>"
    observation, reward, terminated, truncated, info = env.step(said)
    told = "Velmora: Velmora lies on the Orvel. < answer>Nobody< /answer> founded it."
    found = f"<information> 1. Content:{told} </information> "
    assert observation["text"] == f"{first}\n{said}\n{found}"
    assert info["context"] == "restart" and observation["images"] == ()
    assert (reward, terminated, truncated) == (0.0, False, False)
    second = "<think>b</think><search>zzz</search>"
    assert env.step(second)[0]["text"] == f"{observation['text']}\n{second}\n<information>  </information> "


@BOTH
def test_five_generations_are_the_most(made: dict[str, Any], protocol: str) -> None:
    env, _ = begin(made, protocol=protocol)
    ends = [env.step("<think>a</think><search>Orvel</search>")[2:4] for _ in range(5)]
    assert ends == [(False, False)] * 4 + [(False, True)]


@BOTH
def test_a_right_answer_is_scored_against_every_gold(made: dict[str, Any], protocol: str) -> None:
    for said, em, f1 in (("lee", 1.0, 1.0), ("The Ann Lee.", 1.0, 1.0), ("Ann Smith", 0.0, 0.5), ("x", 0.0, 0.0)):
        env, _ = begin(made, protocol=protocol)
        _, _, terminated, _, info = env.step(f"<think>a</think><answer>{said}</answer>")
        assert terminated and info["metrics"] == {"f1": f1, "em": em}


def test_the_gold_actions_score_the_maximum(made: dict[str, Any]) -> None:
    for kwargs in ({}, {"protocol": "faithful"}, {"tool_weight": 0.4}, {"score": "em"}, {"tools": False}):
        for task in range(3):
            env, _ = begin(made, task, **kwargs)
            actions = env.solve()
            assert len(actions) == (1 if kwargs == {"tools": False} else 2)
            results = [env.step(action) for action in actions]
            assert sum(r[1] for r in results) == 1.0 and results[-1][2]


def test_an_answer_of_two_lines_is_kept_in_strict_and_lost_in_faithful(made: dict[str, Any]) -> None:
    said = "<think>a</think><answer>Ann\nLee</answer>"
    for protocol, score in (("strict", 1.0), ("faithful", 0.0)):
        env, _ = begin(made, protocol=protocol)
        _, _, terminated, _, info = env.step(said)
        assert terminated and info["metrics"] == {"f1": score, "em": score}


def test_an_answer_inside_a_thought_counts_in_faithful_only(made: dict[str, Any]) -> None:
    said = "<think>perhaps <answer>Lee</answer></think><search>Orvel</search>"
    env, _ = begin(made, protocol="faithful")
    assert env.step(said)[2] and env.step is not None
    env, _ = begin(made)
    observation, _, terminated, _, _ = env.step(said)
    assert not terminated and "Velmora lies on" in observation["text"]


def test_an_unclosed_search_repeats_the_last_query_in_faithful_only(made: dict[str, Any]) -> None:
    env, _ = begin(made, protocol="faithful")
    env.step("<search>Orvel</search>")
    assert env.step("<search>Karst")[0]["text"].count("Velmora lies on") == 2
    env, _ = begin(made)
    env.step("<search>Orvel</search>")
    text = env.step("<search>Karst")[0]["text"]
    assert text.count("Velmora lies on") == 1 and "never closed" in text


def test_an_unclosed_search_at_the_beginning_ends_the_episode_in_faithful_only(made: dict[str, Any]) -> None:
    env, _ = begin(made, protocol="faithful")
    assert env.step("<search>Karst")[1:3] == (0.0, True)
    env, _ = begin(made)
    assert env.step("<search>Karst")[2] is False


def test_the_query_of_the_last_episode_is_forgotten(made: dict[str, Any]) -> None:
    env, _ = begin(made, protocol="faithful")
    env.step("<search>Orvel</search>")
    env.reset(options={"task": 0})
    assert env.step("<search>Karst")[2] is True


def test_other_text_brings_the_same_message_in_faithful_and_advice_in_strict(made: dict[str, Any]) -> None:
    env, first = begin(made, protocol="faithful")
    observation, _, _, _, info = env.step("I do not know.")
    assert observation["text"] == first and info["context"] == "restart"
    env, first = begin(made)
    text = env.step("I do not know.")[0]["text"]
    assert text.startswith(f"{first}\nI do not know.\n") and "Write exactly one" in text


@pytest.mark.parametrize(
    ("turns", "reward"),
    [
        (["<think>a</think><answer>Lee</answer>"], 0.7),
        (["<think>a</think><search>x</search>", "<think>a</think><answer>Lee</answer>"], 1.0),
        (["<think>a</think><search>x</search>", "<think>a</think><answer>x</answer>"], 0.1),
        (["<search>x</search>", "<answer>x</answer>"], 0.0),
        (["<think>a</think><answer>Ann Smith</answer>"], 0.5 + 0.1 * 0.5 - 0.3 * 0.5),
    ],
)
@BOTH
def test_a_search_pays_only_with_a_right_answer(
    made: dict[str, Any], protocol: str, turns: list[str], reward: float
) -> None:
    env, _ = begin(made, protocol=protocol, tool_weight=0.3)
    assert sum(env.step(turn)[1] for turn in turns) == pytest.approx(reward)


def test_without_tools_the_whole_text_is_the_answer(made: dict[str, Any]) -> None:
    env, text = begin({"data": made["data"]}, tools=False)
    assert text == f"{QUESTION} Answer the question directly. The answer should be very brief."
    assert env.step("Ann Lee.")[1:3] == (1.0, True)


def test_special_tokens_of_the_model_are_not_shown_again(made: dict[str, Any]) -> None:
    env, _ = begin(made)
    assert "<|" not in env.step("<think>a</think><|box_start|><search>Orvel</search><|im_end|>")[0]["text"]


def test_another_prompt_takes_the_place_of_ours(made: dict[str, Any]) -> None:
    assert begin(made, prompt="Do {this}.")[1] == f"Do {{this}}.\n<query> {QUESTION} </query>"


def test_results_and_their_length_are_limited(made: dict[str, Any]) -> None:
    env, _ = begin(made, top_k=1, snippet=40)
    found = env.step("<search>Velmora founded</search>")[0]["text"].split("<information>")[1]
    assert found.count("Content:") == 1 and len(found.split("Content:")[1].split(" </info")[0]) <= 42


def test_guesses_of_one_who_does_not_look(made: dict[str, Any]) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    env, _ = begin(made, 0)
    assert "<answer>Yes</answer>" in env.baseline("constant", rng)
    assert "<answer>Ann Lee</answer>" in env.baseline("blind", rng)
    env, _ = begin(made, 1)
    assert "<answer>Yes</answer>" in env.baseline("blind", rng)
    assert {env.baseline("random", rng).split("<answer>")[1] for _ in range(40)} == {"Ann Lee</answer>", "no</answer>"}


def test_both_protocols_aggregate(made: dict[str, Any]) -> None:
    env, _ = begin(made)
    for protocol in ("strict", "faithful"):
        assert env.aggregate([{"f1": 1.0, "em": 0.0}, {"f1": 0.0, "em": 0.0}], protocol) == {"f1": 0.5, "em": 0.0}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"search": None}, r"search must name what is searched.*tools=False"),
        ({"search": "index:/nowhere"}, "there is no folder"),
        ({"search": "web"}, "index:DIR"),
        ({"tools": "no"}, "tools must be"),
        ({"protocol": "loose"}, "protocol must be"),
        ({"prompt": ""}, "prompt must be None"),
        ({"top_k": 0}, "top_k"),
        ({"snippet": 1}, "snippet"),
        ({"score": "iou"}, "score"),
        ({"max_turns": 0}, "max_turns"),
        ({"tool_weight": 1.2}, "tool_weight"),
        ({"dataset": "nq"}, "dataset must be"),
        ({"split": "validation"}, "split must be"),
        ({"render_mode": "rgb_array"}, "render_mode must be None"),
    ],
)
def test_a_bad_argument_is_refused_by_name(made: dict[str, Any], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        MultiHop(**made | kwargs)


# The published pattern.


def test_what_is_read_is_what_the_published_pattern_reads() -> None:
    for parts in product(["<answer>", "</answer>", "\n", " ", "a"], repeat=6):
        text = "".join(parts)
        match = re.search(r"<answer>\s*(.*?)\s*</answer>", text)
        assert on_one_line(text, "answer") == (match.group(1).strip() if match else None), text


@pytest.mark.parametrize("unit", ["<answer>", "<answer>a\nb</answer>", "\n", " ", "<answer>\n\n", "</answer>"])
def test_reading_a_megabyte_is_quick(unit: str) -> None:
    start = time.process_time()
    on_one_line("<answer>" + unit * (1_000_000 // len(unit)) + "</answer>", "answer")
    assert time.process_time() - start < 2.0


@settings(max_examples=15, deadline=None)
@given(st.text(), st.sampled_from(["search", "answer"]))
def test_any_text_is_survived(made: dict[str, Any], text: str, tag: str) -> None:
    for protocol in ("strict", "faithful"):
        env, _ = begin(made, protocol=protocol)
        assert 0.0 <= env.step(f"<{tag}>{text}</{tag}>")[1] <= 1.0
