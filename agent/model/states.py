"""The forward pass of a training batch, with what its rows share computed once: the cheapest way that is exact.

Three ways lead to the same states, up to rounding, and to the same gradients:

    tree     one packed row without padding; what rows share is in it once (`tree`): on a CPU by parts that have fused
             kernels (`tree_attention`), on a GPU by FlexAttention where it works (`flex_tree`)
    prefix   prompts first, then what follows them on top of their repeated keys and values (`prefix_cache`)
    none     whole rows, padded to the longest; asked for by name, every row encodes its own pictures, too

Which of them a model allows is a matter of its layers (`layout.why_not`), of the device (`flex_tree.why_not`), of how
it is spread over processes, and of gradient checkpointing; among those the one is taken that multiplies least (`work`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from ..engine.batching import Batch
from . import flex_tree
from .forward import device_of, hidden_states, placement_of
from .kept_prompts import KeptPrompts
from .last_layer import narrows
from .layout import takes_layouts, why_not
from .prefix_cache import prefix_states
from .tree import pack
from .work import layer_work, padded_work, prefix_work

Sharing = Literal["auto", "tree", "prefix", "none"]


@dataclass(frozen=True, eq=False)
class States:
    """Last hidden states of a batch's rows.

    Valid where an action is chosen, and at the last token of each row: nobody asks for others. `flat`: (states,
    channels); `index`: which of them belongs to a row's token. Rows that share a token share its state, whose gradient
    is the sum of theirs.
    """

    flat: Float[Tensor, "states channels"]
    index: Int[Tensor, "rows tokens"]

    def at(self, mask: Bool[Tensor, "rows tokens"]) -> Float[Tensor, "positions channels"]:
        """Of the tokens that a mask marks, in reading order."""
        return self.flat[self.index[mask]]

    def last(self, lengths: Int[Tensor, " rows"]) -> Float[Tensor, "rows channels"]:
        """Of each row's last token."""
        return self.flat[self.index.gather(1, lengths[:, None] - 1)[:, 0]]

    def detach(self) -> States:
        return replace(self, flat=self.flat.detach())


def share(model: PreTrainedModel, sharing: Sharing) -> None:
    """From now on batches go through this model in one way, where it allows it; "auto": in the cheapest."""
    model.rllava_sharing = sharing  # type: ignore[assignment]


def sharing_of(model: PreTrainedModel) -> Sharing:
    """What `share` was told, "auto" at first."""
    return getattr(model, "rllava_sharing", "auto")


def ways(model: PreTrainedModel) -> tuple[Sharing, ...]:
    """The ways that are open to a model, besides whole rows."""
    asked = sharing_of(model)
    found: list[Sharing] = []
    if asked in ("auto", "tree") and not reason(model) and takes_layouts(model):
        found.append("tree")
    # Processes that share a model must go through its modules equally often, and with checkpointing there is no cache.
    alone = placement_of(model) is None and not getattr(model, "is_gradient_checkpointing", False)
    if asked in ("auto", "prefix") and alone:
        found.append("prefix")
    return tuple(found)


def packs(model: PreTrainedModel) -> bool:
    """Whether batches of this model are computed without padding, so that a budget of tokens counts distinct ones."""
    return "tree" in ways(model)


def keepable(model: PreTrainedModel) -> bool:
    """Whether a pass of the sampler's over a prompt is that of the update: both without padding and without chance."""
    if getattr(model, "is_gradient_checkpointing", False) or not packs(model):
        return False
    return not any(_drops(module) for module in model.modules())


def _drops(module: torch.nn.Module) -> bool:
    """Whether a module leaves things out by chance while it trains."""
    names = ("p",) if isinstance(module, torch.nn.Dropout) else ("dropout", "attention_dropout")
    shares = (getattr(module, name, 0.0) for name in names)
    return any(isinstance(share, float) and share > 0 for share in shares)


def reason(model: PreTrainedModel) -> str:
    """Why what rows share is not computed in one packed row, "" if it is or nobody asked for it."""
    asked = sharing_of(model)
    why = why_not(model) if asked in ("auto", "tree") else ""
    # A CPU has kernels that scores do not pass through memory for. Elsewhere, without a compiled one, they are plain
    # products, which are there for whoever asks for them by name.
    if asked == "auto" and not why and device_of(model).type != "cpu":
        why = flex_tree.why_not(model)
    return why


def batch_states(model: PreTrainedModel, batch: Batch, kept: KeptPrompts | None = None) -> States:
    """Last hidden states of a batch's rows, at least one. kept: Prompts that were run with these weights already, which
    a packed row begins from."""
    open_ways, device = ways(model), device_of(model)
    if "tree" in open_ways:  # it multiplies no more than any other way
        outer = None if kept is None else kept.outer(batch.prompts())
        packed = pack(batch, model.config.image_token_id, device, outer, flex_tree.attention_of(model), narrows(model))
        flat = hidden_states(model, packed.input_ids, None, packed.position_ids, packed.images, layout=packed)[0]
        return States(flat if outer is None else torch.cat([outer.states, flat]), packed.index)
    work, asked = layer_work(model), sharing_of(model) == "prefix"
    if "prefix" in open_ways and (asked or prefix_work(work, batch) < padded_work(work, batch)):
        hidden = prefix_states(model, batch)
    else:
        inputs = (each.to(device) for each in (batch.input_ids, batch.attention_mask, batch.position_ids))
        hidden = hidden_states(model, *inputs, batch.images, once=sharing_of(model) != "none")
    index = torch.arange(batch.input_ids.numel(), device=device).view(batch.input_ids.shape)
    return States(hidden.flatten(0, 1), index)
