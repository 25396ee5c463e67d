"""SGLang's protocol, against a server that imitates it: no real one was at hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agent.errors import ConfigError, MismatchError
from agent.model.load import VLM
from agent.rollout.engine import Completion, Request
from agent.rollout.remote.engine import RemoteEngine
from agent.rollout.remote.sglang_server import SglangInterface
from tests.agent.rollout.remote.servers import FakeSglang, Server

EngineOn = Callable[..., RemoteEngine]
RequestOf = Callable[..., Request]
Finish = Callable[..., list[Completion]]
BIAS = {"63": -100.0, "62": -100.0}


@pytest.fixture
def sglang(serve: Callable[[Server], Any]) -> FakeSglang:
    fake: FakeSglang = serve(FakeSglang())
    return fake


def test_tokens_are_those_that_were_sampled_the_stop_token_among_them(
    sglang: FakeSglang, engine_on: EngineOn, request_of: RequestOf, finish: Finish
) -> None:
    requests = [request_of(id, max_tokens=60) for id in range(4)]
    completions = finish(engine_on(sglang, interface=SglangInterface()), *requests)
    for completion in completions:
        tokens, logprobs = sglang.sample([5, 6, 7], 1.0, completion.id, 60, [2], BIAS)
        assert completion.token_ids == tuple(tokens)
        assert completion.logprobs == pytest.approx(logprobs)
        assert completion.stop_reason == ("stop" if tokens[-1] == 2 else "length")
    assert "stop" in {completion.stop_reason for completion in completions}


def test_nothing_is_left_to_a_servers_defaults(request_of: RequestOf) -> None:
    body = json.loads(SglangInterface().body(request_of(0, seed=2**31 + 5, temperature=0.7), [5, 6], []))
    assert body["input_ids"] == [5, 6] and "text" not in body
    assert (body["return_logprob"], body["logprob_start_len"]) == (True, -1)
    assert body["sampling_params"] == {
        "temperature": 0.7,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.0,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "repetition_penalty": 1.0,
        "max_new_tokens": 6,
        "sampling_seed": 5,
        "stop_token_ids": [2],
        "ignore_eos": True,
        "no_stop_trim": True,
        "skip_special_tokens": False,
        "logit_bias": BIAS,
    }


def test_pictures_are_refused_with_the_reason(
    sglang: FakeSglang, engine_on: EngineOn, one_vlm: VLM, picture: Callable[..., Any], request_of: RequestOf
) -> None:
    image = one_vlm.processor.process(picture(56, 56))
    with pytest.raises(ConfigError, match=r"text only.*the trainer's pixels.*--engine\.remote\.kind vllm"):
        engine_on(sglang, interface=SglangInterface()).submit(request_of(0, (5, 63), (image,)))


def test_a_server_that_read_more_tokens_than_it_was_sent_is_found_out(
    sglang: FakeSglang, engine_on: EngineOn, request_of: RequestOf
) -> None:
    sglang.extra_tokens = 1
    engine = engine_on(sglang, interface=SglangInterface())
    engine.submit(request_of(0))
    with pytest.raises(MismatchError, match="generated from 4 tokens, sent were 3"):
        engine.poll(10.0)


def test_weights_are_loaded_from_the_folder_and_known_by_their_name(
    sglang: FakeSglang,
    engine_on: EngineOn,
    request_of: RequestOf,
    finish: Finish,
    tmp_path: Path,
    weights: dict[str, torch.Tensor],
) -> None:
    engine = engine_on(sglang, interface=SglangInterface(), weights=tmp_path)
    engine.load_weights(weights.items(), 3)
    _, path, body = sglang.asked[-1]
    assert path == "/update_weights_from_disk" and body["flush_cache"] is True
    assert finish(engine, request_of(0))[0].weight_version == 3
    sglang.version = "initial"
    engine.submit(request_of(1))
    with pytest.raises(MismatchError, match=r"weights initial.*started anew"):
        engine.poll(10.0)


def test_weights_that_a_server_cannot_load_are_told(
    sglang: FakeSglang,
    engine_on: EngineOn,
    tmp_path: Path,
    weights: dict[str, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> None:
        raise FileNotFoundError("no safetensors here")

    monkeypatch.setattr(FakeSglang, "load", fails)
    with pytest.raises(ConfigError, match="no safetensors here"):
        engine_on(sglang, interface=SglangInterface(), weights=tmp_path).load_weights(weights.items(), 0)
