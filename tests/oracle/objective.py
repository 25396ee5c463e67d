"""The objective once more, in plain Python loops over lists: slow, and nothing to get wrong in a tensor's shape."""

import math
from collections.abc import Sequence

EPSILON = 1e-6


def grpo(scores: Sequence[float], groups: Sequence[int], valid: Sequence[bool]) -> list[float]:
    """Advantage of each trajectory against its valid siblings."""
    advantages = []
    for index, score in enumerate(scores):
        siblings = [s for s, g, v in zip(scores, groups, valid, strict=True) if v and g == groups[index]]
        if not valid[index] or len(siblings) < 2 or all(s == siblings[0] for s in siblings):
            advantages.append(0.0)
            continue
        mean = math.fsum(siblings) / len(siblings)
        variance = math.fsum((s - mean) ** 2 for s in siblings) / (len(siblings) - 1)
        advantages.append((score - mean) / (math.sqrt(variance) + EPSILON))
    return advantages


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
