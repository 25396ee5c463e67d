"""A real vLLM, on a CPU: what it is given and what it says are the trainer's, to rounding, before and after updates."""

import copy
import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from agent.config_engine import VllmConfig
from agent.engine.batching import make_batch
from agent.errors import ConfigError, MismatchError
from agent.model.load import VLM, load_vlm
from agent.roles.actor import Actor
from agent.rollout.engine import Completion, Request
from agent.rollout.hf import TransformersEngine
from agent.rollout.render import Renderer
from agent.rollout.vllm import VllmEngine, _load
from agent.rollout.vllm_start import check_vllm, start_vllm
from agent.types import Row, SampledWith, Segment
from tests.agent.checkpoints import write_checkpoint
from tests.agent.rollout.asking import finish, prompt, request_of

if importlib.util.find_spec("vllm") is None and not os.environ.get("RLLAVA_REQUIRE_VLLM"):
    pytest.skip("vLLM is not installed (.ci/vllm makes an environment that has it)", allow_module_level=True)

pytestmark = pytest.mark.vllm
Picture = Callable[..., np.ndarray]
BOUND = 1e-4  # nats, float32


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[VLM, VllmEngine]]:
    """A model of each family, and the engine that has its weights."""
    vlm = load_vlm(write_checkpoint(tmp_path_factory.mktemp(request.param), request.param, merge=2))
    vlm.model.eval()
    options = VllmConfig(cache_gib=0.25, max_sequences=32)
    llm = start_vllm(vlm.processor.folder, "float32", "cpu", 1024, options)
    engine = VllmEngine(llm, vlm.processor.image_token_id, patches=True)
    engine.load_weights(vlm.model.state_dict(keep_vars=True).items(), 0)
    yield vlm, engine
    engine.close()


@pytest.fixture
def engine(served: tuple[VLM, VllmEngine]) -> Iterator[VllmEngine]:
    """The engine, with the model's weights whatever the test does to them."""
    vlm, engine = served
    yield engine
    engine.load_weights(vlm.model.state_dict(keep_vars=True).items(), 0)
    engine.wake()


@pytest.fixture
def vlm(served: tuple[VLM, VllmEngine]) -> VLM:
    return served[0]


@pytest.fixture
def rows(renderer: Renderer, picture: Picture) -> list[Row]:
    """Prompts with no picture, one, and three of different sizes."""
    return [
        prompt(renderer, "How many red circles? Füße 漢字 🙂"),
        prompt(renderer, "How many?", picture(60, 80)),
        prompt(renderer, "Compare.", picture(30, 90, 1), picture(120, 40, 2), picture(56, 56, 3)),
    ]


def transformers_of(vlm: VLM) -> TransformersEngine:
    return TransformersEngine(vlm.model, vlm.processor.image_token_id, vlm.processor.merge, shared=True)


def action_of(completion: Completion, turn: int) -> Segment:
    sampling = SampledWith(1.0, (), 99, 0, 0, completion.stop_reason)
    return Segment("action", completion.token_ids, turn, logprobs=completion.logprobs, sampling=sampling)


def gap(vlm: VLM, renderer: Renderer, rows: list[Row], done: list[Completion], temperature: float = 1.0) -> float:
    """Largest difference between the sampler's log-probabilities and the trainer's, over sampled tokens."""
    whole = [
        row.append(action_of(completion, row.segments[-1].turn)) for row, completion in zip(rows, done, strict=True)
    ]
    batch = make_batch(whole, range(len(whole)), [0.0] * len(whole), renderer.pixels, vlm.processor.merge)
    with torch.no_grad():
        trained, _ = Actor(vlm.model, temperature, vlm.processor.banned_ids).logprobs(batch)
    return float((trained - batch.sampler_logprobs).abs()[batch.action_mask].max())


def moved(vlm: VLM) -> VLM:
    """The model after an update of every weight."""
    model = copy.deepcopy(vlm.model)
    dice = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * weight.std().nan_to_num() * torch.randn(weight.shape, generator=dice))
    return replace(vlm, model=model)


def asked(renderer: Renderer, rows: list[Row], **sampling: object) -> list[Request]:
    return [request_of(renderer, row, id, seed=3 + id, **sampling) for id, row in enumerate(rows)]


