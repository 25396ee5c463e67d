"""Servers, and engines that ask them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from agent.model.processor import ProcessedImage
from agent.rollout.engine import Completion, Request, SamplingParams
from agent.rollout.remote import connection
from agent.rollout.remote.connection import Connection
from agent.rollout.remote.engine import RemoteEngine
from agent.rollout.remote.vllm_server import VllmInterface
from agent.rollout.remote.weights import WeightFolder
from tests.agent.rollout.remote.servers import FakeVllm, Server, served

IMAGE = 63
STOP = 2


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_PAUSE", 0.001)


@pytest.fixture
def serve() -> Iterator[Callable[[Server], Server]]:
    """Lets a server answer until the test is over."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(served(server))


@pytest.fixture
def server(serve: Callable[[Server], Server]) -> FakeVllm:
    fake = serve(FakeVllm())
    assert isinstance(fake, FakeVllm)
    return fake


@pytest.fixture
def engine_on() -> Iterator[Callable[..., RemoteEngine]]:
    """An engine on some servers; with `weights`, one that gives them weights."""
    made: list[RemoteEngine] = []

    def make(
        *servers: Server, weights: Path | None = None, interface: object = None, retries: int = 2, concurrency: int = 64
    ) -> RemoteEngine:
        connections = [Connection(server.url, 10.0, retries, concurrency) for server in servers]
        folder = WeightFolder(weights) if weights else None
        made.append(RemoteEngine(interface or VllmInterface(patches=True), connections, IMAGE, folder))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def request_of() -> Callable[..., Request]:
    """A request with a prompt of text, or with pictures where there are placeholders."""

    def make(
        id: int = 0,
        tokens: tuple[int, ...] = (5, 6, 7),
        images: tuple[ProcessedImage, ...] = (),
        episode: int | None = None,
        **sampling: object,
    ) -> Request:
        options = {"temperature": 1.0, "max_tokens": 6, "seed": id, "stop_ids": (STOP,), "banned_ids": (IMAGE, 62)}
        params = SamplingParams(**(options | sampling))  # type: ignore[arg-type]
        return Request(id, id if episode is None else episode, tokens, images, params)

    return make


@pytest.fixture
def finish() -> Callable[..., list[Completion]]:
    """Submit requests and wait for all of them."""

    def run(engine: RemoteEngine, *requests: Request) -> list[Completion]:
        for request in requests:
            engine.submit(request)
        done: dict[int, Completion] = {}
        for _ in range(100):
            done |= {completion.id: completion for completion in engine.poll(5.0)}
            if len(done) == len(requests):
                return [done[request.id] for request in requests]
        raise AssertionError("the engine does not finish")

    return run


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {f"layer.{i}.weight": torch.randn(3, 4, generator=generator) for i in range(3)}
