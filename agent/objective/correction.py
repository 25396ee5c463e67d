"""Importance weights for the mismatch of sampler and trainer.

The engine that samples and the model that is trained have the same weights and still not the same probabilities (other
kernels, another precision, a cache). Tokens come from the sampler's distribution, the surrogate counts from the
trainer's at the beginning of the step, and the ratio of the two belongs in front of the loss.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..errors import ConfigError
from .masked import segment_sum, zeroed

LEVELS = ("token", "turn", "sequence")
KINDS = ("truncate", "mask")
MAX_LOG_RATIO = 20.0
"""Bound on the logarithm of a ratio before it is limited, so that the metrics stay finite."""


def importance_weights(
    old_logprobs: Float[Tensor, "rows tokens"],
    sampler_logprobs: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
    turns: Int[Tensor, "rows tokens"],
    sequence: Int[Tensor, " rows"],
    *,
    level: str = "token",
    kind: str = "truncate",
    low: float = 0.5,
    high: float = 2.0,
) -> tuple[Float[Tensor, "rows tokens"], dict[str, float]]:
    r"""The weight of each token's loss; a constant, whatever gradient the arguments have.

    .. math:: w_t = \prod_{u \in S(t)} \frac{\pi_{old}(a_u)}{\mu(a_u)}, \quad
              \mathrm{truncate}: \min(w_t, h), \quad \mathrm{mask}: w_t\, [l \le w_t \le h]

    with mu the sampler and S(t) the token itself, its turn, or its trajectory in all of its rows. Longer products are
    less biased and vary more. Truncating keeps every token and bounds what one can do; masking takes no part of what
    the two disagree about. A masked token still counts in the number by which the loss is divided.

    Source: truncation by token: Yao et al., "Your efficient RL framework secretly brings you off-policy RL training"
    (2025, fengyao.notion.site/off-policy-rl), with its bound 2; masking by token: "IcePop" (Ling team 2025,
    ringtech.notion.site/icepop), with bounds 0.5 and 5; by sequence: Liu, Li et al., "When speed kills stability"
    (2025, yingru.notion.site). By turn is the same for trajectories that have turns.

    Args:
        old_logprobs: Under the trainer at the beginning of the step.
        sampler_logprobs: As recorded when the tokens were sampled.
        mask: Action tokens; elsewhere the weight is 0.
        turns: Turn of each token.
        sequence: Trajectory of each row; all rows of a trajectory must be given together.
        level: One of `LEVELS`: over what the ratios are multiplied.
        kind: One of `KINDS`.
        low: Least ratio that "mask" keeps; "truncate" has no lower bound.
        high: Largest ratio: weights are cut to it, or above it masked.

    Returns:
        The weights, and over action tokens: "limited", the share that was cut or masked; "mean", of the weights;
        "largest", of the ratios before that.

    Raises:
        ConfigError: level or kind is unknown, or not 0 <= low <= high with high above 0.
    """
    if level not in LEVELS:
        raise ConfigError(f"importance correction, level: expected one of {', '.join(LEVELS)}, got {level!r}.")
    if kind not in KINDS:
        raise ConfigError(f"importance correction, kind: expected one of {', '.join(KINDS)}, got {kind!r}.")
    if not (0 <= low <= high and high > 0):
        raise ConfigError(
            f"importance correction: expected bounds 0 <= low <= high with high > 0, got {low} and {high}."
        )
    log_ratio = zeroed((old_logprobs - sampler_logprobs).detach(), mask)
    if level != "token":
        log_ratio = segment_sum(log_ratio, _segments(turns, sequence, level))
    ratio = log_ratio.clamp(max=MAX_LOG_RATIO).exp()
    limited = ratio > high
    if kind == "truncate":
        weights = ratio.clamp(max=high)
    else:
        limited = limited | (ratio < low)
        weights = ratio.masked_fill(limited, 0.0)
    weights = zeroed(weights, mask)
    return weights, _metrics(weights, ratio, limited, mask)


def _segments(
    turns: Int[Tensor, "rows tokens"], sequence: Int[Tensor, " rows"], level: str
) -> Int[Tensor, "rows tokens 2"]:
    trajectory = sequence[:, None].expand_as(turns)
    turn = turns if level == "turn" else torch.zeros_like(turns)
    return torch.stack([trajectory, turn], dim=-1)


def _metrics(
    weights: Float[Tensor, "rows tokens"],
    ratio: Float[Tensor, "rows tokens"],
    limited: Bool[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
) -> dict[str, float]:
    if not mask.any():
        return {"limited": 0.0, "mean": 0.0, "largest": 0.0}
    return {
        "limited": float(limited[mask].float().mean()),
        "mean": float(weights[mask].mean()),
        "largest": float(ratio[mask].max()),
    }
