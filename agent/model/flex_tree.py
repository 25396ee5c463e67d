"""Attention over a packed row by FlexAttention: what `tree_attention` computes, in one kernel that a GPU compiles.

The parts of `tree_attention` are each a call, and without a fused kernel that tells its sum their scores pass through
memory. FlexAttention is told in blocks what is seen (`tree_blocks`), and multiplies no other. It needs a compiler, and
heads that its kernels can take; so it is tried once, before anything depends on it (`why_not`). The compiled kernel has
been neither run nor timed on a GPU by us: tested are its reference, in both directions, and its blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import isclose
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from transformers import PreTrainedModel

from .forward import device_of, dtype_of
from .tree_attention import Above, Sight, sight, tree_attention

# More programs than one process can need: with gradients of queries, of keys, of both or without, for rows that are
# short or long, with outer keys or without, for two or three models. At PyTorch's own limit, 8, a run would end.
PROGRAMS = 64
# How far the kernel may be off where it is tried, in units of the largest entry: rounding of half precision is below a
# tenth of it, and what a block too many or too few does is above.
OFF = 0.05


def flex_tree_attention(query: Tensor, key: Tensor, value: Tensor, seen: Sight, scale: float) -> Tensor:
    """See `tree_attention`, whose arguments and result these are."""
    usual = query.shape[-1] ** -0.5
    if not isclose(scale, usual):  # a number that is handed over would be taken for one that changes
        query = query * (scale / usual)
    for each in (query, key, value):  # heads and channels are no lengths, even where as many blocks are in the row
        torch._dynamo.mark_static(each, [1, 3])
    with torch._dynamo.config.patch(recompile_limit=PROGRAMS):
        return kernel()(query, key, value, seen.blocks)


@cache
def kernel() -> Callable[[Tensor, Tensor, Tensor, BlockMask], Tensor]:
    """Compiled once for rows of any length."""
    return torch.compile(_compiled, dynamic=True, fullgraph=True)


def _compiled(query: Tensor, key: Tensor, value: Tensor, blocks: BlockMask) -> Tensor:
    if not torch.compiler.is_compiling():  # by itself it would hold tokens x tokens scores
        raise RuntimeError("torch.compile is turned off")
    # One kernel for rows short and long: few queries would get another one, which is made for sampling.
    options: Any = {"FORCE_USE_FLEX_ATTENTION": True}
    return flex_attention(query, key, value, block_mask=blocks, enable_gqa=True, kernel_options=options)


def attention_of(model: PreTrainedModel) -> Callable[..., Tensor]:
    """How a packed row of this model is computed where it is: this way on a GPU that can, by `tree_attention`
    elsewhere."""
    return flex_tree_attention if not why_not(model) else tree_attention


def why_not(model: PreTrainedModel) -> str:
    """Why this model's packed rows cannot be computed by FlexAttention where it is, "" if they can."""
    device = device_of(model)
    if device.type != "cuda":
        return f"FlexAttention has no kernel for gradients on this device ({device.type})"
    text: Any = model.config.get_text_config()
    heads = text.num_attention_heads
    key_heads = getattr(text, "num_key_value_heads", None) or heads
    channels = getattr(text, "head_dim", None) or text.hidden_size // heads
    return tried(device, dtype_of(model), heads, key_heads, channels)


@cache
def tried(device: torch.device, dtype: torch.dtype, heads: int, key_heads: int, channels: int) -> str:
    """What is wrong with the kernel for tensors like these, "" if nothing is: small trees in both directions, against
    `tree_attention`. Once a process, since to compile takes a while; what was compiled serves the updates too."""
    trees = (
        sight([(0, 150), (150, 290), (290, 310), (310, 400)], [Above((150, 310), (0, 150))], 0, device),
        # Keys of another pass, which the last layer has, are another program.
        sight([(0, 1), (1, 141), (141, 250)], [Above((0, 1), (0, 149)), Above((1, 141), (0, 150))], 150, device),
    )
    generator = torch.Generator().manual_seed(0)  # its own: what a run draws stays what it was
    for seen in trees:
        tokens = seen.pieces[-1][1]
        inputs = [
            # As layers hand them over: all of a token together.
            torch.randn((1, length, count, channels), generator=generator).to(device, dtype).transpose(1, 2)
            for length, count in (
                (tokens, heads),
                (seen.outer + tokens, key_heads),
                (seen.outer + tokens, key_heads),
                (tokens, heads),
            )
        ]
        try:
            found = _both_ways(flex_tree_attention, inputs, seen)
            expected = _both_ways(tree_attention, [each.float() for each in inputs], seen)
        # Whatever it is, it is no reason to end the run: there are other ways.
        except Exception as error:
            return f"FlexAttention does not work on this device: {_said(error)}"
        for one, other in zip(found, expected, strict=True):
            off = float((one.float() - other).abs().max() / other.abs().max())
            if not off <= OFF:
                return f"FlexAttention is wrong on this device, by {off:.0%} where {OFF:.0%} are allowed"
    return ""


def _said(error: BaseException) -> str:
    """One line of what an error began with: compilers wrap it, and advise at length."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _both_ways(attention: Callable[..., Tensor], inputs: list[Tensor], seen: Sight) -> list[Tensor]:
    """What comes out, and the gradients of queries, keys and values."""
    *given, upward = (each.detach() for each in inputs)
    with torch.enable_grad():
        leaves = [each.requires_grad_() for each in given]
        found = attention(*leaves, seen, leaves[0].shape[-1] ** -0.5)
        return [found.detach(), *torch.autograd.grad(found, leaves, upward)]
