"""Attention over rows that share prefixes, in one packed row: each key once, no mask, no copy of a prefix.

A packed row holds the *pieces* of a tree one after another: a prompt, then the answers to it, then the next prompt. A
token sees the tokens before it in its own piece, and all tokens of the pieces above. Each of these is a part of a
softmax, see `attention_parts`; result and gradients are those of one softmax over all that a token sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from .attention_parts import part, part_backward
from .tree_blocks import block_mask, spans

# About the tokens of a segment, into which longer pieces are cut: kernels compute all pairs of a segment's tokens, and
# of two segments' only what is seen. Elsewhere than on a CPU more calls cost more.
SEGMENT, WIDE_SEGMENT = 128, 1024
# How much of a padded bucket may be padding.
WASTE = 0.25


@dataclass(frozen=True)
class Above:
    """Tokens `queries` see all of `keys`: half-open ranges. Keys count from the first of the *outer* ones, those that
    were computed in another pass, which come before the row's own."""

    queries: tuple[int, int]
    keys: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Bucket:
    """Segments that attend to themselves together, since each by itself would cost a call. `places`: where
    their tokens stand in the row, 0 where padded; `real`: False there."""

    places: Int[Tensor, "segments longest"]
    real: Bool[Tensor, "segments longest"]

    @cached_property
    def flat(self) -> Int[Tensor, " slots"]:
        return self.places.flatten()

    @cached_property
    def rows(self) -> Int[Tensor, " tokens"]:
        """Where the real tokens stand in the row."""
        return self.places[self.real]

    @cached_property
    def slots(self) -> Int[Tensor, " tokens"] | None:
        """Which of the slots are real; None: all."""
        return None if bool(self.real.all()) else self.real.flatten().nonzero()[:, 0]

    def gathered(self, tensor: Float[Tensor, "1 heads keys channels"], at: int = 0) -> Tensor:
        """(segments, heads, longest, channels): what stands at the segments' places, counted from `at` on."""
        found = tensor[0].transpose(0, 1).index_select(0, self.flat + at if at else self.flat)
        return found.view(*self.places.shape, *found.shape[1:]).transpose(1, 2)

    def put_back(self, target: Float[Tensor, "1 heads keys channels"], found: Tensor, at: int = 0) -> None:
        """The other way round: what was found for the real tokens, to where they stand in `target`."""
        given = found.transpose(1, 2).reshape(self.flat.numel(), *target.shape[1::2])
        if self.slots is not None:
            given = given.index_select(0, self.slots)
        target[0].transpose(0, 1).index_copy_(0, self.rows + at if at else self.rows, given.to(target.dtype))


@dataclass(frozen=True, eq=False)
class Sight:
    """What each token of a packed row sees. `pieces`: ranges of tokens that see those before them; `above`: what they
    see beyond these; `outer`: how many keys were computed in another pass; `device`: where the row is.

    `buckets`, `beyond`: the same, of pieces that were cut into segments.
    """

    pieces: tuple[tuple[int, int], ...]
    above: tuple[Above, ...]
    outer: int
    device: torch.device
    buckets: tuple[Bucket, ...]
    beyond: tuple[Above, ...]

    @cached_property
    def blocks(self) -> BlockMask:
        """The same for `flex_tree`, which alone pays for it."""
        seen = spans(self.pieces, [(each.queries, each.keys) for each in self.above], self.outer)
        return block_mask(seen, self.outer, self.device)


