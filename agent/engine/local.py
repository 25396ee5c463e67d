"""The train engine for one process: AdamW, a learning-rate schedule, gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from ..config import OptimizerConfig
from ..model.lora import merged_tensors
from .offload import Offload


class LocalEngine:
    """Holds the weights and the optimizer's state. `backward` accumulates gradients, `step` applies them.

    The optimizer moves float32 weights. Where the model's are bfloat16 it keeps copies: 8 bits cannot hold an update
    that is smaller than 1/256 of its weight, which most are.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        config: OptimizerConfig,
        groups: Sequence[Mapping[str, Any]] | None = None,
        updates: int = 1,
    ) -> None:
        """groups: `params` with their `rate`, a multiple of the learning rate; None: all at 1. updates: calls of `step`
        that one step of the schedule takes."""
        self.model = model
        self.config = config
        self.steps_taken = 0
        self._updates = updates
        # Embeddings may be shared with the head: parameters() yields each tensor once.
        groups = groups or [{"params": [p for p in model.parameters() if p.requires_grad], "rate": 1.0}]
        self._weights = [weight for group in groups for weight in group["params"]]
        self._masters = [w if w.dtype == torch.float32 else w.detach().float() for w in self._weights]
        masters = iter(self._masters)
        self.optimizer = torch.optim.AdamW(
            [{"params": [next(masters) for _ in group["params"]], "rate": group["rate"]} for group in groups],
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
        )
        self.weights = Offload("trainer weights", lambda: (*model.parameters(), *model.buffers()))
        self.state = Offload("optimizer state", self.state_tensors)

    @property
    def lr(self) -> float:
        """The rate of the next step."""
        return self.config.lr * schedule(
            self.steps_taken // self._updates, self.config.steps, self.config.warmup_steps, self.config.schedule
        )

    @property
    def gradient_bytes(self) -> int:
        """Of the gradients that have accumulated."""
        return sum(weight.grad.nbytes for weight in self._weights if weight.grad is not None)

    def backward(self, loss: torch.Tensor) -> None:
        self.weights.require()
        loss.backward()

    def step(self) -> float:
        """Apply the accumulated gradients; returns their norm before clipping. A gradient that is not finite is thrown
        away and its norm returned, so that one bad batch never destroys the weights."""
        self.state.require()
        for weight, master in self._copied():
            master.grad = None if weight.grad is None else weight.grad.float()
        norm = torch.nn.utils.clip_grad_norm_(self._masters, self.config.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * group["rate"]
        if torch.isfinite(norm):
            self.optimizer.step()
            with torch.no_grad():
                for weight, master in self._copied():
                    weight.copy_(master)
        self.discard()
        self.steps_taken += 1
        return float(norm)

    def discard(self) -> None:
        """Throw the accumulated gradients away."""
        self.optimizer.zero_grad(set_to_none=True)
        for weight in self._weights:
            weight.grad = None

    def take_weights(self) -> None:
        """Begin from the model's weights as they are now, after somebody else has moved them."""
        with torch.no_grad():
            for weight, master in self._copied():
                master.copy_(weight)

    def state_tensors(self) -> Iterator[torch.Tensor]:
        """The optimizer's moments, and the copies of weights that it moves."""
        for state in self.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, torch.Tensor) and value.ndim)
        yield from (master for _, master in self._copied())

    def _copied(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Weights that the optimizer holds a copy of, with that copy."""
        return ((w, m) for w, m in zip(self._weights, self._masters, strict=True) if w is not m)

    def skip(self) -> None:
        """An update with nothing to learn from: the schedule advances, the weights stay."""
        self.discard()
        self.steps_taken += 1

    def named_tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The weights as a rollout engine takes them: under their Hugging Face names, an adapter folded in."""
        yield from merged_tensors(self.model)

    def state_dict(self) -> dict[str, Any]:
        masters = [master for _, master in self._copied()]
        return {"optimizer": self.optimizer.state_dict(), "steps_taken": self.steps_taken, "masters": masters}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps_taken = state["steps_taken"]
        with torch.no_grad():
            for (_, master), saved in zip(self._copied(), state["masters"], strict=True):
                master.copy_(saved)


def schedule(step: int, steps: int, warmup: int, kind: str) -> float:
    """Factor of the learning rate at `step` (0 is the first): linear warm-up, then linear, cosine or constant.

    The first step after the warm-up has factor 1; "linear" and "cosine" would reach 0 at step `steps`.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if kind == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return 1.0 - progress if kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
