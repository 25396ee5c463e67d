"""New tokens alone through the language model: the pass that a sampler makes for every token that it draws.

Around its layers, and around attention in each of them, a model of transformers' looks at masks, caches, pictures and
options, of which such a pass has none. On a small model that takes a fifth of the pass. Here a layer's parts are called
one after another, in the order in which that model calls them, and to the same numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from .forward import has_mrope, hidden_states, placement_of
from .layout import Layout
from .rotations import Rotations

# Language models that do no more than embed, run layers of attention and a gated feed-forward part, each behind a norm,
# and norm; others scale something, or mix layers.
PLAIN = {"Qwen2VLTextModel", "Qwen2_5_VLTextModel", "Qwen3VLTextModel", "LlamaModel", "Qwen2Model", "Qwen3Model"}


def next_states(
    model: PreTrainedModel,
    token_ids: Int[Tensor, " rows"],
    positions: Int[Tensor, " rows"],
    layout: Layout,
    rotations: Rotations,
) -> Float[Tensor, "rows channels"]:
    """Last hidden states of one new text token a row.

    Args:
        model: One that `layout.takes_layouts`.
        token_ids: None of them a picture's.
        positions: Where they stand, on all axes alike.
        layout: Says what each token sees.
        rotations: Those of these rows, which is told when rows join or leave.
    """
    language: Any = model.base_model.language_model
    # Weights in shards are whole only inside of the model's own forward.
    if type(language).__name__ not in PLAIN or placement_of(model) is not None:
        position_ids = positions[None, :, None].expand(3, -1, 1)
        return hidden_states(model, token_ids[:, None], None, position_ids, [], layout=layout)[:, 0]
    states = language.embed_tokens(token_ids)
    around = rotations.next(language.rotary_emb, states, positions, 3 if has_mrope(model) else 0)
    for place, layer in enumerate(language.layers):
        states = states + _attended(layer.self_attn, place, layer.input_layernorm(states), around, layout)
        states = states + _fed_forward(layer.mlp, layer.post_attention_layernorm(states))
    return language.norm(states)


def _attended(attention: Any, layer: int, states: Tensor, around: tuple[Tensor, ...], layout: Layout) -> Tensor:
    """(rows, channels) to the same: a layer's attention. `around`: cosines and sines of the rows' rotations."""
    rows, channels = len(states), attention.head_dim
    query = attention.q_proj(states).view(rows, -1, channels)
    key = attention.k_proj(states).view(rows, -1, channels)
    value = attention.v_proj(states).view(rows, -1, 1, channels)
    if hasattr(attention, "q_norm"):  # Qwen3
        query, key = attention.q_norm(query), attention.k_norm(key)
    cosines, sines = around
    heads, both = query.shape[1], torch.cat((query, key), 1)  # one rotation for both
    first, second = both.chunk(2, -1)
    turned = both * cosines + torch.cat((-second, first), -1) * sines
    found = layout.attend(layer, turned[:, :heads, None], turned[:, heads:, None], value, attention.scaling)
    return attention.o_proj(found.reshape(rows, -1))


def _fed_forward(part: Any, states: Tensor) -> Tensor:
    return part.down_proj(part.act_fn(part.gate_proj(states)) * part.up_proj(states))
