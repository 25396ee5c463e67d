"""What is asked of servers before anything is generated, and what a recipe may not say."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.config_engine import RemoteConfig
from agent.errors import ConfigError, OutageError
from agent.model.load import VLM
from agent.rollout.engine import Request
from agent.rollout.engines import make_rollout_engine
from agent.rollout.remote import same_model
from agent.rollout.remote.start import check, start_remote
from tests.agent.rollout.remote.servers import FakeSglang, FakeVllm, Server, served
from tests.agent.run_fixtures import small_config

Serve = Callable[[Server], Any]


@pytest.fixture
def with_folder(one_vlm: VLM, tmp_path: Path) -> Callable[[Server], RemoteConfig]:
    """Options with which a server is given weights."""

    def options(server: Server) -> RemoteConfig:
        server.vocabulary = one_vlm.processor.vocabulary
        return RemoteConfig(urls=[server.url], weights="folder", folder=str(tmp_path), retries=0, timeout=10.0)

    return options


WithFolder = Callable[[Server], RemoteConfig]


def test_servers_as_they_must_be_are_taken(serve: Serve, one_vlm: VLM, with_folder: WithFolder) -> None:
    server = serve(FakeVllm())
    engine = start_remote(with_folder(server), one_vlm, 512)
    assert engine.servers[0].url == server.url and engine.image_token_id == one_vlm.processor.image_token_id
    engine.close()
    engine = start_remote(replace(with_folder(serve(FakeSglang())), kind="sglang"), one_vlm, 512)
    engine.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 511}, r"contexts of 511 tokens.*max_row_tokens=512.*--max-model-len 512"),
        ({"development": False}, r"VLLM_SERVER_DEV_MODE=1.*vllm serve MODEL"),
        ({"normalises": True}, r"normalise pixels that are normalised already.*--no-mm-device-do-normalize"),
        ({"raw": True}, r"log-probabilities of what it sampled from.*--logprobs-mode processed_logprobs"),
        ({"echo": lambda token_ids: None}, r"which tokens it was given: vLLM 0\.32"),
        ({"failures": [404]}, r"no vLLM server \(it has no /v1/models\). Start one: .*vllm serve MODEL"),
    ],
    ids=["short", "no weights", "normalises", "raw", "old", "another program"],
)
def test_a_vllm_server_that_lacks_something_is_told_how_to_be_started(
    serve: Serve, one_vlm: VLM, with_folder: WithFolder, change: dict[str, Any], message: str
) -> None:
    server = serve(FakeVllm())
    vars(server).update(change)
    with pytest.raises(ConfigError, match=message):
        start_remote(with_folder(server), one_vlm, 512)


def test_a_vllm_server_without_its_token_interface_is_told_how_to_be_started(
    serve: Serve, one_vlm: VLM, with_folder: WithFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"error": {"message": "Scale-out endpoints are disabled."}}
    monkeypatch.setattr(FakeVllm, "_generate", lambda self, body: (403, told))
    with pytest.raises(ConfigError, match=r"403: Scale-out endpoints are disabled\.\).*--enable-scale-out"):
        start_remote(with_folder(serve(FakeVllm())), one_vlm, 512)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 511}, r"contexts of 511 tokens.*--context-length 512"),
        ({"deterministic": False}, r"ignores seeds.*--enable-deterministic-inference"),
        ({"raw": True}, r"log-probabilities of what it sampled from.*SGLANG_RETURN_ORIGINAL_LOGPROB not set"),
        ({"failures": [404, 404]}, r"no SGLang server.*sglang\.launch_server"),
    ],
    ids=["short", "random", "raw", "another program"],
)
def test_an_sglang_server_that_lacks_something_is_told_how_to_be_started(
    serve: Serve, one_vlm: VLM, with_folder: WithFolder, change: dict[str, Any], message: str
) -> None:
    server = serve(FakeSglang())
    vars(server).update(change)
    with pytest.raises(ConfigError, match=message):
        start_remote(replace(with_folder(server), kind="sglang"), one_vlm, 512)


def test_a_server_that_is_not_there_is_an_outage(one_vlm: VLM, with_folder: WithFolder) -> None:
    with served(FakeVllm()) as server:
        pass
    with pytest.raises(OutageError, match="ConnectError"):
        start_remote(with_folder(server), one_vlm, 512)


def test_servers_that_keep_their_weights_must_serve_the_model_at_hand(serve: Serve, one_vlm: VLM) -> None:
    server = serve(FakeVllm(development=False))
    server.vocabulary = one_vlm.processor.vocabulary
    with pytest.raises(ConfigError, match=rf"{server.url} do not serve this model"):
        start_remote(RemoteConfig(urls=[server.url], retries=0), one_vlm, 512)
    pictured = [body for method, path, body in server.asked if body and "features" in body]
    assert len(pictured) == same_model.PROBES


def test_servers_that_serve_the_model_at_hand_are_taken_each_asked(
    serve: Serve, one_vlm: VLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They serve it: the log-probabilities that they give are those of the model."""
    servers = [serve(FakeVllm(development=False)) for _ in range(2)]
    probes: list[Request] = []
    made = same_model._probe

    def probe(vlm: VLM, number: int, pictures: bool) -> Request:
        probes.append(made(vlm, number, pictures))
        return probes[-1]

    def sample(self: FakeVllm, prompt: list[int], *rest: Any) -> tuple[list[int], list[float]]:
        bias = rest[-1]
        if len(bias) == 1:  # the question that every server is asked first
            return [int(next(iter(bias)))] * rest[2], [0.0] * rest[2]
        hashes = [image.sha256.encode() for request in probes for image in request.images]
        (asked,) = (i for i, digest in enumerate(hashes) if digest in bytes(t for t in prompt if t < 256))
        logprobs = same_model._logprobs(one_vlm, probes[asked])
        return [int(logprobs.argmax())], [float(logprobs.max())]

    monkeypatch.setattr(same_model, "_probe", probe)
    monkeypatch.setattr(FakeVllm, "sample", sample)
    engine = start_remote(RemoteConfig(urls=[server.url for server in servers], retries=0), one_vlm, 512)
    engine.close()
    counts = [sum("features" in (body or {}) for _, _, body in server.asked) for server in servers]
    assert counts == [same_model.PROBES] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"urls": []}, r"engine\.remote\.urls: at least one"),
        ({"urls": ["host:8000"]}, r"'host:8000' is no address: expected http://host:port"),
        ({"urls": ["http://a", "http://a"]}, r"named twice"),
        ({"weights": "folder"}, r"engine\.remote\.folder: .*--engine\.remote\.folder PATH"),
        ({"timeout": 0.0}, r"engine\.remote\.timeout: must be at least 1"),
        ({"retries": -1}, r"engine\.remote\.retries: must be at least 0"),
        ({"concurrency": 0}, r"engine\.remote\.concurrency: must be at least 1"),
    ],
)
def test_options_that_cannot_be_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(replace(RemoteConfig(urls=["http://a:1"]), **options))


def test_without_its_libraries_the_message_says_how_to_get_them(
    one_vlm: VLM, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("start", "vllm_server", "wire"):
        monkeypatch.delitem(sys.modules, f"agent.rollout.remote.{name}")
    monkeypatch.setitem(sys.modules, "msgpack", None)
    config = small_config(tmp_path, engine={"rollout": "remote", "remote": RemoteConfig(urls=["http://a:1"])})
    with pytest.raises(ConfigError, match=r"msgpack.*pip install 'rllava-gym\[remote\]'"):
        make_rollout_engine(config, one_vlm, tmp_path, "cpu", "float32")
