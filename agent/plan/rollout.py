"""What the sampler needs: prompts at once, or all rows with their caches and the logits of one token each."""

from __future__ import annotations

from math import ceil
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from ..config import Config
from ..errors import ConfigError
from ..model.forward import has_mrope
from ..rollout.distribution import token_logprobs
from ..rollout.vllm_start import GIB
from .blocks import Shape, chain
from .live import META, FusedAttention, LiveBytes
from .skeleton import Skeleton
from .timeline import most

CPU_CACHE = GIB  # of vLLM where there is no device's share to take


def rollout_bytes(
    config: Config, skeleton: Skeleton, patches: tuple[int, ...], accelerator: bool, device_memory: int | None
) -> list[dict[str, int]]:
    """Bytes by owner of each moment of a rollout that may be its peak, beside what the trainer keeps on the device."""
    if config.engine.rollout == "vllm":
        return [_vllm(config, skeleton, accelerator, device_memory)]
    if config.engine.rollout == "remote":
        return [{}]
    own = {} if config.engine.shared else {"sampler weights": skeleton.weight_bytes}
    return [own | moment for moment in (_prefill(config, skeleton, patches), *_decode(config, skeleton))]


def cache_bytes(skeleton: Skeleton, rows: int, tokens: int) -> int:
    """Keys and values of every layer."""
    heads, channels = _cached(skeleton)
    layers = len(skeleton.model.model.language_model.layers)
    return rows * tokens * layers * heads * channels * 2 * skeleton.model.dtype.itemsize


def _vllm(config: Config, skeleton: Skeleton, accelerator: bool, device_memory: int | None) -> dict[str, int]:
    options, weights = config.engine.vllm, skeleton.weight_bytes
    cache = int(options.cache_gib * GIB)
    if not cache and accelerator:
        if device_memory is None:
            raise ConfigError(
                "engine.vllm.memory is a share of a device whose memory is not known: give --device-memory, such as "
                "24GiB, or a size of the cache: --engine.vllm.cache_gib 4"
            )
        cache = int(options.memory * device_memory) - weights
        if cache <= 0:
            raise ConfigError(
                f"engine.vllm.memory: {options.memory} of {device_memory / GIB:.1f} GiB does not hold vLLM's "
                f"weights, {weights / GIB:.1f} GiB, with a cache beside them; give it more"
            )
    return {"sampler weights": weights, "key-value cache": cache or CPU_CACHE}


def _rows(config: Config) -> int:
    sizes = config.rollout
    return min(sizes.concurrency, sizes.prompts_per_step * sizes.group_size)


def _prefill(config: Config, skeleton: Skeleton, patches: tuple[int, ...]) -> dict[str, int]:
    """All distinct prompts that may be open, in one forward pass."""
    sizes = config.rollout
    prompts = ceil(_rows(config) / sizes.group_size)
    tokens = max(1, sizes.max_row_tokens - sizes.max_turn_tokens)
    with torch.no_grad():
        blocks = chain(skeleton, Shape(prompts, tokens, 0, patches * prompts, padded=prompts > 1), None)
    needed = most(blocks, {"key-value cache": cache_bytes(skeleton, prompts, tokens)}, backward=False)
    return _renamed(needed)


def _renamed(needed: dict[str, int]) -> dict[str, int]:
    cache = needed.pop("key-value cache", 0)
    return {"key-value cache": cache, "prompts": sum(needed.values())}


def _decode(config: Config, skeleton: Skeleton) -> list[dict[str, int]]:
    """Every row at its longest: a token is drawn, and then run."""
    rows, tokens = _rows(config), config.rollout.max_row_tokens
    cache, logits = cache_bytes(skeleton, rows, tokens), rows * _vocabulary(skeleton) * skeleton.model.dtype.itemsize
    moments = [
        {"key-value cache": cache, "logits": _drawing(config, skeleton, rows)},
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
    heads, channels = _cached(skeleton)
    states = _empty(rows, 1, model.config.get_text_config().hidden_size, dtype=dtype)
    turned = text.rotary_emb(states, _empty(3, rows, 1) if has_mrope(skeleton.model) else _empty(rows, 1))
    mask = _empty(rows, 1, 1, tokens, dtype=torch.bool)
    text.eval()  # gradient checkpointing, which is for training, would do without the cache
    with torch.no_grad(), FusedAttention(), LiveBytes() as live:
        cache = DynamicCache()
        past = (rows, heads, tokens - 1, channels)
        cache.update(_empty(*past, dtype=dtype), _empty(*past, dtype=dtype), 0)
        before = live.peak = live.now
        text.layers[0](states, attention_mask=mask, past_key_values=cache, use_cache=True, position_embeddings=turned)
    text.train()
    return live.peak - before


def _drawing(config: Config, skeleton: Skeleton, rows: int) -> int:
    """Logits of one token a row, and the cumulative probabilities in float64 that it is drawn by."""
    with torch.no_grad(), LiveBytes() as live:
        logits = _empty(rows, _vocabulary(skeleton), dtype=skeleton.model.dtype)
        logprobs = token_logprobs(logits[_empty(rows)], config.rollout.temperature, (0,))
        probabilities = logprobs.exp().cumsum(dim=-1, dtype=torch.float64)
        probabilities / probabilities[:, -1:]
    return live.peak


def _vocabulary(skeleton: Skeleton) -> int:
    return int(skeleton.model.get_output_embeddings().weight.shape[0])


def _cached(skeleton: Skeleton) -> tuple[int, int]:
    """Heads of keys and values, and their channels."""
    text = skeleton.model.config.get_text_config()
    channels = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return text.num_key_value_heads, channels


def _empty(*shape: int, dtype: torch.dtype = torch.long) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=META)
