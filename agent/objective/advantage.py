"""Advantage estimators: from the rewards of a batch of trajectories to what each action token was worth.

Every function is pure: tensors in, tensors out. `valid` marks the trajectories that count; one that the infrastructure
broke changes neither mean nor deviation nor baseline of the others, and gets advantage 0, whatever stands in it.
"""

from __future__ import annotations

from .advantages_batch import reinforce_pp, reinforce_pp_baseline, remax
from .advantages_gae import gae, turn_gae
from .advantages_group import EPSILON, dr_grpo, gpg, group_statistics, grpo, opo, rloo
from .plugin import Estimator

__all__ = [
    "ADVANTAGES",
    "EPSILON",
    "dr_grpo",
    "gae",
    "gpg",
    "group_statistics",
    "grpo",
    "opo",
    "reinforce_pp",
    "reinforce_pp_baseline",
    "remax",
    "rloo",
    "turn_gae",
]

ADVANTAGES: dict[str, Estimator] = {
    "grpo": Estimator(grpo, "DeepSeekMath, arXiv 2402.03300", smallest_group=2),
    "dr_grpo": Estimator(dr_grpo, "Understanding R1-Zero-like training, arXiv 2503.20783", smallest_group=2),
    "rloo": Estimator(rloo, "Back to basics, arXiv 2402.14740", smallest_group=2),
    "reinforce_pp": Estimator(reinforce_pp, "REINFORCE++, arXiv 2501.03262"),
    "reinforce_pp_baseline": Estimator(
        reinforce_pp_baseline, "REINFORCE++ with baseline, arXiv 2501.03262", smallest_group=2
    ),
    "remax": Estimator(remax, "ReMax, arXiv 2310.10505"),
    "opo": Estimator(opo, "On-policy RL with optimal reward baseline, arXiv 2505.23585", smallest_group=2),
    "gpg": Estimator(gpg, "GPG, arXiv 2504.02546", smallest_group=2),
    "gae": Estimator(gae, "Generalized advantage estimation, arXiv 1506.02438"),
    "turn_gae": Estimator(turn_gae, "Generalized advantage estimation, arXiv 1506.02438, with turns as steps"),
}