def test_greedy_tokens_are_those_of_the_transformers_engine(
    vlm: VLM, engine: VllmEngine, renderer: Renderer, rows: list[Row]
) -> None:
    requests = asked(renderer, rows, temperature=0.0, max_tokens=16)
    ours, theirs = finish(engine, *requests), finish(transformers_of(vlm), *requests)
    for a, b in zip(ours, theirs, strict=True):
        assert (a.token_ids, a.stop_reason) == (b.token_ids, b.stop_reason)
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=BOUND)  # type: ignore[arg-type]
    assert len({token for completion in ours for token in completion.token_ids}) > 8


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_are_the_trainers_before_and_after_an_update(
    vlm: VLM, engine: VllmEngine, renderer: Renderer, rows: list[Row], temperature: float
) -> None:
    requests = asked(renderer, rows, max_tokens=24, temperature=temperature)
    before = finish(engine, *requests)
    assert gap(vlm, renderer, rows, before, temperature) < BOUND
    other = moved(vlm)
    engine.load_weights(other.model.state_dict(keep_vars=True).items(), 1)
    after = finish(engine, *requests)
    assert gap(other, renderer, rows, after, temperature) < BOUND
    assert gap(other, renderer, rows, before, temperature) > 100 * BOUND
    assert {completion.weight_version for completion in after} == {1}


def test_the_next_turn_says_what_the_trainer_says(
    vlm: VLM, engine: VllmEngine, renderer: Renderer, picture: Picture
) -> None:
    row = prompt(renderer, "How many?", picture(60, 80))
    (first,) = finish(engine, request_of(renderer, row))
    row = row.append(action_of(first, 0))
    seen = renderer.observation("Look again.", [picture(90, 60, 5), picture(60, 80)], 1, first.stop_reason == "stop")
    row = row.append(seen)
    (second,) = finish(engine, request_of(renderer, row, seed=8, max_tokens=24))
    assert gap(vlm, renderer, [row], [second]) < BOUND


def test_a_changed_pixel_exceeds_the_bound(vlm: VLM, engine: VllmEngine, renderer: Renderer, picture: Picture) -> None:
    row = prompt(renderer, "How many?", picture(60, 80))
    request = request_of(renderer, row, max_tokens=24)
    spoiled = request.images[0].pixels.clone()
    spoiled[:4] = -spoiled[:4]
    other = replace(request.images[0], pixels=spoiled, sha256="0" * 64)
    done = finish(engine, replace(request, images=(other,)))
    assert gap(vlm, renderer, [row], done) > BOUND


