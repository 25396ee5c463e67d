"""The train engine for one process: AdamW, a learning-rate schedule, gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch.distributed.tensor import DTensor, distribute_tensor

from ..config import OptimizerConfig
from ..model.lora import merged_tensors
from .batching import Batch
from .experience import Experience
from .offload import Offload
from .ranks import ALONE

T = TypeVar("T")
R = TypeVar("R", Batch, Experience)


class LocalEngine:
    """Holds the weights and the optimizer's state. `backward` accumulates gradients, `step` applies them.

    The optimizer moves float32 weights. Where the model's are bfloat16 it keeps copies: 8 bits cannot hold an update
    that is smaller than 1/256 of its weight, which most are.
    """

    ranks = ALONE

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
        self.masters = [w if w.dtype == torch.float32 else w.detach().float() for w in self._weights]
        masters = iter(self.masters)
        self.optimizer = torch.optim.AdamW(
            [{"params": [next(masters) for _ in group["params"]], "rate": group["rate"]} for group in groups],
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            # One pass over each weight, not one for each operation of the formula.
            fused=not any(isinstance(master, DTensor) for master in self.masters),
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

    def run(self, function: Callable[[], T]) -> T:
        """Every forward pass of the model goes through here: what `function` gives."""
        return function()

    def passes(
        self, rows: R, max_tokens: int, whole: bool = False, packed: bool = False
    ) -> Iterator[tuple[R | None, bool]]:
        """The micro-batches of an update or of a look at it, see `Batch.spans`, and whether each is the last; None: an
        idle pass, which only keeps other processes company."""
        own = list(rows.split(max_tokens, whole, packed))
        return ((micro, index == len(own) - 1) for index, micro in enumerate(own))

    def backward(self, loss: torch.Tensor, last: bool = True) -> None:
        """Add to the gradients. `last`: `step` follows."""
        self.weights.require()
        loss.backward()

    def step(self) -> float:
        """Apply the accumulated gradients; returns their norm before clipping. A gradient that is not finite is thrown
        away and its norm returned, so that one bad batch never destroys the weights."""
        self.state.require()
        for weight, master in self._copied():
            master.grad = None if weight.grad is None else weight.grad.float()
        norm = self._clipped()
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

    def _clipped(self) -> torch.Tensor:
        return torch.nn.utils.clip_grad_norm_(self.masters, self.config.max_grad_norm)

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
        return ((w, m) for w, m in zip(self._weights, self.masters, strict=True) if w is not m)

    def skip(self) -> None:
        """An update with nothing to learn from: the schedule advances, the weights stay."""
        self.discard()
        self.steps_taken += 1

    def named_tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The weights as a rollout engine takes them: under their Hugging Face names, an adapter folded in."""
        yield from merged_tensors(self.model)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What the optimizer holds, by number of the weight and name; "master" where it moves a copy of the weight."""
        found: dict[str, torch.Tensor] = {}
        for index, (weight, master) in enumerate(zip(self._weights, self.masters, strict=True)):
            found |= {f"{index}.{name}": value for name, value in self.optimizer.state.get(master, {}).items()}
            if weight is not master:
                found[f"{index}.master"] = master
        return found

    def state_dict(self) -> dict[str, Any]:
        return {"steps_taken": self.steps_taken, "tensors": self.tensors()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what an engine of any kind gave. Weights move only where it held copies of them."""
        self.steps_taken = state["steps_taken"]
        self.optimizer.state.clear()
        for name, tensor in state["tensors"].items():
            index, kind = name.split(".")
            master = self.masters[int(index)]
            if kind == "master":
                assign(master, tensor)
                if self._weights[int(index)] is not master:
                    self._weights[int(index)].copy_(master)
            elif kind == "step":
                self.optimizer.state[master][kind] = tensor.clone()
            else:
                self.optimizer.state[master][kind] = assign(torch.empty_like(master), tensor)


def assign(target: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """Copy whole or sharded values into a tensor that is whole or sharded; returns it."""
    if isinstance(target, DTensor) and not isinstance(given, DTensor):
        # Every process has the whole tensor and takes its own part.
        given = distribute_tensor(given.to(target.device), target.device_mesh, target.placements, src_data_rank=None)
    return target.copy_(given)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that is in shards, gathered; any other as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


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
