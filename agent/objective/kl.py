"""Estimators of the divergence KL(policy || reference) from the sampled tokens alone.

Source of the names: J. Schulman, "Approximating KL divergence" (2020).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def k2(logprobs: Float[Tensor, "rows tokens"], reference: Float[Tensor, "rows tokens"]) -> Float[Tensor, "rows tokens"]:
    r"""(log pi - log pi_ref)^2 / 2: biased, small variance; its gradient on-policy is that of KL(pi || pi_ref)."""
    return 0.5 * (logprobs - reference) ** 2


def k3(logprobs: Float[Tensor, "rows tokens"], reference: Float[Tensor, "rows tokens"]) -> Float[Tensor, "rows tokens"]:
    r"""r - 1 - log r with r = pi_ref / pi: unbiased, never negative; on-policy its gradient is that of the reverse
    direction, KL(pi_ref || pi). Source: DeepSeekMath (arXiv 2402.03300), equation 4.
    """
    log_ratio = reference - logprobs
    # expm1: exp(x) - 1 loses all digits where the policies are close, and can come out negative.
    return torch.expm1(log_ratio) - log_ratio


KL_ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"k2": k2, "k3": k3}
