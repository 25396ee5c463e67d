"""What is done to scores before advantages are estimated: a penalty for length, scaling, groups without variance."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..errors import ConfigError

SCALINGS = ("none", "group", "batch")
EPSILON = 1e-6


def overlong_penalty(
    lengths: Int[Tensor, " trajectories"], maximum: int, buffer: int
) -> Float[Tensor, " trajectories"]:
    r"""Soft overlong punishment: what is added to the score of a trajectory that comes near the length limit.

    .. math:: 0 \ (l \le M - B), \quad \frac{(M - B) - l}{B} \ (M - B < l \le M), \quad -1 \ (l > M)

    Source: DAPO (arXiv 2503.14476), equation 13.

    Args:
        lengths: Action tokens of each trajectory.
        maximum: M, the length from which on the punishment is whole.
        buffer: B, over how many tokens before that it grows; 1 to maximum.

    Raises:
        ConfigError: buffer is not in 1 to maximum.
    """
    if not 1 <= buffer <= maximum:
        raise ConfigError(f"overlong penalty: expected a buffer of 1 to {maximum} (the maximum) tokens, got {buffer}.")
    return ((maximum - buffer - lengths) / buffer).clamp(-1, 0)


def scale_scores(
    scores: Float[Tensor, " trajectories"],
    groups: Int[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
    kind: str = "none",
) -> Float[Tensor, " trajectories"]:
    r"""Scores divided by a standard deviation, :math:`r_i / (\mathrm{std}(r) + 10^{-6})`, and not centred.

    For an estimator that subtracts a baseline and does not divide (RLOO, Dr.GRPO), scaling scores is scaling
    advantages: "group" over the valid siblings, as in GRPO; "batch" over all valid trajectories; "none" not at all. The
    deviation is the sample's (divisor n - 1). Where it is 0, or fewer than two are valid, scores stay as they are.

    Source: GRPO (arXiv 2402.03300), equation 3; against it: Dr.GRPO (arXiv 2503.20783), section 3; by batch: Liu et al.
    (arXiv 2508.08221).

    Args:
        scores: Return of each trajectory; ignored where not valid.
        groups: Group of each trajectory.
        valid: Which trajectories count; the others get 0.
        kind: One of `SCALINGS`.

    Raises:
        ConfigError: kind is unknown.
    """
    if kind not in SCALINGS:
        raise ConfigError(f"reward scaling: expected one of {', '.join(SCALINGS)}, got {kind!r}.")
    kept = torch.where(valid, scores, torch.zeros_like(scores))
    if kind == "none":
        return kept
    together = groups if kind == "group" else torch.zeros_like(groups)
    for group in set(together[valid].tolist()):
        members = valid & (together == group)
        if _varies(scores[members]):
            kept[members] /= kept[members].std() + EPSILON
    return kept


def zero_variance(
    scores: Float[Tensor, " trajectories"],
    groups: Int[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
) -> Bool[Tensor, " groups"]:
    """Which groups say nothing: their valid scores are all equal, or there are fewer than two.

    Comparing siblings teaches nothing there; dynamic sampling replaces these groups. Source: DAPO (arXiv 2503.14476),
    equation 11.

    Args:
        scores: Return of each trajectory; ignored where not valid.
        groups: Group of each trajectory, 0 to count - 1.
        valid: Which trajectories count.

    Returns:
        One mark a group, up to the largest number in `groups`.
    """
    count = int(groups.max()) + 1 if len(groups) else 0
    marks = [not _varies(scores[valid & (groups == group)]) for group in range(count)]
    return torch.tensor(marks, dtype=torch.bool, device=scores.device)


def _varies(scores: Float[Tensor, " some"]) -> bool:
    """By comparison and not by a deviation, which for equal numbers can come out as a rounding."""
    return len(scores) > 1 and bool(scores.min() < scores.max())
