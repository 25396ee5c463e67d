"""A real vLLM server on a CPU: it generates what the transformers engine generates, before and after an update."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agent.__main__ import main
from agent.config_engine import RemoteConfig
from agent.errors import ConfigError
from agent.model.load import VLM, load_vlm
from agent.rollout.engine import Completion, Request, SamplingParams
from agent.rollout.hf import TransformersEngine
from agent.rollout.remote.connection import Connection
from agent.rollout.remote.engine import RemoteEngine
from agent.rollout.remote.start import start_remote
from agent.rollout.remote.vllm_server import VllmInterface
from agent.rollout.render import Renderer
from agent.types import Row
from tests.agent.checkpoints import write_checkpoint
from tests.agent.evaluation.playing import transcripts
from tests.agent.rollout.remote.real_vllm import running

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("vllm") is None and "RLLAVA_REQUIRE_VLLM" not in os.environ, reason="vLLM is not installed"
    ),
]

BOUND = 1e-4  # nats, float32 on a CPU
LENGTH = 512
PORT = 8391
OPTIONS = ("--enable-scale-out", "--generation-config", "vllm", "--logprobs-mode", "processed_logprobs")
Picture = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("served") / "model", "qwen2_5_vl")


@pytest.fixture(scope="module")
def url(checkpoint: Path) -> Iterator[str]:
    with running(checkpoint, PORT, checkpoint.parent / "log.txt", *OPTIONS, "--no-mm-device-do-normalize") as address:
        yield address


@pytest.fixture
def model(checkpoint: Path) -> VLM:
    vlm = load_vlm(checkpoint)
    vlm.model.eval()
    return vlm


@pytest.fixture
def engine(url: str, model: VLM, tmp_path: Path) -> Iterator[RemoteEngine]:
    """Of the server with the model's weights, whatever an earlier test gave it."""
    options = RemoteConfig(urls=[url], weights="folder", folder=str(tmp_path / "weights"), retries=1)
    made = start_remote(options, model, LENGTH)
    made.load_weights(model.model.state_dict().items(), 0)
    yield made
    made.close()


def requests(vlm: VLM, picture: Picture, temperature: float = 0.0) -> list[Request]:
    """Prompts with no picture, with one, and with two of other sizes."""
    renderer, processor = Renderer(vlm.processor), vlm.processor
    seen = [[], [picture(40, 90, 0)], [picture(90, 90, 1), picture(60, 120, 2)], [picture(40, 90, 0)]]
    rows = [Row((renderer.prompt("How many circles?", images),)) for images in seen]
    return [
        Request(
            number,
            number,
            row.collapsed,
            tuple(renderer.pictures(row)),
            SamplingParams(temperature, 12, number, processor.stop_ids, processor.banned_ids),
        )
        for number, row in enumerate(rows)
    ]


def finish(engine: Any, wanted: Sequence[Request]) -> list[Completion]:
    for request in wanted:
        engine.submit(request)
    done: dict[int, Completion] = {}
    until = time.monotonic() + 120
    while len(done) < len(wanted) and time.monotonic() < until:
        done |= {completion.id: completion for completion in engine.poll(1.0)}
    for request in wanted:
        engine.release(request.episode)
    return [done[request.id] for request in wanted]


def transformers(vlm: VLM, wanted: Sequence[Request]) -> list[Completion]:
    return finish(TransformersEngine(vlm.model, vlm.processor.image_token_id, vlm.processor.merge), wanted)


def gap(ours: Sequence[Completion], theirs: Sequence[Completion]) -> float:
    """Largest difference of log-probabilities, infinite where tokens differ."""
    if [completion.token_ids for completion in ours] != [completion.token_ids for completion in theirs]:
        return float("inf")
    pairs = zip(ours, theirs, strict=True)
    return max(abs(a - b) for x, y in pairs for a, b in zip(x.logprobs or (), y.logprobs or (), strict=True))


def test_server_and_transformers_generate_the_same_before_and_after_updates(
    engine: RemoteEngine, model: VLM, picture: Picture
) -> None:
    before = finish(engine, requests(model, picture))
    assert gap(before, transformers(model, requests(model, picture))) < BOUND
    generator = torch.Generator().manual_seed(1)
    for version in (1, 2):
        with torch.no_grad():
            for weight in model.model.parameters():
                weight.add_(0.02 * torch.randn(weight.shape, generator=generator))
        engine.sleep()
        engine.load_weights(model.model.state_dict().items(), version)
        engine.wake()
        after = finish(engine, requests(model, picture))
        assert gap(after, transformers(model, requests(model, picture))) < BOUND
        assert gap(after, before) > 100 * BOUND  # the update was there to be missed
        assert {completion.weight_version for completion in after} == {version}
        before = after


