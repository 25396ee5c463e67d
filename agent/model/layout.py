"""Attention that knows how tokens of several rows lie beside each other: one hook for packed training and for sampling.

Transformers' models look their attention up by name. The name `NAME` stands for the plain one (`sdpa`) until a forward
pass brings a *layout*: an object that is told the queries, keys and values of each layer and says what every token
sees. So one packed row may hold a prompt once and all answers to it (`tree`), and a sampler may keep the keys of a
prompt once for a whole group (`rollout.hf_shared`), in every family whose layers attend to everything before them.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "rllava_layout"
FULL = "full_attention"


class Layout(Protocol):
    """What a forward pass may bring, as the keyword argument `layout` of `forward.hidden_states`."""

    def attend(
        self,
        layer: int,
        query: Float[Tensor, "batch heads tokens channels"],
        key: Float[Tensor, "batch key_heads tokens channels"],
        value: Float[Tensor, "batch key_heads tokens channels"],
        scale: float,
    ) -> Float[Tensor, "batch tokens heads channels"]:
        """What every token takes from those that it sees. Heads of queries share heads of keys in equal groups, in
        order; scores are multiplied by `scale`. Called once a layer, in order, and again where the backward pass
        computes a layer anew (gradient checkpointing)."""
        ...


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    layout: Layout | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Transformers' contract of an attention function; without a layout it is `sdpa`."""
    if layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return layout.attend(module.layer_idx, query, key, value, scale), None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def why_not(model: PreTrainedModel) -> str:
    """Why a model cannot be given a layout, "" if it can."""
    text: Any = model.config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or [FULL])
    if kinds != {FULL}:
        return f"its layers are of kind {', '.join(sorted(kinds - {FULL}))}, and not all see every token before them"
    if getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True):
        return f"its layers see {text.sliding_window} tokens back and no further"
    if getattr(text, "attention_dropout", 0.0):
        return f"its attention drops {text.attention_dropout:.0%} of what it sees while it trains"
    if text._attn_implementation not in ("sdpa", NAME):
        return f"its attention is {text._attn_implementation}, and not sdpa"
    return ""


def takes_layouts(model: PreTrainedModel) -> bool:
    """Let the model's language part be given layouts, if it can; plain passes stay what they are, bit for bit."""
    if why_not(model):
        return False
    text: Any = model.config.get_text_config()
    if text._attn_implementation != NAME:
        text._attn_implementation = NAME
    return True


def no_mask(device: torch.device) -> Tensor:
    """What the model is given for a mask with a layout: a mask of four dimensions is passed on as it is, so that none
    of tokens x tokens is built."""
    return torch.ones((1, 1, 1, 1), dtype=torch.bool, device=device)
