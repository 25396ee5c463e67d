r"""Attention in parts: what queries take from some keys, and how what they took from two lots of keys becomes one.

A softmax over all keys is that over each part, weighted by the part's share of the whole sum, which the logarithm of
each part's sum tells (`lse`, log-sum-exp). So keys that many rows have in common and keys that one has alone need not
lie together: with o_i and l_i of part i (FlashAttention, arXiv 2205.14135, section 3.1),

    l = log sum_i exp(l_i),   o = sum_i exp(l_i - l) o_i.

Backwards each part is taken by itself too. Its probabilities are exp(score - l) with the *joint* l, and of the other
parts it needs nothing but the joint o, in D = sum_c do o (appendix B.4 there).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from jaxtyping import Float
from torch import Tensor

# Elements of the scores that are held at a time where they are computed one by one, in float32: 256 MiB.
SCORES = 2**26

# Never the whole matrix of scores, and the only such kernel that tells the sum.
_fused = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
_fused_backward = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu_backward", None)
_counts = ContextVar("counts", default=False)


@contextmanager
def kernel_without_numbers(counts: bool = True) -> Iterator[None]:
    """Inside, tensors of the meta device, which have shapes alone, go where those of a CPU go: for whoever counts what
    that needs. counts: False changes nothing."""
    token = _counts.set(counts)
    try:
        yield
    finally:
        _counts.reset(token)


def part(
    query: Float[Tensor, "rows heads queries channels"],
    key: Float[Tensor, "rows key_heads keys channels"],
    value: Float[Tensor, "rows key_heads keys channels"],
    scale: float,
    bias: Float[Tensor, "rows 1 #queries keys"] | None = None,
    causal: bool = False,
) -> tuple[Float[Tensor, "rows heads queries channels"], Float[Tensor, "rows heads queries"]]:
    """What queries take from these keys alone, and the logarithm of the sum of exponentiated scores (float32 at least).
    Without a graph; `heads` is a multiple of `key_heads`.

    `bias` is added to the scores: 0, or -inf where a key is not seen. `causal`: query i sees keys 0 to i. Every query
    must see at least one.
    """
    if _fused is not None and _by_kernel(query):
        return _fused(query, key, value, 0.0, causal, attn_mask=bias, scale=scale)
    dtype = query.dtype
    query, key, value = _exact(query), _exact(_repeated(key, query)), _exact(_repeated(value, query))
    outputs, sums = [], []
    for rows in _slices(query, key):
        scores = _scores(query, key, rows, scale, causal)
        if bias is not None:
            scores = scores + (bias if bias.shape[2] == 1 else bias[:, :, rows])
        sums.append(scores.logsumexp(-1))
        outputs.append((scores - sums[-1][..., None]).exp() @ value)
    return _together(outputs).to(dtype), _together(sums)


def part_backward(
    upward: Float[Tensor, "rows heads queries channels"],
    query: Float[Tensor, "rows heads queries channels"],
    key: Float[Tensor, "rows key_heads keys channels"],
    value: Float[Tensor, "rows key_heads keys channels"],
    out: Float[Tensor, "rows heads queries channels"],
    lse: Float[Tensor, "rows heads queries"],
    scale: float,
    causal: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """What these keys have to do with the gradients of queries, keys and values.

    upward: The gradient of the joint output. out, lse: Of all parts together.
    """
    if _fused_backward is not None and _fused is not None and _by_kernel(query):
        return _fused_backward(upward, query, key, value, out, lse, 0.0, causal, scale=scale)
    dtype, heads, key, value = query.dtype, key.shape[1], _repeated(key, query), _repeated(value, query)
    upward, query, key, value, out = (_exact(each) for each in (upward, query, key, value, out))
    to_query, to_key, to_value = [], torch.zeros_like(key), torch.zeros_like(value)
    for rows in _slices(query, key):
        chances = (_scores(query, key, rows, scale, causal) - lse[:, :, rows, None]).exp()
        given = upward[:, :, rows]
        to_value += chances.transpose(2, 3) @ given
        inner = (given * out[:, :, rows]).sum(-1, keepdim=True)
        to_scores = chances * (given @ value.transpose(2, 3) - inner) * scale
        to_query.append(to_scores @ key)
        to_key += to_scores.transpose(2, 3) @ query[:, :, rows]
    grouped = [each.unflatten(1, (heads, -1)).sum(2).to(dtype) for each in (to_key, to_value)]
    return _together(to_query).to(dtype), grouped[0], grouped[1]


def merge(out: Tensor, lse: Tensor, other: Tensor, other_lse: Tensor) -> Tensor:
    """(..., channels), what queries take from both parts, given their `lse` (...)."""
    share = torch.sigmoid(lse - other_lse)[..., None]
    return torch.lerp(other.to(share.dtype), out.to(share.dtype), share).to(out.dtype)


def _by_kernel(query: Tensor) -> bool:
    return query.device.type == "cpu" or (query.device.type == "meta" and _counts.get())


def _exact(tensor: Tensor) -> Tensor:
    """In float32 at least: scores rounded to half precision would be off by more than what sampler and trainer may
    differ by."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _scores(query: Tensor, key: Tensor, rows: slice, scale: float, causal: bool) -> Tensor:
    scores = (query[:, :, rows] * scale) @ key.transpose(2, 3)
    if causal:
        column = torch.arange(key.shape[2], device=key.device)
        scores = scores.masked_fill(column > column[rows, None], float("-inf"))
    return scores


def _slices(query: Tensor, key: Tensor) -> list[slice]:
    """Queries in so many at once that their scores are bounded."""
    at_once = max(1, SCORES // (query.shape[0] * query.shape[1] * key.shape[2]))
    return [slice(start, min(start + at_once, query.shape[2])) for start in range(0, query.shape[2], at_once)]


def _together(slices: list[Tensor]) -> Tensor:
    return slices[0] if len(slices) == 1 else torch.cat(slices, 2)


def _repeated(tensor: Tensor, query: Tensor) -> Tensor:
    """Keys or values, once for each head of the queries."""
    groups = query.shape[1] // tensor.shape[1]
    return tensor if groups == 1 else tensor.repeat_interleave(groups, 1)
