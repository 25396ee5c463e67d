"""Generation servers behind the contract of a rollout engine, over real HTTP."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agent.errors import ConfigError, MismatchError, OutageError, is_outage
from agent.model.load import VLM
from agent.rollout.engine import Completion, Request
from agent.rollout.remote.engine import RemoteEngine
from agent.rollout.remote.vllm_server import VllmInterface
from tests.agent.rollout.remote.servers import FakeVllm, Server, served

EngineOn = Callable[..., RemoteEngine]
RequestOf = Callable[..., Request]
Finish = Callable[..., list[Completion]]
Serve = Callable[[Server], Any]


def test_tokens_and_log_probabilities_come_back_as_the_server_sampled_them(
    server: FakeVllm, engine_on: EngineOn, request_of: RequestOf, finish: Finish
) -> None:
    requests = [request_of(id, max_tokens=40) for id in range(3)]
    bias = {"63": -100.0, "62": -100.0}
    for completion, request in zip(finish(engine_on(server), *requests), requests, strict=True):
        tokens, logprobs = server.sample([5, 6, 7], 1.0, request.id, 40, [2], bias)
        assert (completion.id, completion.token_ids) == (request.id, tuple(tokens))
        assert completion.logprobs == pytest.approx(logprobs)
        assert completion.stop_reason == ("stop" if tokens[-1] == 2 else "length")


def test_an_answer_that_ends_with_the_stop_token_stopped_and_one_that_is_cut_did_not(
    server: FakeVllm, engine_on: EngineOn, request_of: RequestOf, finish: Finish
) -> None:
    first, *_ = server.sample([5, 6, 7], 0.0, 0, 1, [], {})[0]
    ended, cut = finish(
        engine_on(server),
        request_of(0, temperature=0.0, stop_ids=(first,), banned_ids=()),
        request_of(1, temperature=0.0, max_tokens=3, banned_ids=()),
    )
    assert (ended.token_ids, ended.stop_reason) == ((first,), "stop")
    assert (len(cut.token_ids), cut.stop_reason) == (3, "length")


def test_poll_waits_until_something_is_finished_and_no_longer(
    server: FakeVllm, engine_on: EngineOn, request_of: RequestOf
) -> None:
    server.delay = 0.4
    engine = engine_on(server)
    assert engine.poll(10.0) == []  # nothing is asked: nothing to wait for
    engine.submit(request_of(0))
    started = time.monotonic()
    assert engine.poll(0.05) == []
    assert time.monotonic() - started < 0.3
    assert [completion.id for completion in engine.poll(10.0)] == [0]
    assert 0.35 < time.monotonic() - started < 5.0


def test_an_engine_that_sleeps_neither_polls_nor_generates_and_wakes_as_it_was(
    server: FakeVllm, engine_on: EngineOn, request_of: RequestOf, finish: Finish
) -> None:
    engine = engine_on(server)
    engine.sleep()
    with pytest.raises(RuntimeError, match="asleep"):
        engine.poll(0.0)
    with pytest.raises(RuntimeError, match="asleep"):
        engine.submit(request_of(0))
    engine.wake()
    assert len(finish(engine, request_of(0))) == 1


def test_an_engine_does_not_sleep_and_takes_no_weights_while_it_generates(
    server: FakeVllm, engine_on: EngineOn, request_of: RequestOf, tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    engine = engine_on(server, weights=tmp_path)
    engine.load_weights(weights.items(), 0)
    server.delay = 0.3
    engine.submit(request_of(0))
    with pytest.raises(RuntimeError, match="generating"):
        engine.sleep()
    with pytest.raises(RuntimeError, match="generating"):
        engine.load_weights(weights.items(), 1)


def test_what_was_aborted_never_comes_back_even_under_a_number_that_is_used_again(
    server: FakeVllm, engine_on: EngineOn, request_of: RequestOf, finish: Finish
) -> None:
    server.delay = 0.2
    engine = engine_on(server)
    engine.submit(request_of(0, seed=1))
    time.sleep(0.05)
    engine.abort(0)
    engine.abort(17)  # nobody
    (completion,) = finish(engine, request_of(0, seed=2, max_tokens=30))
    assert completion.token_ids == tuple(server.sample([5, 6, 7], 1.0, 2, 30, [2], {"63": -100.0, "62": -100.0})[0])
    assert engine.poll(0.4) == []


def test_pictures_go_out_expanded_with_their_places_and_hashes(
    server: FakeVllm,
    engine_on: EngineOn,
    one_vlm: VLM,
    picture: Callable[..., Any],
    request_of: RequestOf,
    finish: Finish,
) -> None:
    images = tuple(one_vlm.processor.process(picture(56, 28 * n, n)) for n in (2, 3))
    finish(engine_on(server), request_of(0, (5, 63, 6, 63, 7), images))
    body = json.loads(server.bodies[-1])
    counts = [image.tokens for image in images]
    assert counts == [4, 6] or len(set(counts)) == 2
    assert body["token_ids"] == [5, *[63] * counts[0], 6, *[63] * counts[1], 7]
    places = [{"offset": 1, "length": counts[0]}, {"offset": 2 + counts[0], "length": counts[1]}]
    assert body["features"]["mm_placeholders"] == {"image": places}
    assert body["features"]["mm_hashes"] == {"image": [image.sha256 for image in images]}


def test_a_request_whose_pictures_do_not_match_its_placeholders_is_refused(
    server: FakeVllm, engine_on: EngineOn, request_of: RequestOf
) -> None:
    with pytest.raises(ValueError, match="1 image placeholders for 0 images"):
        engine_on(server).submit(request_of(0, (5, 63)))


def test_a_server_that_fails_for_a_moment_is_asked_the_same_again(
    server: FakeVllm, engine_on: EngineOn, request_of: RequestOf, finish: Finish
) -> None:
    server.failures = [500, 429]
    (completion,) = finish(engine_on(server), request_of(3))
    assert completion.token_ids == tuple(server.sample([5, 6, 7], 1.0, 3, 6, [2], {"63": -100.0, "62": -100.0})[0])
    assert len(server.bodies) == 3 and len(set(server.bodies)) == 1


def test_a_server_that_keeps_failing_is_an_outage_after_the_tries_that_were_allowed(
    server: FakeVllm, engine_on: EngineOn, request_of: RequestOf
) -> None:
    server.failures = [503] * 9
    engine = engine_on(server, retries=2)
    engine.submit(request_of(0))
    with pytest.raises(OutageError, match=r"503: broken.*3 times in a row.*engine\.remote\.retries") as caught:
        engine.poll(10.0)
    assert is_outage(caught.value) and server.url in str(caught.value)
    assert len(server.failures) == 6


def test_a_server_that_is_gone_is_an_outage(engine_on: EngineOn, request_of: RequestOf) -> None:
    with served(FakeVllm()) as server:
        pass
    engine = engine_on(server, retries=1)
    engine.submit(request_of(0))
    with pytest.raises(OutageError, match=r"ConnectError.*2 times in a row"):
        engine.poll(10.0)


def test_a_server_that_comes_back_meanwhile_has_not_been_missed(
    engine_on: EngineOn, request_of: RequestOf, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.rollout.remote.connection.FIRST_PAUSE", 0.1)
    with served(FakeVllm()) as server:
        port = int(server.url.rsplit(":", 1)[1])
        engine = engine_on(server, retries=8)
        (before,) = finish(engine, request_of(0))
    engine.submit(request_of(1, seed=0))
    assert engine.poll(0.3) == []
    with served(server, port):
        (after,) = engine.poll(10.0)
    assert after.token_ids == before.token_ids


def test_what_a_server_refuses_is_told_at_once_in_its_own_words(
    server: FakeVllm, engine_on: EngineOn, request_of: RequestOf
) -> None:
    server.length = 3
    engine = engine_on(server)
    engine.submit(request_of(0))
    with pytest.raises(ConfigError, match=r"refused POST .*/inference/v1/generate \(400: the prompt has 3 tokens"):
        engine.poll(10.0)
    assert len(server.bodies) == 1


def test_a_server_that_read_other_tokens_than_it_was_sent_is_found_out(
    server: FakeVllm, engine_on: EngineOn, request_of: RequestOf
) -> None:
    server.echo = lambda token_ids: [*token_ids, 1]
    engine = engine_on(server)
    engine.submit(request_of(0))
    with pytest.raises(MismatchError, match="generated from 4 tokens where 3 were sent"):
        engine.poll(10.0)


def test_an_answer_in_another_form_is_told_and_is_no_crash(
    server: FakeVllm, engine_on: EngineOn, request_of: RequestOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeVllm, "_generate", lambda self, body: (200, {"prompt_token_ids": [5, 6, 7], "text": "hi"}))
    engine = engine_on(server)
    engine.submit(request_of(0))
    with pytest.raises(MismatchError, match=r"KeyError.*engine\.remote\.kind"):
        engine.poll(10.0)


def test_one_failure_does_not_lose_the_others_that_are_under_way(
    server: FakeVllm, engine_on: EngineOn, request_of: RequestOf
) -> None:
    engine = engine_on(server, retries=0, concurrency=1)
    server.failures = [500]
    engine.submit(request_of(0))
    engine.submit(request_of(1))
    with pytest.raises(OutageError):
        engine.poll(10.0)
    assert [completion.id for completion in engine.poll(10.0)] == [1]


def test_no_more_requests_are_in_flight_than_allowed(
    server: FakeVllm, engine_on: EngineOn, request_of: RequestOf, finish: Finish
) -> None:
    server.delay = 0.1
    started = time.monotonic()
    finish(engine_on(server, concurrency=1), *(request_of(id) for id in range(4)))
    assert time.monotonic() - started > 0.4


def test_turns_of_an_episode_go_to_one_server_and_groups_are_spread(
    serve: Serve, engine_on: EngineOn, request_of: RequestOf, finish: Finish
) -> None:
    servers = [serve(FakeVllm()), serve(FakeVllm())]
    engine = engine_on(*servers)
    prompts = {episode: (5, 6, episode // 4) for episode in range(16)}  # four groups of four siblings
    finish(engine, *(request_of(e, prompts[e], episode=e) for e in prompts))
    finish(engine, *(request_of(100 + e, (*prompts[e], 9), episode=e) for e in reversed(prompts)))
    seen = [[json.loads(body)["token_ids"][2] for body in server.bodies] for server in servers]
    assert [len(groups) for groups in seen] == [16, 16]
    assert set(seen[0]).isdisjoint(seen[1])


def test_new_weights_are_loaded_before_caches_are_dropped_and_pictures_before_prefixes(
    server: FakeVllm,
    engine_on: EngineOn,
    request_of: RequestOf,
    finish: Finish,
    tmp_path: Path,
    weights: dict[str, torch.Tensor],
) -> None:
    engine = engine_on(server, weights=tmp_path)
    with pytest.raises(RuntimeError, match="no weights"):
        engine.submit(request_of(0))
    engine.load_weights(weights.items(), 4)
    pages = [
        "/collective_rpc",
        "/reset_mm_cache",
        "/reset_encoder_cache",
        "/reset_prefix_cache",
        "/update_weight_version",
    ]
    assert server.paths() == pages
    (completion,) = finish(engine, request_of(0))
    assert completion.weight_version == 4
    weights["layer.1.weight"] += 1e-3
    engine.load_weights(weights.items(), 5)
    (other,) = finish(engine, request_of(1, seed=0))
    assert (other.weight_version, other.token_ids) != (5, completion.token_ids)
    assert [path.name for path in tmp_path.iterdir()] == ["weights_000002"]  # the first is not needed any more


def test_every_server_is_given_the_weights(
    serve: Serve, engine_on: EngineOn, tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    servers = [serve(FakeVllm()) for _ in range(3)]
    engine_on(*servers, weights=tmp_path).load_weights(weights.items(), 0)
    assert len({server.weights for server in servers}) == 1 and servers[0].weights


def test_a_server_that_does_not_see_the_folder_is_told_and_the_engine_has_no_weights(
    serve: Serve, engine_on: EngineOn, request_of: RequestOf, tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    class Elsewhere(FakeVllm):
        def load(self, folder: str) -> None:
            super().load(f"/elsewhere{folder}")

    engine = engine_on(serve(Elsewhere()), weights=tmp_path)
    with pytest.raises(OutageError, match=r"500: no safetensors in /elsewhere.*weights_000001"):
        engine.load_weights(weights.items(), 0)
    with pytest.raises(RuntimeError, match="no weights"):
        engine.submit(request_of(0))


def test_a_server_on_which_somebody_else_generates_cannot_take_weights(
    server: FakeVllm, engine_on: EngineOn, tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    server.busy = True
    with pytest.raises(OutageError, match="other requests are running"):
        engine_on(server, weights=tmp_path).load_weights(weights.items(), 0)


def test_a_server_that_was_started_anew_is_found_out_by_its_weights(
    server: FakeVllm,
    engine_on: EngineOn,
    request_of: RequestOf,
    tmp_path: Path,
    weights: dict[str, torch.Tensor],
) -> None:
    engine = engine_on(server, weights=tmp_path)
    engine.load_weights(weights.items(), 0)
    server.version, server.weights = "initial", ""
    engine.submit(request_of(0))
    with pytest.raises(MismatchError, match=r"weights \['initial'\].*started anew"):
        engine.poll(10.0)


def test_servers_that_keep_their_weights_take_none(
    server: FakeVllm, engine_on: EngineOn, weights: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(ConfigError, match=r"evaluation only.*--engine\.remote\.weights folder"):
        engine_on(server).load_weights(weights.items(), 0)
    assert server.asked == []


def test_the_interface_of_text_and_pictures_asks_for_what_it_must(request_of: RequestOf) -> None:
    request = request_of(0, seed=2**63 + 5, temperature=0.7)
    body = json.loads(VllmInterface(patches=True).body(request, [5, 6, 7], []))
    assert body == {
        "token_ids": [5, 6, 7],
        "return_token_ids": True,
        "sampling_params": {
            "temperature": 0.7,
            "max_tokens": 6,
            "seed": 5,
            "logprobs": 0,
            "stop_token_ids": [2],
            "ignore_eos": True,
            "detokenize": False,
            "logit_bias": {"63": -100.0, "62": -100.0},
        },
    }
