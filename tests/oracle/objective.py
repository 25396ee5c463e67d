"""The objective once more, in plain Python loops over lists: slow, and nothing to get wrong in a tensor's shape."""

import math
from collections.abc import Sequence


def ppo_clip(logprob: float, old_logprob: float, advantage: float, clip_low: float, clip_high: float) -> float:
    """The clipped surrogate of one token."""
    ratio = math.exp(logprob - old_logprob)
    held = ratio
    if ratio < 1 - clip_low:
        held = 1 - clip_low
    elif ratio > 1 + clip_high:
        held = 1 + clip_high
    return -min(ratio * advantage, held * advantage)


def kl_divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """KL(p || q) of two distributions, exactly."""
    return math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def token_mean(losses: Sequence[Sequence[float]], mask: Sequence[Sequence[bool]]) -> float:
    """Mean over the tokens that count, whichever row they stand in."""
    kept = [
        loss for row, row_mask in zip(losses, mask, strict=True) for loss, m in zip(row, row_mask, strict=True) if m
    ]
    return math.fsum(kept) / len(kept)
