"""Asking a rollout engine: rows as requests, and what came back compared."""

from collections.abc import Sequence

import numpy as np

from agent.rollout.engine import Completion, Request, RolloutEngine, SamplingParams
from agent.rollout.render import Renderer
from agent.types import Row


def request_of(renderer: Renderer, row: Row, id: int = 0, **sampling: object) -> Request:
    processor = renderer.processor
    settings = {"temperature": 1.0, "max_tokens": 10, "seed": 1, "stop_ids": processor.stop_ids}
    params = SamplingParams(**(settings | {"banned_ids": processor.banned_ids} | sampling))  # type: ignore[arg-type]
    return Request(id, id, row.collapsed, tuple(renderer.pictures(row)), params)


def prompt(renderer: Renderer, text: str, *images: np.ndarray) -> Row:
    return Row((renderer.prompt(text, images),))


def finish(engine: RolloutEngine, *requests: Request) -> list[Completion]:
    for request in requests:
        engine.submit(request)
    done: dict[int, Completion] = {}
    for _ in range(200):
        done |= {completion.id: completion for completion in engine.poll(0)}
        if all(request.id in done for request in requests):
            return [done[request.id] for request in requests]
    raise AssertionError("the engine does not finish")


def same(ours: Sequence[Completion], theirs: Sequence[Completion]) -> None:
    """Tokens are equal, log-probabilities up to rounding."""
    for a, b in zip(ours, theirs, strict=True):
        assert (a.token_ids, a.stop_reason) == (b.token_ids, b.stop_reason)
        np.testing.assert_allclose(a.logprobs or (), b.logprobs or (), atol=1e-5)
