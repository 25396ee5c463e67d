"""What a piece of a model needs in memory, found by running it on tensors that have shapes and no numbers.

On torch's meta device every operation says what it would make, and autograd keeps what it would keep. Counting the
bytes of what is alive gives the memory of the very code that will run, whatever its family, in milliseconds.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")


class LiveBytes(TorchDispatchMode):
    """Inside, bytes of the tensors made here that are alive: `now`, and `peak` since it was last set."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in tree_leaves((args, kwargs)):
            self._see(tensor, made=False)  # a view of it is nothing new
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            self._see(tensor, made=True)
        self.peak = max(self.peak, self.now)
        return out

    def _see(self, tensor: object, made: bool) -> None:
        if not isinstance(tensor, Tensor):
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes() if made else 0
        self.now += size
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class _Attention(torch.autograd.Function):
    """Keeps what a fused kernel keeps: its inputs, its output and one number a query and head."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, mask, out, torch.empty(query.shape[:-1], device=query.device))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *_ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), None


class FusedAttention(TorchFunctionMode):
    """Inside, attention needs what the fused kernels of CPU and GPU need. The meta device has none and would make the
    matrix of all pairs."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is not nn.functional.scaled_dot_product_attention:
            return function(*args, **kwargs)
        mask = kwargs.get("attn_mask")
        if mask is not None and mask.dtype == torch.bool:
            mask = torch.where(mask, 0.0, torch.zeros((), dtype=args[0].dtype, device=mask.device))
        return _Attention.apply(*args[:3], mask)


@dataclass(frozen=True)
class Footprint:
    """Bytes of a block beyond what was there before it.

    Attributes:
        forward: The most during its forward pass.
        kept: What stays for its backward pass, with its output.
        backward: The most during its backward pass, what was kept and the gradient of its output among it.
        gradients: Of its weights, left there afterwards; 0 where they are added to those that were there before.
    """

    forward: int
    kept: int = 0
    backward: int = 0
    gradients: int = 0


def footprint(
    block: Callable[..., Tensor], *inputs: Tensor, weights: Iterable[Tensor] = (), accumulated: bool = True
) -> Footprint:
    """Of a forward and, if anything in it needs a gradient, a backward pass.

    Args:
        block: From tensors to one tensor, all on the meta device.
        inputs: Not counted; those of them that need a gradient get one.
        weights: Whose gradients are looked at.
        accumulated: They have gradients already, which is so from the second micro-batch on.
    """
    trained = [weight for weight in weights if weight.requires_grad]
    for weight in trained:
        weight.grad = torch.empty_like(weight) if accumulated else None
    try:
        with FusedAttention(), LiveBytes() as live:
            out = block(*inputs)
            forward, kept = live.peak, live.now
            if not out.requires_grad:
                return Footprint(forward, kept)
            live.peak = live.now
            gradient = torch.empty_like(out)
            # Only the graph holds the output now, as in a model, where the next block has it.
            edge = torch.autograd.graph.get_gradient_edge(out)
            del out
            torch.autograd.backward(edge, gradient)
            left = 0 if accumulated else sum(weight.grad.nbytes for weight in trained if weight.grad is not None)
            return Footprint(forward, kept, live.peak, left)
    finally:
        for tensor in (*trained, *inputs):
            tensor.grad = None
