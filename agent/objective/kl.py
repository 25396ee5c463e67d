"""Estimators of the divergence KL(pi || pi_ref) from the sampled tokens alone.

What an estimator's value says and what its gradient does are two things. Used in the reward, the value counts and no
gradient passes; used in the loss, only the gradient counts, and that of a good estimate can be worthless (k1). With a
ranging over what the policy may say, and expectations over the policy's own tokens:

    name  value                 its mean                   mean of its gradient
    k1    log(pi / pi_ref)      KL(pi || pi_ref)           0
    k2    log(pi / pi_ref)^2/2  biased                     gradient of KL(pi || pi_ref)
    k3    r - 1 - log r         KL(pi || pi_ref)           gradient of KL(pi_ref || pi)

with r = pi_ref / pi. Source of the names: J. Schulman, "Approximating KL divergence" (2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import ConfigError


def k1(logprobs: Float[Tensor, "rows tokens"], reference: Float[Tensor, "rows tokens"]) -> Float[Tensor, "rows tokens"]:
    r""":math:`\log \pi - \log \pi_{ref}`.

    Value: unbiased for KL(pi || pi_ref), large variance, negative for some tokens. Gradient, on-policy: that of log pi,
    whose expectation is 0: in the loss it is noise, so it belongs in the reward.
    """
    return logprobs - reference


def k2(logprobs: Float[Tensor, "rows tokens"], reference: Float[Tensor, "rows tokens"]) -> Float[Tensor, "rows tokens"]:
    r""":math:`(\log \pi - \log \pi_{ref})^2 / 2`.

    Value: biased, small variance, never negative. Gradient, on-policy: unbiased for that of KL(pi || pi_ref), the same
    as k1 gives in the reward of REINFORCE.
    """
    return 0.5 * (logprobs - reference) ** 2


def k3(logprobs: Float[Tensor, "rows tokens"], reference: Float[Tensor, "rows tokens"]) -> Float[Tensor, "rows tokens"]:
    r""":math:`r - 1 - \log r` with :math:`r = \pi_{ref} / \pi`.

    Value: unbiased for KL(pi || pi_ref), small variance, never negative. Gradient, on-policy: unbiased for that of the
    other direction, KL(pi_ref || pi). Source: DeepSeekMath (arXiv 2402.03300), equation 4.
    """
    log_ratio = reference - logprobs
    # expm1: exp(x) - 1 loses all digits where the policies are close, and can come out negative.
    return torch.expm1(log_ratio) - log_ratio


Estimate = Callable[[Tensor, Tensor], Tensor]
"""(logprobs, reference), each "rows tokens" -> Float["rows tokens"]."""

KL_ESTIMATORS: dict[str, Estimate] = {"k1": k1, "k2": k2, "k3": k3}


def in_loss(name: str) -> Estimate:
    """An estimator to be added to the loss: for its gradient.

    Raises:
        ConfigError: there is none of this name, or it is k1, whose gradient has expectation 0.
    """
    if name == "k1":
        raise ConfigError(
            "KL estimator 'k1' in the loss has a gradient of expectation 0 on the policy's own tokens: it would add "
            "noise and hold nothing back. In the loss use 'k2' (gradient of KL(policy || reference)) or 'k3' (gradient "
            "of KL(reference || policy)); 'k1' is for the reward."
        )
    return _estimator(name)


def penalty(name: str) -> Estimate:
    """An estimator to be subtracted from the reward: for its value, a constant without gradient.

    Raises:
        ConfigError: there is none of this name.
    """
    estimator = _estimator(name)
    return lambda logprobs, reference: estimator(logprobs.detach(), reference.detach())


def adapted(
    coef: float, observed: float, target: float, *, horizon_ratio: float = 0.1, error_bound: float = 0.2
) -> float:
    r"""The coefficient of the next step, moved so that the observed divergence comes to a target.

    .. math:: e = \mathrm{clip}\Big(\frac{\mathrm{KL}}{\mathrm{KL}_{target}} - 1,\ -0.2,\ 0.2\Big), \quad
              \beta' = \beta\, (1 + K_\beta\, e)

    Source: Ziegler et al. (arXiv 1909.08593), section 2.2, with K = 0.1.

    Args:
        coef: The present coefficient beta.
        observed: Divergence of this step; one that is not a number changes nothing.
        target: The divergence wanted, in the same units (nats a token, or a trajectory), above 0.
        horizon_ratio: K. Where a horizon in trajectories is preferred: the trajectories of a step over the horizon.
        error_bound: Bound on the relative error e.

    Raises:
        ConfigError: the target is not above 0.
    """
    if not target > 0:
        raise ConfigError(f"adaptive KL coefficient: expected a target divergence above 0, got {target}.")
    if math.isnan(observed):
        return coef
    error = min(max(observed / target - 1, -error_bound), error_bound)
    return coef * (1 + horizon_ratio * error)


def _estimator(name: str) -> Estimate:
    if name not in KL_ESTIMATORS:
        raise ConfigError(f"KL estimator: expected one of {', '.join(KL_ESTIMATORS)}, got {name!r}.")
    return KL_ESTIMATORS[name]
