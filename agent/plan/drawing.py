"""What both kinds of sampling caches have in common: how many rows there are, and what drawing their tokens needs."""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor

from ..config import Config
from ..rollout.distribution import token_logprobs
from .live import META, LiveBytes
from .skeleton import Skeleton


def rows_of(config: Config) -> int:
    """That are generated at once."""
    sizes = config.rollout
    return min(sizes.concurrency, sizes.prompts_per_step * sizes.group_size)


def prompts_of(config: Config) -> int:
    """Distinct ones among them."""
    return ceil(rows_of(config) / config.rollout.group_size)


def vocabulary(skeleton: Skeleton) -> int:
    return int(skeleton.model.get_output_embeddings().weight.shape[0])


def drawing(config: Config, skeleton: Skeleton, rows: int) -> int:
    """Logits of one token a row, and the cumulative probabilities in float64 that it is drawn by."""
    with torch.no_grad(), LiveBytes() as live:
        logits = empty(rows, vocabulary(skeleton), dtype=skeleton.model.dtype)
        logprobs = token_logprobs(logits[empty(rows)], config.rollout.temperature, (0,))
        probabilities = logprobs.exp().cumsum(dim=-1, dtype=torch.float64)
        probabilities / probabilities[:, -1:]
    return live.peak


def apart(needed: dict[str, int]) -> dict[str, int]:
    """All that a pass over prompts needs beside the cache, as one owner."""
    cache = needed.pop("key-value cache", 0)
    return {"key-value cache": cache, "prompts": sum(needed.values())}


def empty(*shape: int, dtype: torch.dtype = torch.long) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=META)