def test_features_of_old_weights_exceed_the_bound(
    vlm: VLM, engine: VllmEngine, renderer: Renderer, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = asked(renderer, rows[1:], max_tokens=24)
    finish(engine, *requests)
    other = moved(vlm)
    with monkeypatch.context() as patched:
        patched.setattr(engine.engine, "reset_encoder_cache", lambda: None)
        engine.load_weights(other.model.state_dict(keep_vars=True).items(), 1)
    assert gap(other, renderer, rows[1:], finish(engine, *requests)) > BOUND


def test_a_prefix_of_old_weights_exceeds_the_bound(
    vlm: VLM, engine: VllmEngine, renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = prompt(renderer, "How many red circles are there on the left of the picture? " * 6)
    request = request_of(renderer, row, max_tokens=24)
    finish(engine, request)
    other = moved(vlm)
    with monkeypatch.context() as patched:
        patched.setattr(engine.llm, "reset_prefix_cache", lambda: True)
        engine.load_weights(other.model.state_dict(keep_vars=True).items(), 1)
    assert gap(other, renderer, [row], finish(engine, request)) > BOUND


def test_a_prompt_that_vllm_read_otherwise_is_refused(
    engine: VllmEngine, renderer: Renderer, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.submit(request_of(renderer, rows[1]))
    (name,) = engine._open
    request, token_ids = engine._open[name]
    engine._open[name] = (request, token_ids[:-1])
    with pytest.raises(MismatchError, match="read the prompt's pictures differently"):
        finish(engine, request_of(renderer, rows[0], id=7))
    engine.abort(7)
    assert not engine.engine.has_unfinished_requests()


def test_placeholders_without_pictures_cannot_be_submitted(
    engine: VllmEngine, renderer: Renderer, rows: list[Row]
) -> None:
    with pytest.raises(ValueError, match="image placeholders"):
        engine.submit(replace(request_of(renderer, rows[1]), images=()))


def test_tokens_that_are_banned_are_never_sampled(
    vlm: VLM, engine: VllmEngine, renderer: Renderer, rows: list[Row]
) -> None:
    banned = tuple(sorted({*vlm.processor.banned_ids, *range(0, vlm.processor.vocabulary, 2)}))
    requests = [
        request_of(renderer, rows[0], id, seed=id, temperature=2.0, max_tokens=60, banned_ids=banned, stop_ids=(1,))
        for id in range(16)
    ]
    sampled = [token for done in finish(engine, *requests) for token in done.token_ids]
    assert len(sampled) > 600
    assert not set(sampled) & set(banned)


def test_requests_join_while_others_generate_and_can_be_aborted(
    vlm: VLM, engine: VllmEngine, renderer: Renderer, rows: list[Row]
) -> None:
    requests = asked(renderer, rows, temperature=0.0, max_tokens=12)
    engine.submit(requests[0])
    engine.poll(0)
    engine.submit(requests[1])
    engine.poll(0)
    engine.submit(requests[2])
    engine.abort(requests[0].id)
    engine.abort(99)
    done: dict[int, Completion] = {}
    for _ in range(100):
        done |= {completion.id: completion for completion in engine.poll(0)}
    assert sorted(done) == [1, 2]
    alone = finish(transformers_of(vlm), *requests[1:])
    assert [done[1].token_ids, done[2].token_ids] == [completion.token_ids for completion in alone]


def test_the_same_requests_are_answered_the_same_bit_for_bit(
    engine: VllmEngine, renderer: Renderer, rows: list[Row]
) -> None:
    requests = asked(renderer, rows, max_tokens=16)
    first = finish(engine, *requests)
    finish(engine, *asked(renderer, rows[::-1], max_tokens=4))  # leaves other prefixes behind
    engine.forget()
    assert finish(engine, *requests) == first


def test_asleep_it_answers_nothing_and_wakes_with_new_weights_only(
    vlm: VLM, engine: VllmEngine, renderer: Renderer, rows: list[Row]
) -> None:
    request = request_of(renderer, rows[1], max_tokens=12)
    (before,) = finish(engine, request)
    assert engine.held()["sampler weights"] > 0 and engine.held()["key-value cache"] > 0
    engine.sleep()
    assert set(engine.held().values()) == {0}
    with pytest.raises(RuntimeError, match="asleep"):
        engine.poll(0)
    with pytest.raises(RuntimeError, match="asleep"):
        engine.submit(request)
    with pytest.raises(RuntimeError, match="load_weights"):
        engine.wake()
    engine.load_weights(vlm.model.state_dict(keep_vars=True).items(), 4)
    assert engine.held()["sampler weights"] > 0 and engine.held()["key-value cache"] == 0
    engine.wake()
    (after,) = finish(engine, request)
    assert (after.token_ids, after.logprobs, after.weight_version) == (before.token_ids, before.logprobs, 4)


def test_it_neither_sleeps_nor_takes_weights_while_it_generates(
    engine: VllmEngine, renderer: Renderer, rows: list[Row]
) -> None:
    engine.submit(request_of(renderer, rows[0]))
    for call in (engine.sleep, lambda: engine.load_weights([], 1)):
        with pytest.raises(RuntimeError, match="generating"):
            call()
    engine.abort(0)


def test_a_weight_that_is_forgotten_is_named_and_shows_after_sleep(
    vlm: VLM, engine: VllmEngine, renderer: Renderer, rows: list[Row]
) -> None:
    forgotten = "model.language_model.norm.weight"
    tensors = {name: tensor for name, tensor in vlm.model.state_dict(keep_vars=True).items() if name != forgotten}
    engine.sleep()
    with pytest.raises(KeyError, match=r"language_model\.model\.norm\.weight"):
        engine.load_weights(tensors.items(), 1)
    # Had nobody looked: what sleep dropped is not what it was.
    engine.llm.apply_model(lambda model: _load(model, tensors.items()))
    engine._loaded = True
    engine.wake()
    assert gap(vlm, renderer, rows[:1], finish(engine, *asked(renderer, rows[:1], max_tokens=24))) > BOUND


def test_what_vllm_cannot_run_is_refused_before_it_starts() -> None:
    with pytest.raises(ConfigError, match="connector_layers: 2"):
        check_vllm("rllava_composed", 1, 1.0)
    with pytest.raises(ConfigError, match="merges 2 x 2"):
        check_vllm("qwen2_vl", 1, 1.0)
    with pytest.raises(ConfigError, match=r"rollout\.temperature"):
        check_vllm("qwen2_vl", 2, 2.5)
