"""Policy losses: from log-probabilities and advantages to one number a token, to be minimised.

Every function is pure and returns losses that are not yet averaged: which tokens count, and by what they are divided,
is decided in one place over the whole batch (`aggregate`), so that splits into micro-batches never change a gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def ppo_clip(
    logprobs: Float[Tensor, "rows tokens"],
    old_logprobs: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    clip_low: float,
    clip_high: float,
) -> Float[Tensor, "rows tokens"]:
    r"""The clipped surrogate of PPO, as GRPO uses it.

    .. math:: L_t = -\min(\rho_t A_t,\ \mathrm{clip}(\rho_t, 1 - c_{low}, 1 + c_{high}) A_t), \quad
              \rho_t = \exp(\log\pi(a_t) - \log\pi_{old}(a_t))

    Source: PPO (arXiv 1707.06347), equation 7; separate bounds: DAPO (arXiv 2503.14476), equation 10.

    Args:
        logprobs: Of the tokens under the policy that is trained.
        old_logprobs: Under the policy that sampled them; a constant.
        advantages: One a token.
        clip_low, clip_high: The ratio is held in [1 - clip_low, 1 + clip_high].
    """
    ratio = torch.exp(logprobs - old_logprobs)
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def clipped_fraction(
    logprobs: Float[Tensor, "rows tokens"],
    old_logprobs: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    clip_low: float,
    clip_high: float,
) -> Bool[Tensor, "rows tokens"]:
    """Where the clip stops the gradient: the ratio has left the bound in the direction that the advantage favours."""
    ratio = torch.exp(logprobs - old_logprobs)
    return ((ratio > 1 + clip_high) & (advantages > 0)) | ((ratio < 1 - clip_low) & (advantages < 0))


def aggregate(
    losses: Float[Tensor, "rows tokens"], mask: Bool[Tensor, "rows tokens"], tokens: int | float
) -> Float[Tensor, ""]:
    """Sum of the masked losses over a number of tokens that the caller counted over the whole batch.

    Source of the token mean: DAPO (arXiv 2503.14476), section 3.3.
    """
    return torch.where(mask, losses, torch.zeros_like(losses)).sum() / tokens


PolicyLoss = Callable[[Tensor, Tensor, Tensor, float, float], Tensor]
POLICY_LOSSES: dict[str, PolicyLoss] = {"ppo_clip": ppo_clip}
