"""The registry of policy losses: from log-probabilities and advantages to one number a token, to be minimised.

Every function is pure and returns losses that are not yet averaged: which tokens count, and by what they are divided,
is decided in one place over the whole batch (`aggregation`), so that splits into micro-batches never change a gradient.
"""

from __future__ import annotations

from .plugin import PolicyLoss
from .policy_clip import dapo, ppo_clip
from .policy_covariance import clip_cov, kl_cov, select_clip_cov, select_kl_cov
from .policy_sequence import gmpo, gspo
from .policy_weighted import cispo, reinforce, sapo

POLICY_LOSSES: dict[str, PolicyLoss] = {
    "ppo_clip": PolicyLoss(ppo_clip, "PPO (arXiv 1707.06347), equation 7"),
    "dapo": PolicyLoss(dapo, "DAPO (arXiv 2503.14476), equation 10"),
    "gspo": PolicyLoss(gspo, "GSPO (arXiv 2507.18071), equations 5 and 13"),
    "gmpo": PolicyLoss(gmpo, "GMPO (arXiv 2507.20673), section 3"),
    "cispo": PolicyLoss(cispo, "MiniMax-M1 (arXiv 2506.13585), equations 4 and 5"),
    "clip_cov": PolicyLoss(clip_cov, "The entropy mechanism (arXiv 2505.22617), section 4.2", select_clip_cov),
    "kl_cov": PolicyLoss(kl_cov, "The entropy mechanism (arXiv 2505.22617), section 4.2", select_kl_cov),
    "sapo": PolicyLoss(sapo, "SAPO (arXiv 2511.20347), section 3"),
    "reinforce": PolicyLoss(reinforce, "Williams (1992); GPG (arXiv 2504.02546)"),
}
