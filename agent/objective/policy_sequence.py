"""Policy losses with one ratio a sequence. A sequence is a trajectory: all of its action tokens, in all of its rows.

Both are written as one term a token whose value has the ratio of the sequence and whose gradient is the token's own.
For an advantage that is the same over the sequence, as in the papers, and weights that are the same too, their sum has
the papers' value and gradient; for advantages by turn or by token, credit stays with the token that earned it.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .masked import sequence_mean, zeroed
from .policy_clip import surrogate


def gspo(
    logprobs: Float[Tensor, "rows tokens"],
    old_logprobs: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
    sequence: Int[Tensor, " rows"],
    *,
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
) -> tuple[Float[Tensor, "rows tokens"], Bool[Tensor, "rows tokens"]]:
    r"""Group sequence policy optimisation: the surrogate of PPO with the ratio of the whole sequence.

    .. math:: s = \exp\Big(\frac{1}{n} \sum_{u=1}^{n} \log \frac{\pi(a_u)}{\pi_{old}(a_u)}\Big), \quad
              s_t = \mathrm{sg}[s]\, \frac{\pi(a_t)}{\mathrm{sg}[\pi(a_t)]}, \quad
              L_t = -\min(s_t A_t,\ \mathrm{clip}(s_t, 1 - c_{low}, 1 + c_{high}) A_t)

    with sg a constant copy. The paper averages over sequences: aggregation "sequence_mean".

    Source: GSPO (arXiv 2507.18071), equations 5 and 7 (the objective and s), in the form for each token that the paper
    names GSPO-token (equations 13 and 14). Its bounds, 3e-4 and 4e-4, are those of section 5.1: a mean of log ratios
    moves far less than a single one.

    Args:
        logprobs: Of the tokens under the policy that is trained.
        old_logprobs: Under the policy at the beginning of the step; a constant.
        advantages: One a token.
        mask: Action tokens; elsewhere the loss is 0, whatever stands there.
        sequence: Trajectory of each row; all rows of a trajectory must be given together.
        clip_low, clip_high: The ratio is held in [1 - clip_low, 1 + clip_high].

    Returns:
        The losses, and the tokens whose gradient a clip makes zero.
    """
    mean = sequence_mean((logprobs - old_logprobs).detach(), mask, sequence)
    log_ratio = zeroed(mean + (logprobs - logprobs.detach()), mask)
    return surrogate(log_ratio, zeroed(advantages, mask), clip_low, clip_high)


def gmpo(
    logprobs: Float[Tensor, "rows tokens"],
    old_logprobs: Float[Tensor, "rows tokens"],
    advantages: Float[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
    sequence: Int[Tensor, " rows"],
    *,
    clip_low: float = 0.4,
    clip_high: float = 0.4,
) -> tuple[Float[Tensor, "rows tokens"], Bool[Tensor, "rows tokens"]]:
    r"""Geometric-mean policy optimisation: the geometric mean of the clipped token ratios of a sequence.

    .. math:: c_t = \begin{cases}
                  \min(\log\rho_t, c_{high}) & A_t > 0 \\ \max(\log\rho_t, -c_{low}) & A_t < 0 \end{cases}, \quad
              L_t = -A_t \exp\Big(\frac{1}{n} \sum_{u=1}^{n} c_u\Big)

    where the gradient of L_t is taken by c_t alone, n times. The clip is one of each token and not of the sequence, and
    its bounds are logarithms: the ratio is held in [exp(-clip_low), exp(clip_high)]. The paper averages over sequences:
    aggregation "sequence_mean".

    Source: GMPO (arXiv 2507.20673), section 3, with its range (exp(-0.4), exp(0.4)).

    Args:
        logprobs: Of the tokens under the policy that is trained.
        old_logprobs: Under the policy at the beginning of the step; a constant.
        advantages: One a token.
        mask: Action tokens; elsewhere the loss is 0, whatever stands there.
        sequence: Trajectory of each row; all rows of a trajectory must be given together.
        clip_low, clip_high: The logarithm of each token's ratio is held in [-clip_low, clip_high].

    Returns:
        The losses, and the tokens whose gradient a clip makes zero.
    """
    log_ratio, advantages = zeroed(logprobs - old_logprobs, mask), zeroed(advantages, mask)
    constant = log_ratio.detach()
    clipped = ((constant > clip_high) & (advantages > 0)) | ((constant < -clip_low) & (advantages < 0))
    held = torch.where(clipped, constant.clamp(-clip_low, clip_high), constant)
    own = torch.where(clipped, torch.zeros_like(log_ratio), log_ratio - constant)
    return -torch.exp(sequence_mean(held, mask, sequence) + own) * advantages, clipped
