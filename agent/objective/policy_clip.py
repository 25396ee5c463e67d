"""The clipped surrogate of PPO, on whose shape most policy losses are built."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import ConfigError
from .masked import zeroed


def ppo_clip(
    logprobs: Float[Tensor, "rows tokens"],
    old_logprobs: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float = 0.0,
) -> tuple[Float[Tensor, "rows tokens"], Bool[Tensor, "rows tokens"]]:
    r"""The clipped surrogate of PPO, one ratio a token.

    .. math:: L_t = -\min(\rho_t A_t,\ \mathrm{clip}(\rho_t, 1 - c_{low}, 1 + c_{high}) A_t), \quad
              \rho_t = \pi(a_t) / \pi_{old}(a_t)

    and with a dual clip c, where A_t < 0, :math:`L_t = -\max(\min(\cdot, \cdot),\ c A_t)`: a bad token that became much
    more likely is pushed back no further.

    Source: PPO (arXiv 1707.06347), equation 7; separate bounds: DAPO (arXiv 2503.14476), equation 10; dual clip: Ye et
    al. (arXiv 1912.09729), equation 5.

    Args:
        logprobs: Of the tokens under the policy that is trained.
        old_logprobs: Under the policy at the beginning of the step; a constant.
        advantages: One a token.
        mask: Action tokens; elsewhere the loss is 0, whatever stands there.
        clip_low: The ratio is held at 1 - clip_low and above, for negative advantages.
        clip_high: The ratio is held at 1 + clip_high and below, for positive advantages.
        dual_clip: Where the ratio is held for negative advantages, above 1 (the paper: 3); 0 turns it off.

    Returns:
        The losses, and the tokens whose gradient a clip makes zero.

    Raises:
        ConfigError: dual_clip is neither 0 nor above 1.
    """
    log_ratio = zeroed(logprobs - old_logprobs, mask)
    return surrogate(log_ratio, zeroed(advantages, mask), clip_low, clip_high, dual_clip)


def dapo(
    logprobs: Float[Tensor, "rows tokens"],
    old_logprobs: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual_clip: float = 0.0,
) -> tuple[Float[Tensor, "rows tokens"], Bool[Tensor, "rows tokens"]]:
    """`ppo_clip` with the wider upper bound of DAPO, "clip-higher": unlikely tokens may gain more before they are held.

    DAPO's other parts are choices of their own: aggregation "token_mean", dynamic sampling, `shaping.overlong_penalty`.

    Source: DAPO (arXiv 2503.14476), equation 10, with its bounds 0.2 and 0.28.
    """
    return ppo_clip(
        logprobs, old_logprobs, advantages, mask, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip
    )


def surrogate(
    log_ratio: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    clip_low: float,
    clip_high: float,
    dual_clip: float = 0.0,
) -> tuple[Float[Tensor, "rows tokens"], Bool[Tensor, "rows tokens"]]:
    """The losses of `ppo_clip` from the logarithms of any ratios, and the tokens where a clip cuts the gradient.

    Written as what the minimum comes to: outside a bound and in the direction that the advantage favours the ratio is a
    constant, and everywhere else it moves.
    """
    if dual_clip != 0 and dual_clip <= 1:
        raise ConfigError(f"dual_clip: expected 0 (off) or a ratio above 1, such as 3, got {dual_clip}.")
    ratio = log_ratio.detach().exp()
    clipped = ((ratio > 1 + clip_high) & (advantages > 0)) | ((ratio < 1 - clip_low) & (advantages < 0))
    held = ratio.clamp(1 - clip_low, 1 + clip_high)
    if dual_clip:
        far = (ratio > dual_clip) & (advantages < 0)
        held = held.masked_fill(far, dual_clip)
        clipped = clipped | far
    # What is held is taken out before the exponential: behind it, zero times infinity would be no number.
    moving = log_ratio.masked_fill(clipped, 0.0).exp()
    return -torch.where(clipped, held, moving) * advantages, clipped
