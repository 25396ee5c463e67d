"""Where the time of our step goes, by area, from the outside: calls of the model's modules and of the engines."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from agent.parts import Parts

AREAS = ("vision", "prompt", "decode", "update forward", "backward", "optimizer", "outside")


class Areas:
    """Processor seconds of the thread that made it, by area; what is inside of something else counts as itself alone.

    `decode` is what the rollout engine does beside vision and prompts, drawing included; `outside` is what is none of
    the others: environments, rendering, credit, checks, and the loss itself.
    """

    def __init__(self, parts: Parts) -> None:
        self._thread = threading.get_ident()
        self.seconds: Counter[str] = Counter()
        self._inside: list[float] = []
        self._rolling = False
        self._plain: list[tuple[Any, str, Any]] = []
        base = parts.vlm.model.base_model
        self._around(base.visual, "forward", lambda *_, **__: "vision")
        self._around(base.language_model, "forward", self._language)
        self._around(parts.rollout_engine, "poll", lambda *_, **__: "decode", rolling=True)
        self._around(parts.train_engine, "run", lambda *_, **__: "update forward")
        # Of losses, and of what the rollout kept of its prompts.
        self._around(torch.autograd, "backward", lambda *_, **__: "backward")
        self._around(parts.train_engine, "step", lambda *_, **__: "optimizer")

    def taken(self, whole: float) -> dict[str, float]:
        """The areas of a step that took so long; a new one begins."""
        named = {area: self.seconds[area] for area in AREAS}
        named["outside"] = whole - sum(named.values())
        self.seconds.clear()
        return named

    def undo(self) -> None:
        """Nothing is timed any more."""
        for owner, method, plain in self._plain:
            setattr(owner, method, plain)

    def _language(self, *args: Any, **kwargs: Any) -> str:
        """A pass of the language model: of one new token a row, of more, or of an update."""
        if not self._rolling:
            return "update forward"
        given = kwargs.get("inputs_embeds")
        given = kwargs.get("input_ids", args[0] if args else None) if given is None else given
        return "prompt" if given is None or given.shape[1] > 1 else "decode"

    @contextmanager
    def _timing(self, area: str) -> Iterator[None]:
        started = time.thread_time()
        self._inside.append(0.0)
        try:
            yield
        finally:
            whole = time.thread_time() - started
            self.seconds[area] += whole - self._inside.pop()
            if self._inside:
                self._inside[-1] += whole

    def _around(self, owner: Any, method: str, area: Callable[..., str], rolling: bool = False) -> None:
        plain = getattr(owner, method)
        self._plain.append((owner, method, plain))

        def timed(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._thread:
                return plain(*args, **kwargs)
            before, self._rolling = self._rolling, self._rolling or rolling
            try:
                with self._timing(area(*args, **kwargs)):
                    return plain(*args, **kwargs)
            finally:
                self._rolling = before

        setattr(owner, method, timed)
