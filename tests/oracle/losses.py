"""Policy losses, their weights and what goes with them, once more in plain Python loops over lists of numbers."""

import math
from collections.abc import Sequence

Rows = Sequence[Sequence[float]]
Marks = Sequence[Sequence[bool]]


def ppo_clip(log_ratio: float, advantage: float, low: float, high: float, dual: float = 0.0) -> float:
    """Loss of one token, as the paper writes it: a minimum of two, and for the dual clip a maximum around it."""
    ratio = math.exp(log_ratio)
    surrogate = min(ratio * advantage, min(max(ratio, 1 - low), 1 + high) * advantage)
    if dual and advantage < 0:
        surrogate = max(surrogate, dual * advantage)
    return -surrogate


def cispo(logprob: float, log_ratio: float, advantage: float, low: float, high: float) -> float:
    return -min(max(math.exp(log_ratio), 1 - low), 1 + high) * advantage * logprob


def sapo(log_ratio: float, advantage: float, positive: float, negative: float) -> float:
    temperature = positive if advantage > 0 else negative
    gate = 1 / (1 + math.exp(-temperature * (math.exp(log_ratio) - 1)))
    return -4 / temperature * gate * advantage


def trajectories(logprobs: Rows, old: Rows, mask: Marks, sequence: Sequence[int]) -> dict[int, list[float]]:
    """Log ratios of the action tokens of each trajectory, from all of its rows."""
    ratios: dict[int, list[float]] = {}
    for row, name in enumerate(sequence):
        for new, before, acted in zip(logprobs[row], old[row], mask[row], strict=True):
            if acted:
                ratios.setdefault(name, []).append(new - before)
    return ratios


def gspo(ratios: Sequence[float], advantage: float, low: float, high: float) -> float:
    """Loss of a trajectory with one advantage: the surrogate of its geometric mean ratio."""
    return ppo_clip(math.fsum(ratios) / len(ratios), advantage, low, high)


def gmpo(ratios: Sequence[float], advantage: float, low: float, high: float) -> float:
    """Loss of a trajectory with one advantage: the geometric mean of |min(rho A, clip(rho) A)|, with the sign of A."""
    product = 1.0
    for log_ratio in ratios:
        ratio, held = math.exp(log_ratio), math.exp(min(max(log_ratio, -low), high))
        product *= abs(min(ratio * advantage, held * advantage))
    return -math.copysign(product ** (1 / len(ratios)), advantage)


def covariances(logprobs: Rows, advantages: Rows, mask: Marks) -> list[list[float | None]]:
    """Centred products of the action tokens; None elsewhere."""
    places = [(r, t) for r, row in enumerate(mask) for t, acted in enumerate(row) if acted]
    mean_logprob = math.fsum(logprobs[r][t] for r, t in places) / max(1, len(places))
    mean_advantage = math.fsum(advantages[r][t] for r, t in places) / max(1, len(places))
    found: list[list[float | None]] = [[None] * len(row) for row in mask]
    for r, t in places:
        found[r][t] = (logprobs[r][t] - mean_logprob) * (advantages[r][t] - mean_advantage)
    return found


def trajectory_weights(lengths: Sequence[int], valid: Sequence[bool], kind: str, constant: float) -> list[float]:
    """By the definition of each mean: how much the mean grows when the loss of one token grows by 1."""
    count = sum(valid)
    tokens = sum(length for length, counted in zip(lengths, valid, strict=True) if counted)
    weights = []
    for length, counted in zip(lengths, valid, strict=True):
        if not counted or not length:
            weights.append(0.0)
        elif kind == "token_mean":
            weights.append(1 / tokens)
        elif kind == "sequence_mean":
            weights.append(1 / length / count)
        else:
            weights.append(1 / constant / count)
    return weights


def importance_weights(
    old: Rows, sampler: Rows, mask: Marks, turns: Sequence[Sequence[int]], sequence: Sequence[int], level: str
) -> list[list[float]]:
    """Unlimited: the product of the ratios of all tokens that share a token's segment; 0 outside the mask."""

    def segment(row: int, token: int) -> tuple[int, ...]:
        whole = (sequence[row],)
        return {"token": (row, token), "turn": (*whole, turns[row][token]), "sequence": whole}[level]

    products: dict[tuple[int, ...], float] = {}
    for r, row in enumerate(mask):
        for t, acted in enumerate(row):
            if acted:
                products[segment(r, t)] = products.get(segment(r, t), 1.0) * math.exp(old[r][t] - sampler[r][t])
    return [[products[segment(r, t)] if acted else 0.0 for t, acted in enumerate(row)] for r, row in enumerate(mask)]


def overlong_penalty(length: int, maximum: int, buffer: int) -> float:
    if length <= maximum - buffer:
        return 0.0
    if length <= maximum:
        return (maximum - buffer - length) / buffer
    return -1.0
