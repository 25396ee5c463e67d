"""Distinct prompts: run once, kept once, whatever the number of rows that continue them.

A *trunk* is a prompt's keys and values. All prompts of a poll are run as one row of tokens without padding, in which
each sees itself only. Trunks that rows continue lie in a *stack*, so that one product reaches them all.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..model.forward import next_token_logits
from ..model.kept_prompts import KeptPrompts, sheaves
from ..model.prompt_pass import PromptStates, PromptTokens, prompt_states

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

    def leave_stack(self) -> None:
        """Have memory of its own."""
        self.keys, self.values = ([each.clone() for each in tensors] for tensors in (self.keys, self.values))

    def tensors(self) -> list[Tensor]:
        return [*self.keys, *self.values, self.logits]


def trunks_of(
    model: PreTrainedModel, prompts: Sequence[PromptTokens], keeping: KeptPrompts | None = None
) -> list[Trunk]:
    """Run prompts, at least one, through a model that `layout.takes_layouts`.

    keeping: What takes the passes with their graphs, as many as it has room for.
    """
    if keeping is None:
        return _trunks(model, prompts, prompt_states(model, prompts))
    found = []
    for sheaf in sheaves(prompts):
        with torch.inference_mode(False), torch.enable_grad():
            run = keeping.run(model, sheaf)
        found += _trunks(model, sheaf, prompt_states(model, sheaf) if run is None else run)
    return found


def _trunks(model: PreTrainedModel, prompts: Sequence[PromptTokens], run: PromptStates) -> list[Trunk]:
    logits = next_token_logits(model, run.states.detach())
    return [
        Trunk(
            [keys[0, :, start:stop].detach() for keys in run.keys],
            [values[0, :, start:stop].detach() for values in run.values],
            logits[place].detach(),
            int(prompt.position_ids.max()) + 1,
        )
        for place, (prompt, (start, stop)) in enumerate(zip(prompts, run.ranges, strict=True))
    ]


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
