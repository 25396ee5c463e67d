"""Losses of the critic, one number a token, not yet averaged; and how well it explains the returns.

All have the same parameters; what is `clip` differs. The caller leaves out the tokens where the critic is not trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def squared(
    values: Float[Tensor, "rows tokens"],
    old_values: Float[Tensor, "rows tokens"],
    returns: Float[Tensor, "rows tokens"],
    *,
    clip: float = 0.0,
) -> Float[Tensor, "rows tokens"]:
    r"""Half the squared error, :math:`L_t = (V_t - R_t)^2 / 2`.

    Source: PPO (arXiv 1707.06347), equation 9, there without the half.

    Args:
        values: Of the critic that is trained, of the state before each token.
        old_values: Its values at the beginning of the step; not used.
        returns: What the values should be; a constant.
        clip: Not used.
    """
    return 0.5 * (values - returns) ** 2


def clipped(
    values: Float[Tensor, "rows tokens"],
    old_values: Float[Tensor, "rows tokens"],
    returns: Float[Tensor, "rows tokens"],
    *,
    clip: float = 0.2,
) -> Float[Tensor, "rows tokens"]:
    r"""The squared error of PPO's implementations, in which a value may move only so far in a step.

    .. math:: L_t = \frac{1}{2} \max\big((V_t - R_t)^2,\ (\mathrm{clip}(V_t, V^{old}_t - c, V^{old}_t + c) - R_t)^2\big)

    A value that is further from the old one than the clip, and nearer to the return for it, has no gradient.

    Source: Huang et al., "The 37 implementation details of proximal policy optimization" (2022), detail 9, after OpenAI
    Baselines; it is not in the paper on PPO (arXiv 1707.06347).

    Args:
        values: Of the critic that is trained, of the state before each token.
        old_values: Its values at the beginning of the step; a constant.
        returns: What the values should be; a constant.
        clip: How far a value may move, in units of the return: 0.2 is much where returns are in [0, 1] and nothing
            where they are in the hundreds. Above 0.
    """
    held = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (held - returns) ** 2)


def huber(
    values: Float[Tensor, "rows tokens"],
    old_values: Float[Tensor, "rows tokens"],
    returns: Float[Tensor, "rows tokens"],
    *,
    clip: float = 1.0,
) -> Float[Tensor, "rows tokens"]:
    r"""Half the squared error up to an error of `clip`, and a straight line from there: its gradient is held in ±clip.

    .. math:: L_t = \frac{1}{2} e_t^2 \ (|e_t| \le c), \quad c\, (|e_t| - \frac{1}{2} c) \ \text{otherwise}, \quad
              e_t = V_t - R_t

    Source: Huber (1964), Robust estimation of a location parameter.

    Args:
        values: Of the critic that is trained, of the state before each token.
        old_values: Its values at the beginning of the step; not used.
        returns: What the values should be; a constant.
        clip: The bound c, in units of the return; above 0.
    """
    return torch.nn.functional.huber_loss(values, returns, reduction="none", delta=clip)


VALUE_LOSSES: dict[str, Callable[..., Tensor]] = {"squared": squared, "clipped": clipped, "huber": huber}
"""Each takes (values, old_values, returns), all "rows tokens", and `clip` by keyword."""


def explained_variance(
    values: Float[Tensor, "rows tokens"],
    returns: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
) -> float:
    r"""Share of the returns' variance that the values explain, :math:`1 - \mathrm{Var}(R - V) / \mathrm{Var}(R)`.

    1: the values follow the returns (a constant offset does not count against them); 0: no better than a constant;
    below 0: worse than one. Not a number where the returns have no variance, or there are none.

    Args:
        values: Of the critic before the update.
        returns: What they should have been.
        mask: Where the critic is trained; what stands elsewhere is left out.
    """
    wanted, missing = returns[mask].double(), (returns - values)[mask].double()
    # Equal numbers can miss their mean by a rounding, and would have a variance.
    if len(wanted) == 0 or bool(wanted.min() == wanted.max()):
        return math.nan
    return 1 - float(missing.var(correction=0) / wanted.var(correction=0))
