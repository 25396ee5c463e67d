"""Counted operations of a batch's pass through a language model: what each way of sharing multiplies.

Multiplications of a forward pass: every token meets every weight of the layers' matrices once, and every pair of a
token and one that it sees costs a product of a query with a key and one of a chance with a value. Norms, activations
and the head are the same whichever way is taken, as is the vision tower: each picture goes through it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from ..engine.batching import Batch


@dataclass(frozen=True)
class Work:
    """Multiplications of all layers for a token, and for a pair of tokens of which one sees the other."""

    token: int
    pair: int

    def of(self, tokens: float, pairs: float) -> float:
        return self.token * tokens + self.pair * pairs


def layer_work(model: PreTrainedModel) -> Work:
    """Of a model's language part, as its config describes it."""
    text: Any = model.config.get_text_config()
    heads = text.num_attention_heads
    channels = getattr(text, "head_dim", None) or text.hidden_size // heads
    attention = text.hidden_size * channels * 2 * (heads + (text.num_key_value_heads or heads))
    feed_forward = 3 * text.hidden_size * text.intermediate_size
    layers = text.num_hidden_layers
    return Work(layers * (attention + feed_forward), layers * 2 * heads * channels)


def padded_work(work: Work, batch: Batch) -> float:
    """Whole rows, padded to the longest; half of the pairs of each are seen."""
    rows, width = batch.input_ids.shape
    return work.of(rows * width, rows * width * (width + 1) / 2)


def prefix_work(work: Work, batch: Batch) -> float:
    """Distinct prompts, padded to the longest, and what follows them, padded to the longest."""
    lengths, prompts, distinct = batch.attention_mask.sum(1), batch.prompt_length, len(set(batch.prompts()))
    longest, rest = int(prompts.max()), int((lengths - prompts).max())
    below = len(batch) * rest
    pairs = distinct * longest * (longest + 1) / 2 + below * (longest + (rest + 1) / 2)
    return work.of(distinct * longest + below, pairs)
