"""A user's advantage estimator: GAE in which what lies behind a picture has a discount of its own.

    cd bench/experiments
    python -m agent train coding --algorithm.family ppo --algorithm.advantage visual_gae:visual_gae \\
      --algorithm.advantage_options '{picture_discount: 0.9}'

Written as anybody would write one who uses the package: one file, outside of it, and one option that names it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def visual_gae(
    rewards: Tensor,
    values: Tensor,
    images_before: Tensor,
    mask: Tensor,
    valid: Tensor,
    *,
    discount: float = 1.0,
    gae_lambda: float = 1.0,
    picture_discount: float = 0.9,
    picture_lambda: float = 0.9,
    whiten: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Generalised advantage estimation over segments that pictures begin.

    .. math:: A_t = \delta_t + \gamma_t \lambda_t A_{t + 1}, \quad \delta_t = r_t + \gamma_t V(s_{t + 1}) - V(s_t)

    Between two action tokens with a picture between them, gamma is `picture_discount` and lambda `picture_lambda`;
    everywhere else, within a turn and across an answer in words alone, they are `discount` and `gae_lambda`. The value
    after the last token is 0.

    Source: GAE (arXiv 1506.02438), equation 16, with a discount that depends on the transition.

    Args:
        rewards: (trajectories, actions), the reward after each action token.
        values: (trajectories, actions), the critic's value of the state before each.
        images_before: (trajectories, actions), pictures between the action token before it and it.
        mask: (trajectories, actions), which entries exist.
        valid: (trajectories,), which trajectories count.
        discount: Gamma, where no picture lies between.
        gae_lambda: Lambda, likewise.
        picture_discount: Gamma, where a picture does.
        picture_lambda: Lambda, likewise.
        whiten: Give the advantages of all action tokens mean 0 and deviation 1.

    Returns:
        Advantages; the critic's targets; where the critic is trained. All (trajectories, actions), 0 elsewhere.
    """
    counts = mask & valid[:, None]
    seen = images_before > 0
    gamma = torch.where(seen, picture_discount, discount)
    decay = gamma * torch.where(seen, picture_lambda, gae_lambda)
    advantages = torch.zeros_like(values)
    # Of the step that comes after, all in one column each: its advantage, its value, and what lies before it.
    later, value = torch.zeros(len(values)), torch.zeros(len(values))
    across, passed = torch.ones(len(values)), torch.ones(len(values))
    for t in reversed(range(values.shape[1])):
        here = counts[:, t]
        advantages[:, t] = rewards[:, t] + across * value - values[:, t] + passed * later
        later = torch.where(here, advantages[:, t], later)
        value = torch.where(here, values[:, t], value)
        across = torch.where(here, gamma[:, t], across)
        passed = torch.where(here, decay[:, t], passed)
    advantages = torch.where(counts, advantages, 0.0)
    returns = torch.where(counts, advantages + values, 0.0)
    kept = advantages[counts]
    if whiten and len(kept) > 1:
        advantages = torch.where(counts, (advantages - kept.mean()) / (kept.std() + 1e-6), 0.0)
    return advantages, returns, counts
