"""New tokens alone through the language model: the pass that a sampler makes for every token that it draws.

Around its layers a model of transformers' looks at masks, caches, pictures and options, of which such a pass has none.
On a small model that takes a tenth of the pass. Here its layers are called one after another, as that model calls them.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from .forward import has_mrope, hidden_states, placement_of
from .layout import Layout, no_mask

# Language models that do no more than embed, run their layers and norm; others scale something, or mix layers.
PLAIN = {"Qwen2VLTextModel", "Qwen2_5_VLTextModel", "Qwen3VLTextModel", "LlamaModel", "Qwen2Model", "Qwen3Model"}


def next_states(
    model: PreTrainedModel, token_ids: Int[Tensor, " rows"], positions: Int[Tensor, " rows"], layout: Layout
) -> Float[Tensor, "rows channels"]:
    """Last hidden states of one new text token a row.

    Args:
        model: One that `layout.takes_layouts`.
        token_ids: None of them a picture's.
        positions: Where they stand, on all axes alike.
        layout: Says what each token sees.
    """
    language: Any = model.base_model.language_model
    position_ids = positions[None, :, None].expand(3, -1, 1)
    # Weights in shards are whole only inside of the model's own forward.
    if type(language).__name__ not in PLAIN or placement_of(model) is not None:
        return hidden_states(model, token_ids[:, None], None, position_ids, [], layout=layout)[:, 0]
    states = language.embed_tokens(token_ids[:, None])
    around = language.rotary_emb(states, position_ids if has_mrope(model) else position_ids[0])
    mask = no_mask(states.device)
    for layer in language.layers:
        states = layer(states, attention_mask=mask, position_embeddings=around, layout=layout)
    return language.norm(states)[:, 0]
