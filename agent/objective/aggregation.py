"""From losses of tokens to the loss of a batch: one weight for every trajectory, counted over the whole batch.

The loss is the sum over tokens of weight times loss. The weights are fixed before the batch is split, so its parts, in
whichever way it is split over micro-batches and ranks, add up to the same loss and the same gradient.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..errors import ConfigError
from .masked import zeroed

AGGREGATIONS = ("token_mean", "sequence_mean", "constant")


def trajectory_weights(
    lengths: Int[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
    kind: str = "token_mean",
    constant: float | int = 0,
) -> Float[Tensor, " trajectories"]:
    r"""The weight of each token's loss, by its trajectory.

    With n valid trajectories of :math:`l_i` action tokens:

    .. math:: w_i = \frac{1}{\sum_j l_j} \ \text{(token\_mean)}, \quad
              w_i = \frac{1}{n\, l_i} \ \text{(sequence\_mean)}, \quad
              w_i = \frac{1}{n\, C} \ \text{(constant)}

    The token mean counts every token alike, so that long trajectories weigh more; the sequence mean counts every
    trajectory alike, so that the tokens of long ones weigh less; the constant does neither, and leaves the size of the
    gradient to C.

    Source: token mean: DAPO (arXiv 2503.14476), section 3.3, equation 12; sequence mean: GRPO (arXiv 2402.03300),
    equation 3; constant: Dr.GRPO (arXiv 2503.20783), section 3.2.

    Args:
        lengths: Action tokens of each trajectory of the whole batch.
        valid: Which trajectories count; the others get 0 and change no weight.
        kind: One of `AGGREGATIONS`.
        constant: C, above 0; the most action tokens that a trajectory may have is usual. Used by "constant" alone.

    Returns:
        Weights in the default floating-point type; 0 for a trajectory that is not valid or has no token.

    Raises:
        ConfigError: kind is unknown, or "constant" has no constant above 0.
    """
    if kind not in AGGREGATIONS:
        raise ConfigError(f"aggregation: expected one of {', '.join(AGGREGATIONS)}, got {kind!r}.")
    if kind == "constant" and not 0 < constant < math.inf:
        raise ConfigError(
            f"aggregation 'constant': expected a number of tokens above 0 to divide by, got {constant}; "
            "give it the most action tokens that a trajectory may have."
        )
    counted = valid & (lengths > 0)
    trajectories = valid.sum()
    if kind == "token_mean":
        divisors = lengths[counted].sum().expand(len(lengths))
    elif kind == "sequence_mean":
        divisors = trajectories * lengths
    else:
        divisors = (trajectories * constant).expand(len(lengths))
    weights = 1 / divisors.to(torch.get_default_dtype())
    return torch.where(counted, weights, torch.zeros_like(weights))


def weighted_sum(
    losses: Float[Tensor, "rows tokens"], mask: Bool[Tensor, "rows tokens"], weights: Float[Tensor, " rows"]
) -> Float[Tensor, ""]:
    """The part that some rows have in the loss of the batch.

    Args:
        losses: Of each token; anything where the mask is off.
        mask: Action tokens.
        weights: Of the trajectory of each row, from `trajectory_weights`.
    """
    return (zeroed(losses, mask) * weights[:, None]).sum()
