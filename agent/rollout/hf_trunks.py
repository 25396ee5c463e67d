"""Distinct prompts: run once, kept once, whatever the number of rows that continue them.

A *trunk* is a prompt's keys and values. All prompts of a poll are run as one row of tokens without padding, in which
each sees itself only. Trunks that rows continue lie in a *stack*, so that one product reaches them all.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel

from ..model.forward import device_of, hidden_states, next_token_logits
from ..model.processor import ProcessedImage

# Trunks of one stack are padded to the longest of them, which may be so many times as long as the shortest.
SPREAD = 1.5


@dataclass(eq=False)
class Trunk:
    """A prompt that has been run.

    Attributes:
        keys: One a layer, (key_heads, length, channels); a view of a stack as long as the trunk lies in one.
        values: The same.
        logits: (vocabulary,), of the token after it.
        next_position: Where that stands.
    """

    keys: list[Tensor]
    values: list[Tensor]
    logits: Tensor
    next_position: int

    @property
    def length(self) -> int:
        return self.keys[0].shape[1]

    def detached(self) -> Trunk:
        """The same memory without the graph that made it."""
        keys, values = ([each.detach() for each in tensors] for tensors in (self.keys, self.values))
        return Trunk(keys, values, self.logits.detach(), self.next_position)

    def leave_stack(self) -> None:
        """Have memory of its own."""
        self.keys, self.values = ([each.clone() for each in tensors] for tensors in (self.keys, self.values))

    def tensors(self) -> list[Tensor]:
        return [*self.keys, *self.values, self.logits]


def run_prompts(
    model: PreTrainedModel,
    input_ids: Int[Tensor, " tokens"],
    position_ids: Int[Tensor, "3 tokens"],
    lengths: Sequence[int],
    images: Sequence[ProcessedImage],
) -> list[Trunk]:
    """Run prompts that lie one after the other, in one pass; gradients flow if they are enabled.

    Args:
        model: One that `layout.takes_layouts`.
        input_ids: Expanded tokens of all prompts.
        position_ids: M-RoPE positions, from 0 in each prompt.
        lengths: How many tokens each has.
        images: One for each run of placeholders, in order.
    """
    device = device_of(model)
    ends = list(accumulate(lengths))
    packed = Packed(lengths)
    hidden = hidden_states(
        model, input_ids[None].to(device), None, position_ids[:, None].to(device), images, layout=packed
    )
    logits = next_token_logits(model, hidden[0, torch.tensor(ends, device=device) - 1])
    return [
        Trunk(
            [keys[0, :, start:end] for keys in packed.keys],
            [values[0, :, start:end] for values in packed.values],
            logits[place],
            int(position_ids[:, start:end].max()) + 1,
        )
        for place, (start, end) in enumerate(pairwise([0, *ends]))
    ]


class Packed:
    """A layout: sequences that lie one after the other in one row, each token sees what is before it in its own. Keys
    and values are kept, one a layer."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = list(lengths)
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        if layer == len(self.keys):  # not where checkpointing computes a layer anew
            self.keys.append(key)
            self.values.append(value)
        groups = query.shape[1] // key.shape[1]
        if groups > 1:
            key, value = (each.repeat_interleave(groups, 1) for each in (key, value))
        parts = zip(*(each.split(self.lengths, 2) for each in (query, key, value)), strict=True)
        found = [scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale) for q, k, v in parts]
        return (found[0] if len(found) == 1 else torch.cat(found, 2)).transpose(1, 2)


@dataclass(eq=False)
class Stack:
    """Trunks side by side, padded behind to the longest.

    Attributes:
        keys: One a layer, (trunks, key_heads, width, channels).
        values: The same.
        bias: (trunks, 1, 1, width), 0 or -inf at padding; None without any.
        trunks: Those whose memory this is, as long as they live.
    """

    keys: list[Tensor]
    values: list[Tensor]
    bias: Tensor | None
    trunks: list[weakref.ref[Trunk]] = field(default_factory=list)

    @property
    def columns(self) -> int:
        return self.keys[0].shape[0] * self.keys[0].shape[2]


def stacks_of(trunks: Sequence[Trunk]) -> list[Stack]:
    """Put trunks into stacks, those of like lengths together; they move there."""
    ordered = sorted(trunks, key=lambda trunk: trunk.length)
    lots: list[list[Trunk]] = []
    for trunk in ordered:
        if lots and trunk.length <= SPREAD * lots[-1][0].length:
            lots[-1].append(trunk)
        else:
            lots.append([trunk])
    return [_stack(lot) for lot in lots]


def _stack(trunks: list[Trunk]) -> Stack:
    lengths = [trunk.length for trunk in trunks]
    width = max(lengths)
    bias = None
    if min(lengths) < width:
        bias = trunks[0].keys[0].new_zeros((len(trunks), 1, 1, width), dtype=torch.float32)
        for place, length in enumerate(lengths):
            bias[place, ..., length:] = -torch.inf
        bias = bias.to(trunks[0].keys[0].dtype)
    stack = Stack([], [], bias, [weakref.ref(trunk) for trunk in trunks])
    for layer in range(len(trunks[0].keys)):
        stack.keys.append(_padded([trunk.keys for trunk in trunks], layer, width))
        stack.values.append(_padded([trunk.values for trunk in trunks], layer, width))
    return stack


def _padded(owners: list[list[Tensor]], layer: int, width: int) -> Tensor:
    """Move one layer of all trunks into one tensor, layer by layer so that little is held twice."""
    heads, _, channels = owners[0][layer].shape
    joined = owners[0][layer].new_zeros((len(owners), heads, width, channels))
    for place, tensors in enumerate(owners):
        length = tensors[layer].shape[1]
        joined[place, :, :length] = tensors[layer]
        tensors[layer] = joined[place, :, :length]
    return joined


def storage_bytes(tensors: Sequence[Any]) -> int:
    """Of the memory behind tensors, counted once where several are views of it."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())
