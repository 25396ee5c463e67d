"""Advantage estimators: from the scores of a batch of trajectories to one number a trajectory.

Every function is pure: tensors in, tensors out. `valid` marks the trajectories that count; one that the infrastructure
broke changes neither mean nor deviation and gets advantage 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

EPSILON = 1e-6


def grpo(
    scores: Float[Tensor, " trajectories"],
    groups: Int[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
) -> Float[Tensor, " trajectories"]:
    r"""Group-normalised advantage of GRPO.

    .. math:: A_i = (r_i - \mathrm{mean}_G(r)) / (\mathrm{std}_G(r) + \epsilon)

    with the sample standard deviation (divisor n - 1) over the valid siblings and epsilon = 1e-6. A group whose valid
    scores are all equal, or that has fewer than two, gets 0.

    Source: DeepSeekMath (arXiv 2402.03300), section 4.1.2, equation 3 (outcome supervision).

    Args:
        scores: Return of each trajectory; ignored where not `valid`.
        groups: Group of each trajectory, 0 to count - 1.
        valid: Which trajectories count.
    """
    mean, deviation, _ = group_statistics(scores, groups, valid)
    advantages = (scores - mean) / (deviation + EPSILON)
    return torch.where(valid & (deviation > 0), advantages, torch.zeros_like(scores))


def group_statistics(
    scores: Float[Tensor, " trajectories"],
    groups: Int[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
) -> tuple[Float[Tensor, " trajectories"], Float[Tensor, " trajectories"], Int[Tensor, " trajectories"]]:
    """Mean, sample standard deviation (0 below two) and number of valid siblings, repeated for each trajectory."""
    count = int(groups.max()) + 1 if len(groups) else 0
    kept = torch.where(valid, scores, torch.zeros_like(scores))
    sizes = torch.zeros(count, dtype=scores.dtype).index_add_(0, groups, valid.to(scores.dtype))
    mean = torch.zeros(count, dtype=scores.dtype).index_add_(0, groups, kept) / sizes.clamp(min=1)
    squares = torch.where(valid, (kept - mean[groups]) ** 2, torch.zeros_like(scores))
    variance = torch.zeros(count, dtype=scores.dtype).index_add_(0, groups, squares) / (sizes - 1).clamp(min=1)
    # A mean of equal numbers can miss them by one rounding; such a group has no variance.
    low = torch.full((count,), torch.inf, dtype=scores.dtype).scatter_reduce_(0, groups[valid], scores[valid], "amin")
    high = torch.full((count,), -torch.inf, dtype=scores.dtype).scatter_reduce_(0, groups[valid], scores[valid], "amax")
    deviation = torch.where(high > low, variance.sqrt(), torch.zeros_like(variance))
    return mean[groups], deviation[groups], sizes.long()[groups]


AdvantageEstimator = Callable[[Tensor, Tensor, Tensor], Tensor]
ADVANTAGES: dict[str, AdvantageEstimator] = {"grpo": grpo}
