"""Advantages by comparison with siblings: the other trajectories of the same task.

A trajectory with nothing to compare with, because no sibling is valid, and a group whose scores are all equal get
exactly 0.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

EPSILON = 1e-6
"""Added to a deviation before it divides."""


def grpo(
    scores: Float[Tensor, " trajectories"],
    groups: Int[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
    *,
    scale: Literal["group", "batch", "none"] = "group",
) -> Float[Tensor, " trajectories"]:
    r"""Group-normalised advantage of GRPO.

    .. math:: A_i = (r_i - \mathrm{mean}_G(r)) / (\mathrm{std}(r) + \epsilon)

    with the sample standard deviation (divisor n - 1) and epsilon = 1e-6.

    Source: DeepSeekMath (arXiv 2402.03300), section 4.1.2, equation 3 (outcome supervision), for the deviation of the
    group. With that of the batch: "Tricks or traps? A deep dive into RL for LLM reasoning" (arXiv 2508.08221).

    Args:
        scores: Return of each trajectory; ignored where not `valid`.
        groups: Group of each trajectory, 0 to count - 1.
        valid: Which trajectories count.
        scale: Divide by the deviation of the valid siblings, of all valid trajectories, or by nothing.
    """
    mean, deviation, _ = group_statistics(scores, groups, valid)
    advantages = _where_groups_vary(scores - mean, deviation, valid)
    if scale == "group":
        return advantages / (deviation + EPSILON)
    if scale == "batch" and bool(advantages.any()):  # only then are there two scores to take a deviation of
        return advantages / (scores[valid].std() + EPSILON)
    return advantages


def dr_grpo(
    scores: Float[Tensor, " trajectories"],
    groups: Int[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
) -> Float[Tensor, " trajectories"]:
    r"""Advantage of Dr. GRPO: GRPO without the deviation, which gives more weight to tasks that are nearly always or
    nearly never solved.

    .. math:: A_i = r_i - \mathrm{mean}_G(r)

    Source: Understanding R1-Zero-like training (arXiv 2503.20783), Dr. GRPO. Its other half, no division by the length
    of a trajectory, is the aggregation "constant".

    Args:
        scores: Return of each trajectory; ignored where not `valid`.
        groups: Group of each trajectory, 0 to count - 1.
        valid: Which trajectories count.
    """
    mean, deviation, _ = group_statistics(scores, groups, valid)
    return _where_groups_vary(scores - mean, deviation, valid)


def rloo(
    scores: Float[Tensor, " trajectories"],
    groups: Int[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
) -> Float[Tensor, " trajectories"]:
    r"""REINFORCE with the mean of the other valid siblings as baseline, which leaves the gradient unbiased.

    .. math:: A_i = r_i - \frac{1}{n - 1} \sum_{j \ne i} r_j = \frac{n}{n - 1} (r_i - \mathrm{mean}_G(r))

    Source: Back to basics (arXiv 2402.14740), section 3 (REINFORCE leave-one-out).

    Args:
        scores: Return of each trajectory; ignored where not `valid`.
        groups: Group of each trajectory, 0 to count - 1.
        valid: Which trajectories count; n is the number of valid siblings.
    """
    mean, deviation, sizes = group_statistics(scores, groups, valid)
    return _where_groups_vary((scores - mean) * sizes / (sizes - 1).clamp(min=1), deviation, valid)


def opo(
    scores: Float[Tensor, " trajectories"],
    groups: Int[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
    lengths: Int[Tensor, " trajectories"],
) -> Float[Tensor, " trajectories"]:
    r"""The baseline of least variance, if the squared norm of a trajectory's gradient grows with its length.

    .. math:: A_i = r_i - \sum_j l_j r_j \big/ \sum_j l_j

    Source: On-policy RL with optimal reward baseline (arXiv 2505.23585), the length-weighted mean of rewards.

    Args:
        scores: Return of each trajectory; ignored where not `valid`.
        groups: Group of each trajectory, 0 to count - 1.
        valid: Which trajectories count.
        lengths: Action tokens of each; ignored where not `valid`.
    """
    _, deviation, _ = group_statistics(scores, groups, valid)
    kept = torch.where(valid, lengths, 0).to(scores.dtype)
    weighted = torch.where(valid, kept * scores, 0.0)
    tokens = _group_sum(kept, groups)
    # Without any token there is nothing to weigh, and nothing to train.
    return _where_groups_vary(scores - _group_sum(weighted, groups) / tokens, deviation, valid & (tokens > 0))


def gpg(
    scores: Float[Tensor, " trajectories"],
    groups: Int[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
) -> Float[Tensor, " trajectories"]:
    r"""Advantage of Group Policy Gradient: what groups without a gradient take from the mean is given back.

    .. math:: A_i = \frac{B}{B - M} (r_i - \mathrm{mean}_G(r))

    with B valid trajectories in the batch, M of which stand in groups whose valid scores are all equal.

    Source: GPG (arXiv 2504.02546), equation 6 with F_norm = 1, and equations 7 and 8 (accurate gradient estimation).

    Args:
        scores: Return of each trajectory; ignored where not `valid`.
        groups: Group of each trajectory, 0 to count - 1.
        valid: Which trajectories count.
    """
    mean, deviation, _ = group_statistics(scores, groups, valid)
    varied = valid & (deviation > 0)
    return _where_groups_vary(scores - mean, deviation, valid) * valid.sum() / varied.sum().clamp(min=1)


def group_statistics(
    scores: Float[Tensor, " trajectories"],
    groups: Int[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
) -> tuple[Float[Tensor, " trajectories"], Float[Tensor, " trajectories"], Int[Tensor, " trajectories"]]:
    """Mean, sample standard deviation (0 below two) and number of valid siblings, repeated for each trajectory."""
    sizes = _group_sum(valid.to(scores.dtype), groups)
    mean = _group_sum(torch.where(valid, scores, 0.0), groups) / sizes.clamp(min=1)
    squares = torch.where(valid, (scores - mean) ** 2, 0.0)
    variance = _group_sum(squares, groups) / (sizes - 1).clamp(min=1)
    # A mean of equal numbers can miss them by one rounding; such a group has no variance.
    infinity = scores.new_full((_group_count(groups),), torch.inf)
    low = infinity.scatter_reduce(0, groups[valid], scores[valid], "amin")[groups]
    high = (-infinity).scatter_reduce(0, groups[valid], scores[valid], "amax")[groups]
    return mean, torch.where(high > low, variance.sqrt(), 0.0), sizes.long()


def _group_sum(
    numbers: Float[Tensor, " trajectories"], groups: Int[Tensor, " trajectories"]
) -> Float[Tensor, " trajectories"]:
    """Sum over the group of each trajectory."""
    return numbers.new_zeros(_group_count(groups)).index_add(0, groups, numbers)[groups]


def _group_count(groups: Int[Tensor, " trajectories"]) -> int:
    return int(groups.max()) + 1 if len(groups) else 0


def _where_groups_vary(
    advantages: Float[Tensor, " trajectories"],
    deviation: Float[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
) -> Float[Tensor, " trajectories"]:
    return torch.where(valid & (deviation > 0), advantages, 0.0)
