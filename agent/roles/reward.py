"""The Reward: what each trajectory is worth to the objective."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..seeds import generator
from ..types import Trajectory


def scores_and_validity(
    trajectories: Sequence[Trajectory],
) -> tuple[Float[Tensor, " trajectories"], Bool[Tensor, " trajectories"]]:
    """The environments' returns (0 where there is none) and which trajectories count."""
    scores = torch.tensor([0.0 if t.outcome.score is None else t.outcome.score for t in trajectories])
    return scores, torch.tensor([t.valid for t in trajectories])


def shuffled(
    scores: Float[Tensor, " trajectories"], valid: Bool[Tensor, " trajectories"], seed: int, step: int
) -> Float[Tensor, " trajectories"]:
    """A control: the same scores in another order, so that they tell nothing about the trajectories they stand at.

    Only valid trajectories exchange scores: what stands at a broken one is not a reward.
    """
    places = valid.nonzero()[:, 0]
    order = torch.from_numpy(generator(seed, "shuffled rewards", step).permutation(len(places)))
    return scores.index_put((places,), scores[places[order]])
