"""Policy losses that cut no token off: REINFORCE, a bounded weight before it, and a gate in place of the clip."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .masked import zeroed

MAX_LOG_RATIO = 20.0
"""Above it the gate of SAPO is flat to the last digit, and somewhat further the exponential is infinite."""


def reinforce(
    logprobs: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
) -> tuple[Float[Tensor, "rows tokens"], Bool[Tensor, "rows tokens"]]:
    r"""The policy gradient without a ratio, :math:`L_t = -A_t \log \pi(a_t)`; GPG uses it too.

    It is the gradient of the expected return only at the weights that sampled: with several updates a step nothing
    corrects for those that moved.

    Source: Williams (1992), Simple statistical gradient-following algorithms; GPG (arXiv 2504.02546).

    Args:
        logprobs: Of the tokens under the policy that is trained.
        advantages: One a token.
        mask: Action tokens; elsewhere the loss is 0, whatever stands there.

    Returns:
        The losses, and that no gradient is cut.
    """
    return -zeroed(advantages, mask) * zeroed(logprobs, mask), torch.zeros_like(mask)


def cispo(
    logprobs: Float[Tensor, "rows tokens"],
    old_logprobs: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
    *,
    clip_low: float = 1.0,
    clip_high: float = 4.0,
) -> tuple[Float[Tensor, "rows tokens"], Bool[Tensor, "rows tokens"]]:
    r"""REINFORCE, weighted by a ratio that is bounded and passes no gradient.

    .. math:: L_t = -\mathrm{sg}[\mathrm{clip}(\rho_t, 1 - c_{low}, 1 + c_{high})]\, A_t \log \pi(a_t)

    Every token keeps a gradient, those included that PPO would drop. The paper sets no lower bound (clip_low = 1) and
    does not print its upper one; the default holds the ratio at 5, as ScaleRL does.

    Source: MiniMax-M1 (arXiv 2506.13585), equations 4 and 5; the bound: ScaleRL (arXiv 2510.13786).

    Args:
        logprobs: Of the tokens under the policy that is trained.
        old_logprobs: Under the policy at the beginning of the step; a constant.
        advantages: One a token.
        mask: Action tokens; elsewhere the loss is 0, whatever stands there.
        clip_low, clip_high: The weight is held in [1 - clip_low, 1 + clip_high].

    Returns:
        The losses, and the tokens whose weight was held: their gradient is bounded, not zero.
    """
    ratio = zeroed(logprobs - old_logprobs, mask).detach().exp()
    clipped = (ratio > 1 + clip_high) | (ratio < 1 - clip_low)
    weight = ratio.clamp(1 - clip_low, 1 + clip_high)
    return -weight * zeroed(advantages, mask) * zeroed(logprobs, mask), clipped


def sapo(
    logprobs: Float[Tensor, "rows tokens"],
    old_logprobs: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
    *,
    temperature_positive: float = 1.0,
    temperature_negative: float = 1.05,
) -> tuple[Float[Tensor, "rows tokens"], Bool[Tensor, "rows tokens"]]:
    r"""Soft adaptive policy optimisation: a smooth gate in place of the clip.

    .. math:: L_t = -\frac{4}{\tau_t}\, \sigma(\tau_t (\rho_t - 1))\, A_t

    with :math:`\tau_t` the positive temperature where A_t > 0 and the negative one elsewhere. At ratio 1 the gradient
    is that of REINFORCE, and it fades on both sides of it, the faster the higher the temperature. The paper averages
    over sequences: aggregation "sequence_mean".

    Source: SAPO (arXiv 2511.20347), section 3.

    Args:
        logprobs: Of the tokens under the policy that is trained.
        old_logprobs: Under the policy at the beginning of the step; a constant.
        advantages: One a token.
        mask: Action tokens; elsewhere the loss is 0, whatever stands there.
        temperature_positive, temperature_negative: Above 0.

    Returns:
        The losses, and that no gradient is cut.
    """
    ratio = zeroed(logprobs - old_logprobs, mask).clamp(max=MAX_LOG_RATIO).exp()
    advantages = zeroed(advantages, mask)
    temperature = torch.full_like(advantages, temperature_negative).masked_fill(advantages > 0, temperature_positive)
    return -4 / temperature * torch.sigmoid(temperature * (ratio - 1)) * advantages, torch.zeros_like(mask)
