"""A rollout engine that answers from a script: for tests, demonstrations and replay. It samples nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from .engine import Completion, Request

# Given a request, the token ids of the answer (with or without an end token) and one log-probability each.
Script = Callable[[Request], tuple[list[int], list[float]]]


class ScriptedEngine:
    """Answers each request by calling `script`; a request completes `delay` polls after it joined.

    An answer longer than the request allows is cut, with stop reason "length", as a real engine would.
    """

    def __init__(self, script: Script, delay: Callable[[Request], int] = lambda request: 1) -> None:
        self.script = script
        self.delay = delay
        self.weight_version = 0
        self.requests: list[Request] = []
        self.released: list[int] = []
        self._waiting: list[tuple[int, Request]] = []
        self._asleep = False

    def submit(self, request: Request) -> None:
        self.requests.append(request)
        self._waiting.append((self.delay(request), request))

    def poll(self, timeout: float) -> list[Completion]:
        if self._asleep:
            raise RuntimeError("the engine is asleep: call wake() before poll()")
        self._waiting = [(left - 1, request) for left, request in self._waiting]
        ready = [request for left, request in self._waiting if left <= 0]
        self._waiting = [(left, request) for left, request in self._waiting if left > 0]
        return [self._complete(request) for request in ready]

    def _complete(self, request: Request) -> Completion:
        tokens, logprobs = self.script(request)
        limit = request.sampling.max_tokens
        tokens, logprobs = tokens[:limit], logprobs[:limit]
        stopped = bool(tokens) and tokens[-1] in request.sampling.stop_ids
        reason = "stop" if stopped else "length"
        return Completion(request.id, tuple(tokens), tuple(logprobs), reason, self.weight_version)

    def abort(self, request_id: int) -> None:
        self._waiting = [(left, request) for left, request in self._waiting if request.id != request_id]

    def release(self, episode: int) -> None:
        self.released.append(episode)

    def load_weights(self, tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        for _ in tensors:
            pass
        self.weight_version = version

    def close(self) -> None:
        pass

    def forget(self) -> None:
        pass

    def held(self) -> dict[str, int]:
        return {}

    def sleep(self) -> None:
        self._asleep = True

    def wake(self) -> None:
        self._asleep = False
