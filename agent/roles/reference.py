"""The Reference: the policy as it was at the start, to which the trained one is kept near."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor

from ..engine.batching import Batch
from .actor import Actor


class Reference:
    """A frozen copy of the actor; needed only where the objective has a KL term."""

    def __init__(self, actor: Actor) -> None:
        model = copy.deepcopy(actor.model).requires_grad_(False).eval()
        self._actor = Actor(model, actor.temperature, actor.banned_ids)

    @torch.no_grad()
    def logprobs(self, batch: Batch) -> Float[Tensor, "rows tokens"]:
        """Log-probabilities of the batch's action tokens under the frozen policy, 0 elsewhere."""
        return self._actor.logprobs(batch)[0]
