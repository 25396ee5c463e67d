"""A real vLLM server on a CPU, asked through its chat interface: it answers as the checkpoint does in this process."""

import json
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401  (registers)
from agent.__main__ import main
from agent.chat import ChatMessage, ChatOptions, ChatServer, ContextOverflow
from agent.engine.checkpoint import latest_checkpoint
from agent.errors import ConfigError
from agent.model.load import VLM, load_vlm
from agent.rollout.hf import TransformersEngine
from agent.rollout.render import Renderer
from agent.types import Row, Segment
from tests.agent.rollout.asking import finish, request_of
from tests.agent.rollout.remote.real_vllm import running
from tests.agent.run_fixtures import Parity

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("vllm") is None and "RLLAVA_REQUIRE_VLLM" not in os.environ, reason="vLLM is not installed"
    ),
]

PORT = 8491
TASKS = 24
LONGEST = 10  # tokens of a turn
COUNTING = {
    **{"layout": "grid", "cells": 3, "cell_px": 14, "objects": (6, 9), "shapes": 3, "colours": 4, "sizes": 1},
    **{"question": ("colour",), "instructions": "short"},
}
# What a checkpoint's makers recommend and an evaluation must not be sampled with.
RECOMMENDED = {"repetition_penalty": 1.8, "top_k": 2, "temperature": 0.9, "top_p": 0.5}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model after a few supervised steps: it ends its turns, and has something to say of a picture."""
    folder = tmp_path_factory.mktemp("chat")
    steps = ["--cold_start.max_steps", "60", "--cold_start.stop_at", "1.0", "--cold_start.check_every", "1000"]
    rest = ["--optimizer.steps", "0", "--evaluation.test_episodes", "0", "--run.folder", str(folder)]
    assert main(["train", "counting", *steps, *rest, "--run.name", "served"]) == 0
    found = latest_checkpoint(folder / "served" / "checkpoints")
    assert found is not None
    recommended = json.loads((found / "generation_config.json").read_text()) | RECOMMENDED
    (found / "generation_config.json").write_text(json.dumps(recommended))
    return found


@pytest.fixture(scope="module")
def url(checkpoint: Path) -> Iterator[str]:
    with running(checkpoint, PORT, checkpoint.parent / "log.txt") as address:
        yield f"{address}/v1"


@pytest.fixture(scope="module")
def local(checkpoint: Path) -> VLM:
    vlm = load_vlm(checkpoint)
    vlm.model.eval()
    return vlm


@pytest.fixture
def chat(url: str, local: VLM) -> Iterator[ChatServer]:
    server = ChatServer(
        url, ChatOptions(retries=1, extra={"logit_bias": bias(dict.fromkeys(local.processor.banned_ids, -100))})
    )
    yield server
    server.close()


def bias(added: dict[int, float]) -> dict[str, float]:
    return {str(token): value for token, value in added.items()}


def play_there(chat: ChatServer, env: Any, task: int) -> list[tuple[Any, ...]]:
    """A greedy episode with the served model: of each turn its text, why it ended, and how many tokens went in and
    came out."""
    observation, _ = env.reset(seed=task, options={"task": task})
    messages: list[ChatMessage] = []
    seen: list[tuple[Any, ...]] = []
    while True:
        messages.append(ChatMessage("user", observation["text"], tuple(observation["images"])))
        reply = chat.ask(messages, temperature=0.0, max_tokens=LONGEST, seed=task)
        seen.append((reply.text, reply.stop_reason, reply.prompt_tokens, reply.completion_tokens))
        observation, _, terminated, truncated, _ = env.step(reply.text)
        if terminated or truncated:
            return seen
        messages.append(ChatMessage("assistant", reply.text))


def play_here(vlm: VLM, env: Any, task: int) -> list[tuple[Any, ...]]:
    """The same with the transformers engine, on tokens."""
    renderer = Renderer(vlm.processor)
    engine = TransformersEngine(vlm.model, vlm.processor.image_token_id, vlm.processor.merge)
    observation, _ = env.reset(seed=task, options={"task": task})
    segments: tuple[Segment, ...] = (renderer.prompt(observation["text"], observation["images"]),)
    seen: list[tuple[Any, ...]] = []
    while True:
        row, turn = Row(segments), len(seen)
        request = request_of(renderer, row, temperature=0.0, max_tokens=LONGEST)
        (completion,) = finish(engine, request)
        engine.release(request.episode)
        text = renderer.action_text(completion.token_ids)
        read = sum(len(segment.token_ids) for segment in segments)
        seen.append((text, completion.stop_reason, read, len(completion.token_ids)))
        observation, _, terminated, truncated, _ = env.step(text)
        if terminated or truncated:
            return seen
        ended = completion.stop_reason == "stop"
        following = renderer.observation(observation["text"], observation["images"], turn + 1, ended)
        segments = (*segments, Segment("action", completion.token_ids, turn), following)


def test_tasks_of_counting_are_answered_as_by_the_checkpoint(chat: ChatServer, local: VLM) -> None:
    env = gymnasium.make("RLLaVA/Counting-v0", **COUNTING)
    there = [play_there(chat, env, task) for task in range(TASKS)]
    assert there == [play_here(local, env, task) for task in range(TASKS)]
    # There was something to be missed: answers that differ from picture to picture, and end by themselves.
    assert len({text for ((text, *_),) in there}) > 1
    assert {reason for ((_, reason, *_),) in there} == {"stop"}


def test_two_turns_are_answered_as_by_the_checkpoint(chat: ChatServer, local: VLM) -> None:
    there = [play_there(chat, Parity("test"), task) for task in range(6)]
    assert there == [play_here(local, Parity("test"), task) for task in range(6)]
    assert all(len(turns) == 2 and turns[1][2] > turns[0][2] + turns[0][3] for turns in there)


def test_another_picture_is_another_answer(chat: ChatServer, local: VLM) -> None:
    """So that equal answers above are no property of a model that does not look."""
    env = gymnasium.make("RLLaVA/Counting-v0", **COUNTING)
    texts = set()
    question = env.reset(seed=0, options={"task": 0})[0]["text"]
    for task in range(TASKS):
        (picture,) = env.reset(seed=task, options={"task": task})[0]["images"]
        texts.add(ask(chat, question, picture).text)
    assert len(texts) > 1


def ask(chat: ChatServer, text: str, *pictures: np.ndarray, temperature: float = 0.0, seed: int = 0) -> Any:
    return chat.ask([ChatMessage("user", text, pictures)], temperature=temperature, max_tokens=LONGEST, seed=seed)


def test_the_seed_decides_what_is_sampled(chat: ChatServer) -> None:
    first, again = ([ask(chat, "How many?", temperature=2.0, seed=seed).text for seed in range(12)] for _ in range(2))
    assert first == again and len(set(first)) > 1


def test_special_tokens_are_spelled_out_and_the_one_that_ends_a_turn_is_not(url: str, local: VLM) -> None:
    def forced(token: str) -> Any:
        (index,) = local.processor.tokenizer.convert_tokens_to_ids([token])
        server = ChatServer(url, ChatOptions(extra={"logit_bias": bias({index: 100})}))
        try:
            return ask(server, "How many?")
        finally:
            server.close()

    spelled = forced("<|vision_start|>")
    assert (spelled.text, spelled.stop_reason) == ("<|vision_start|>" * LONGEST, "length")
    ended = forced("<|im_end|>")
    assert (ended.text, ended.stop_reason, ended.completion_tokens) == ("", "stop", 1)


def test_what_this_server_refuses_is_understood(chat: ChatServer, url: str) -> None:
    assert chat.max_model_len == 512
    with pytest.raises(ContextOverflow, match="does not fit into the context"):
        ask(chat, "How many? " * 600)
    picture = np.zeros((42, 42, 3), np.uint8)
    with pytest.raises(ConfigError, match=r"does not take the pictures.*shown 5.*--limit-mm-per-prompt"):
        ask(chat, "How many?", *[picture] * 5)
    with pytest.raises(ConfigError, match="leave no room for a prompt in the 512 tokens"):
        chat.ask([ChatMessage("user", "a")], temperature=0.0, max_tokens=512, seed=0)
    absent = ChatServer(url, ChatOptions(model="absent"))
    with pytest.raises(ConfigError, match=rf"no chat with a model 'absent'.*it serves: {chat.model}"):
        ask(absent, "How many?")
    absent.close()
    with pytest.raises(ConfigError, match=r"has its chat under /v1"):
        ChatServer(url.removesuffix("/v1"), ChatOptions(retries=0))
    assert ask(chat, "How many?").text is not None