def sight(pieces: Iterable[tuple[int, int]], above: Sequence[Above], outer: int, device: torch.device) -> Sight:
    """The sight of pieces (half-open ranges, none of them empty, which cover the row)."""
    pieces = tuple(pieces)
    segments: list[tuple[int, int]] = []
    beyond: list[Above] = []
    usual = SEGMENT if device.type == "cpu" else WIDE_SEGMENT
    for start, stop in pieces:
        count = max(1, round((stop - start) / usual))
        cuts = [start + (stop - start) * cut // count for cut in range(count + 1)]
        segments += pairwise(cuts)
        beyond += [Above(segment, (outer + start, outer + segment[0])) for segment in pairwise(cuts[1:])]
    buckets, bucket, tokens = [], list[tuple[int, int]](), 0
    for segment in sorted(segments, key=lambda segment: segment[0] - segment[1]):
        tokens += segment[1] - segment[0]
        if bucket and tokens < (1 - WASTE) * (bucket[0][1] - bucket[0][0]) * (len(bucket) + 1):
            buckets.append(_bucket(bucket, device))
            bucket, tokens = [], segment[1] - segment[0]
        bucket.append(segment)
    if bucket:
        buckets.append(_bucket(bucket, device))
    return Sight(pieces, tuple(above), outer, device, tuple(buckets), (*beyond, *above))


def _bucket(segments: Sequence[tuple[int, int]], device: torch.device) -> Bucket:
    starts = torch.tensor([start for start, _ in segments])
    lengths = torch.tensor([stop - start for start, stop in segments])
    column = torch.arange(int(lengths[0]))
    real = column < lengths[:, None]
    return Bucket((starts[:, None] + column).where(real, 0).to(device), real.to(device))


def tree_attention(
    query: Float[Tensor, "1 heads tokens channels"],
    key: Float[Tensor, "1 key_heads keys channels"],
    value: Float[Tensor, "1 key_heads keys channels"],
    seen: Sight,
    scale: float,
) -> Float[Tensor, "1 heads tokens channels"]:
    """Attention of each token to what it sees.

    Args:
        query: Of the row's tokens.
        key: The outer keys, then the row's own: `keys` = `seen.outer` + `tokens`. `heads` is a multiple of
            `key_heads`.
        value: Likewise.
        seen: What each token sees.
        scale: Scores are multiplied by it.
    """
    return _TreeAttention.apply(query, key, value, seen, scale)


class _TreeAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, seen: Sight, scale: float) -> Tensor:
        outer, exact = seen.outer, torch.promote_types(query.dtype, torch.float32)
        found = _by_token(query, exact)
        total = _by_token(query[..., :1], exact)
        for bucket in seen.buckets:
            o, logs = part(
                bucket.gathered(query), bucket.gathered(key, outer), bucket.gathered(value, outer), scale, causal=True
            )
            bucket.put_back(found, o)
            bucket.put_back(total, logs[..., None])
        for each in seen.beyond:
            rows, keys = slice(*each.queries), slice(*each.keys)
            o, logs = part(query[:, :, rows], key[:, :, keys], value[:, :, keys], scale)
            before, own, more = total[:, :, rows], found[:, :, rows], logs[..., None].to(exact)
            joint = torch.logaddexp(before, more)
            own.mul_((before - joint).exp_()).addcmul_(o.to(exact), more.sub(joint).exp_())
            before.copy_(joint)
        found = found.to(query.dtype)
        ctx.save_for_backward(query, key, value, found, total)
        ctx.seen, ctx.scale = seen, scale
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, found, total = ctx.saved_tensors
        seen, scale, outer, given = ctx.seen, ctx.scale, ctx.seen.outer, gradients[0]
        # Many parts are added to one key's gradient, so half precision comes last.
        exact = torch.promote_types(query.dtype, torch.float32)
        to_query, to_key, to_value = (_by_token(each, exact) for each in (query, key, value))
        to_key[:, :, :outer], to_value[:, :, :outer] = 0, 0

        # Each token attends to itself in one segment: what that gives is written, what others give is added.
        for bucket in seen.buckets:
            upward, logs = bucket.gathered(given), bucket.gathered(total)[..., 0]
            if bucket.slots is not None:
                # At padding: probability 0, from a log-sum-exp that nothing reaches, and no gradient.
                padding = ~bucket.real[:, None]
                upward, logs = upward.masked_fill(padding[..., None], 0), logs.masked_fill(padding, float("inf"))
            parts = part_backward(
                upward,
                bucket.gathered(query),
                bucket.gathered(key, outer),
                bucket.gathered(value, outer),
                bucket.gathered(found),
                logs,
                scale,
                True,
            )
            for target, at, more in zip((to_query, to_key, to_value), (0, outer, outer), parts, strict=True):
                bucket.put_back(target, more, at)
        for each in seen.beyond:
            rows, keys = slice(*each.queries), slice(*each.keys)
            more = part_backward(
                given[:, :, rows],
                query[:, :, rows],
                key[:, :, keys],
                value[:, :, keys],
                found[:, :, rows],
                total[:, :, rows, 0],
                scale,
            )
            to_query[:, :, rows] += more[0]
            to_key[:, :, keys] += more[1]
            to_value[:, :, keys] += more[2]
        return to_query.to(query.dtype), to_key.to(key.dtype), to_value.to(value.dtype), None, None


def _by_token(like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Room of the shape (1, heads, tokens, channels), in which all of a token lies together: so the layers want it."""
    one, heads, tokens, channels = like.shape
    return like.new_empty((one, tokens, heads, channels), dtype=dtype or like.dtype).transpose(1, 2)
