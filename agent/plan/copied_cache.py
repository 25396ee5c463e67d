"""A sampler whose rows have a copy of their prompt's cache each (`rollout.hf_copied`)."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache

from ..config import Config
from ..model.forward import has_mrope
from .blocks import Shape, chain
from .drawing import apart, drawing, empty, prompts_of, rows_of, vocabulary
from .live import FusedAttention, LiveBytes
from .packed import cache_bytes, cached
from .skeleton import Skeleton
from .timeline import most


def copied_moments(config: Config, skeleton: Skeleton, patches: tuple[int, ...]) -> list[dict[str, int]]:
    """Bytes by owner: prompts at once, or all rows with their caches and the logits of one token each."""
    return [_prefill(config, skeleton, patches), *_decode(config, skeleton)]


def _prefill(config: Config, skeleton: Skeleton, patches: tuple[int, ...]) -> dict[str, int]:
    """All distinct prompts that may be open, in one forward pass; where nothing is shared, each row's."""
    sizes = config.rollout
    prompts = rows_of(config) if config.engine.sharing == "none" else prompts_of(config)
    tokens = max(1, sizes.max_row_tokens - sizes.max_turn_tokens)
    with torch.no_grad():
        blocks = chain(skeleton, Shape(prompts, tokens, 0, patches * prompts, padded=prompts > 1), None)
    return apart(most(blocks, {"key-value cache": cache_bytes(skeleton, prompts * tokens)}, backward=False))


def _decode(config: Config, skeleton: Skeleton) -> list[dict[str, int]]:
    """Every row at its longest: a token is drawn, and then run."""
    rows, tokens = rows_of(config), config.rollout.max_row_tokens
    cache, logits = cache_bytes(skeleton, rows * tokens), rows * vocabulary(skeleton) * skeleton.model.dtype.itemsize
    moments = [
        {"key-value cache": cache, "logits": drawing(config, skeleton, rows)},
        {"key-value cache": cache + _one_token(skeleton, rows, tokens), "logits": logits},
    ]
    if config.rollout.max_turns > 1:
        # The caches of finished turns are put together anew, beside the old ones, when the next turn begins.
        moments.append({"key-value cache": 2 * cache})
    return moments


def _one_token(skeleton: Skeleton, rows: int, tokens: int) -> int:
    """The most that one layer needs while it appends a token: its keys and values are copied to a longer tensor."""
    model: Any = skeleton.model
    text, dtype = model.model.language_model, model.dtype
    heads, channels = cached(skeleton)
    states = empty(rows, 1, model.config.get_text_config().hidden_size, dtype=dtype)
    turned = text.rotary_emb(states, empty(3, rows, 1) if has_mrope(skeleton.model) else empty(rows, 1))
    mask = empty(rows, 1, 1, tokens, dtype=torch.bool)
    text.eval()  # gradient checkpointing, which is for training, would do without the cache
    with torch.no_grad(), FusedAttention(), LiveBytes() as live:
        cache = DynamicCache()
        past = (rows, heads, tokens - 1, channels)
        cache.update(empty(*past, dtype=dtype), empty(*past, dtype=dtype), 0)
        before = live.peak = live.now
        text.layers[0](states, attention_mask=mask, past_key_values=cache, use_cache=True, position_embeddings=turned)
    text.train()
    return live.peak - before