def test_what_is_sampled_can_be_repeated_and_no_banned_token_is_among_it(
    engine: RemoteEngine, model: VLM, picture: Picture
) -> None:
    first, again = (finish(engine, requests(model, picture, 1.5)) for _ in range(2))
    assert gap(first, again) < BOUND
    assert not {token for completion in first for token in completion.token_ids} & set(model.processor.banned_ids)
    assert first[1].token_ids != first[3].token_ids  # the same prompt with another seed


def test_a_changed_pixel_is_more_than_rounding(engine: RemoteEngine, model: VLM, picture: Picture) -> None:
    wanted = requests(model, picture)[1:2]
    right = transformers(model, wanted)
    assert gap(finish(engine, wanted), right) < BOUND
    (image,) = wanted[0].images
    image.pixels[0, 0] += 1.0
    object.__setattr__(image, "sha256", image.sha256[::-1])
    fresh = VllmInterface(patches=True)
    engine.interface = fresh
    assert gap(finish(engine, wanted), right) > BOUND


def test_an_aborted_request_leaves_the_server_to_the_others(engine: RemoteEngine, model: VLM, picture: Picture) -> None:
    wanted = requests(model, picture)
    engine.submit(wanted[0])
    engine.abort(wanted[0].id)
    assert gap(finish(engine, wanted), transformers(model, wanted)) < BOUND
    engine.load_weights(model.model.state_dict().items(), 1)  # nothing of it is left running


def evaluate(checkpoint: Path, output: Path, *options: str) -> int:
    environment = ["--env", "Test/Parity-v0", "--modules", "[tests.agent.run_fixtures]", "--episodes", "3"]
    sizes = ["--rollout.max_turn_tokens", "4", "--rollout.max_turns", "2", "--rollout.max_row_tokens", str(LENGTH)]
    place = ["--device", "cpu", "--output", str(output), *options]
    return main(["eval", "--model", str(checkpoint), *environment, *sizes, *place])


def test_a_served_model_is_evaluated_as_the_checkpoint_is(
    engine: RemoteEngine, url: str, checkpoint: Path, tmp_path: Path
) -> None:
    assert evaluate(checkpoint, tmp_path / "here") == 0
    served = ["--engine.rollout", "remote", "--engine.remote.urls", f"[{url}]"]
    assert evaluate(checkpoint, tmp_path / "served", *served) == 0
    tokens = [list(map(_tokens, transcripts(tmp_path / name, checkpoint.name))) for name in ("here", "served")]
    assert tokens[0] == tokens[1] and any(tokens[0])


def _tokens(told: Any) -> list[Any]:
    """All token ids in a transcript, however deep."""
    if isinstance(told, dict):
        return [v for k, value in told.items() for v in ([value] if k == "token_ids" else _tokens(value))]
    return [found for value in told for found in _tokens(value)] if isinstance(told, list) else []


def test_another_model_than_the_one_that_is_served_is_refused(
    engine: RemoteEngine, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_checkpoint(tmp_path / "other", "qwen2_5_vl", seed=1)
    served = ["--engine.rollout", "remote", "--engine.remote.urls", f"[{url}]"]
    assert evaluate(other, tmp_path / "out", *served) == 1
    assert "do not serve this model" in capsys.readouterr().err


def test_a_server_that_would_normalise_again_is_refused_and_would_exceed_the_bound(
    tmp_path: Path, picture: Picture
) -> None:
    folder = write_checkpoint(tmp_path / "model", "qwen3_vl")
    vlm = load_vlm(folder)
    vlm.model.eval()
    with running(folder, PORT + 1, tmp_path / "log.txt", *OPTIONS) as address:
        with pytest.raises(ConfigError, match=r"normalised already.*--no-mm-device-do-normalize"):
            start_remote(RemoteConfig(urls=[address], weights="folder", folder=str(tmp_path)), vlm, LENGTH)
        server = Connection(address, 60.0, 1, 8)
        careless = RemoteEngine(VllmInterface(patches=True), [server], vlm.processor.image_token_id)
        text, *pictured = requests(vlm, picture)
        assert gap(finish(careless, [text]), transformers(vlm, [text])) < BOUND
        assert gap(finish(careless, pictured), transformers(vlm, pictured)) > 100 * BOUND
        careless.close()
