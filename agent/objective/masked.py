"""Tensors under a mask: what stands outside must reach neither a loss nor a gradient, not even if it is no number.

Multiplying by a mask would not do, as zero times infinity is not a number; so what is outside is replaced first.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def zeroed(values: Float[Tensor, "rows tokens"], mask: Bool[Tensor, "rows tokens"]) -> Float[Tensor, "rows tokens"]:
    """The values where the mask is on, and 0 (with gradient 0) where it is off."""
    return torch.where(mask, values, torch.zeros_like(values))


def segment_sum(
    values: Float[Tensor, "rows tokens"], segments: Int[Tensor, "rows tokens parts"]
) -> Float[Tensor, "rows tokens"]:
    """For each token the sum over all tokens of its segment, in whichever rows they stand.

    Args:
        values: Zero where nothing is to be counted.
        segments: The segment of a token is the tuple of its parts, such as (trajectory, turn); any integers.
    """
    _, places = torch.unique(segments.flatten(0, 1), dim=0, return_inverse=True)
    sums = torch.zeros_like(values.flatten()).index_add(0, places, values.flatten())
    return sums[places].view_as(values)


def sequence_mean(
    values: Float[Tensor, "rows tokens"], mask: Bool[Tensor, "rows tokens"], sequence: Int[Tensor, " rows"]
) -> Float[Tensor, "rows tokens"]:
    """For each token the mean over all masked tokens of its trajectory, in whichever rows they stand; 0 if none."""
    segments = sequence[:, None].expand_as(mask)[..., None]
    counts = segment_sum(mask.to(values.dtype), segments)
    return segment_sum(zeroed(values, mask), segments) / counts.clamp(min=1)
