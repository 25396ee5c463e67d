"""Attention in parts: what queries take from some keys, and how what they took from two lots of keys becomes one.

A softmax over all keys is that over each part, weighted by the part's share of the whole sum, which the logarithm of
each part's sum (`lse`) tells. So keys that many rows have in common and keys that one has alone need not lie together.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

# Elements of the scores that are held at a time where they are computed one by one, in float32: 256 MiB.
SCORES = 2**26

_fused = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)


def part(
    query: Float[Tensor, "rows heads queries channels"],
    key: Float[Tensor, "rows heads keys channels"],
    value: Float[Tensor, "rows heads keys channels"],
    scale: float,
    bias: Float[Tensor, "rows 1 #queries keys"] | None,
) -> tuple[Float[Tensor, "rows heads queries channels"], Float[Tensor, "rows heads queries"]]:
    """What queries take from these keys alone, and the logarithm of the sum of exponentiated scores (float32).

    `bias` is added to the scores: 0, or -inf where a key is not seen; every query must see at least one.
    """
    if _fused is not None and query.device.type == "cpu":
        # Never the whole matrix of scores; without gradients, and the only such kernel that tells the sum.
        return _fused(query, key, value, 0.0, False, attn_mask=bias, scale=scale)
    rows, heads, queries, _ = query.shape
    step = max(1, SCORES // (rows * heads * key.shape[2]))
    found = [
        _plain(query[:, :, start : start + step], key, value, scale, _rows_of(bias, start, step))
        for start in range(0, queries, step)
    ]
    if len(found) == 1:
        return found[0]
    return torch.cat([out for out, _ in found], 2), torch.cat([lse for _, lse in found], 2)


def merge(out: Tensor, lse: Tensor, other: Tensor, other_lse: Tensor) -> Tensor:
    """(..., channels), what queries take from both parts, given their `lse` (...)."""
    share = torch.sigmoid(lse - other_lse)[..., None]
    return torch.lerp(other.to(share.dtype), out.to(share.dtype), share).to(out.dtype)


def _plain(query: Tensor, key: Tensor, value: Tensor, scale: float, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """As `part`, by its definition. Scores are float32 from the start: rounded to half precision they would be off by
    more than what sampler and trainer may differ by."""
    scores = torch.matmul(query.float() * scale, key.float().transpose(-1, -2))
    if bias is not None:
        scores = scores + bias
    lse = scores.logsumexp(-1)
    return torch.matmul((scores - lse[..., None]).exp().to(value.dtype), value), lse


def _rows_of(bias: Tensor | None, start: int, count: int) -> Tensor | None:
    return bias if bias is None or bias.shape[2] == 1 else bias[:, :, start : start + count]
