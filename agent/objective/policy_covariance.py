"""Policy losses that keep entropy up by holding back the few tokens that use most of it.

A step lowers entropy where a likely token had a good advantage: where the covariance of log-probability and advantage
is high. The tokens are chosen once over the whole mini-batch, before it is split, by the functions `select_...`; the
losses are told which.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .masked import zeroed
from .policy_clip import surrogate


def clip_cov(
    logprobs: Float[Tensor, "rows tokens"],
    old_logprobs: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
    selected: Bool[Tensor, "rows tokens"],
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> tuple[Float[Tensor, "rows tokens"], Bool[Tensor, "rows tokens"]]:
    r"""Clip-Cov: the surrogate of PPO, and 0 for the selected tokens.

    Source: Cui et al., The entropy mechanism (arXiv 2505.22617), section 4.2, Clip-Cov. The bounds on the ratio, which
    the equation there leaves out, are in the authors' code.

    Args:
        logprobs: Of the tokens under the policy that is trained.
        old_logprobs: Under the policy at the beginning of the step; a constant.
        advantages: One a token.
        mask: Action tokens; elsewhere the loss is 0, whatever stands there.
        selected: From `select_clip_cov`.
        clip_low, clip_high: The ratio is held in [1 - clip_low, 1 + clip_high].

    Returns:
        The losses, and the tokens whose gradient is cut, the selected ones among them.
    """
    kept = mask & ~selected
    losses, clipped = surrogate(zeroed(logprobs - old_logprobs, kept), zeroed(advantages, kept), clip_low, clip_high)
    return losses, clipped | (selected & mask)


def kl_cov(
    logprobs: Float[Tensor, "rows tokens"],
    old_logprobs: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
    selected: Bool[Tensor, "rows tokens"],
    *,
    kl_cov_coef: float = 1.0,
) -> tuple[Float[Tensor, "rows tokens"], Bool[Tensor, "rows tokens"]]:
    r"""KL-Cov: the surrogate without a clip, and a penalty on the selected tokens for leaving the old policy.

    .. math:: L_t = -\rho_t A_t + \beta\, [t \in \mathrm{selected}]\, |\log \rho_t|

    The penalty is zero, and so is its gradient, at ratio 1: it needs more than one update a step to do anything.

    Source: Cui et al., The entropy mechanism (arXiv 2505.22617), section 4.2, KL-Cov, with beta = 1. The equation there
    has the divergence from the old policy; the absolute value is how the authors' code estimates it.

    Args:
        logprobs: Of the tokens under the policy that is trained.
        old_logprobs: Under the policy at the beginning of the step; a constant.
        advantages: One a token.
        mask: Action tokens; elsewhere the loss is 0, whatever stands there.
        selected: From `select_kl_cov`.
        kl_cov_coef: The weight beta of the penalty.

    Returns:
        The losses, and that no gradient is cut.
    """
    log_ratio = zeroed(logprobs - old_logprobs, mask)
    penalty = zeroed(log_ratio.abs(), selected)
    return -log_ratio.exp() * zeroed(advantages, mask) + kl_cov_coef * penalty, torch.zeros_like(mask)


def select_clip_cov(
    old_logprobs: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
    *,
    cov_share: float = 2e-4,
    cov_low: float = 1.0,
    cov_high: float = 5.0,
    seed: int = 0,
) -> Bool[Tensor, "rows tokens"]:
    """A share of the tokens, at least one, drawn at random from those whose covariance is between two bounds.

    Fewer are chosen where there are not so many between the bounds. What is drawn depends on the seed and on the order
    of the rows, not on padding.

    Source: Cui et al., The entropy mechanism (arXiv 2505.22617), section 4.2, with its r = 2e-4 and bounds 1 and 5.

    Args:
        old_logprobs: Under the policy at the beginning of the step.
        advantages: One a token.
        mask: Action tokens of the whole mini-batch.
        cov_share: Share of the action tokens, 0 to 1.
        cov_low, cov_high: The bounds, both exclusive.
        seed: Of the draw.
    """
    covariance = covariances(old_logprobs, advantages, mask)
    candidates = (mask & (covariance > cov_low) & (covariance < cov_high)).flatten().nonzero()[:, 0]
    order = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed)).to(candidates.device)
    return _marked(candidates[order[: _count(cov_share, mask)]], mask)


def select_kl_cov(
    old_logprobs: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
    *,
    cov_share: float = 2e-3,
) -> Bool[Tensor, "rows tokens"]:
    """The share of the tokens, at least one, that have the largest covariance; of equal ones the first.

    Source: Cui et al., The entropy mechanism (arXiv 2505.22617), section 4.2: k = 2e-3 for its 7B model, 2e-4 for 32B.

    Args:
        old_logprobs: Under the policy at the beginning of the step.
        advantages: One a token.
        mask: Action tokens of the whole mini-batch.
        cov_share: Share of the action tokens, 0 to 1.
    """
    covariance = covariances(old_logprobs, advantages, mask).masked_fill(~mask, -torch.inf)
    order = torch.argsort(covariance.flatten(), descending=True, stable=True)
    return _marked(order[: _count(cov_share, mask)], mask)


def covariances(
    logprobs: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
) -> Float[Tensor, "rows tokens"]:
    r"""Contribution of each token to the covariance over all action tokens; rubbish outside the mask.

    .. math:: (\log \pi(a_t) - \mathrm{mean} \log \pi)\, (A_t - \mathrm{mean} A)

    Source: Cui et al., The entropy mechanism (arXiv 2505.22617), section 4.2, the token-wise centred cross-product.
    """
    count = mask.sum().clamp(min=1)
    logprobs, advantages = zeroed(logprobs, mask), zeroed(advantages, mask)
    return (logprobs - logprobs.sum() / count) * (advantages - advantages.sum() / count)


def _count(share: float, mask: Bool[Tensor, "rows tokens"]) -> int:
    return max(1, int(share * int(mask.sum())))


def _marked(places: Tensor, mask: Bool[Tensor, "rows tokens"]) -> Bool[Tensor, "rows tokens"]:
    marks = torch.zeros_like(mask).flatten()
    marks[places] = True
    return marks.view_as(mask) & mask
