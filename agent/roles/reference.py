"""The Reference: the policy as it was at the start, to which the trained one is kept near."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..engine.batching import Batch
from ..engine.offload import Offload
from ..model.lora import adapter_off as without_adapter
from ..model.lora import fold
from .actor import Actor


class Reference:
    """A frozen policy; needed only where the objective has a divergence.

    Args:
        actor: The policy to keep.
        adapter_off: It is the actor's own model with its adapter switched off, which costs no memory.
        copied: False: the actor's model is nobody else's and needs no copy.
    """

    def __init__(self, actor: Actor, adapter_off: bool = False, copied: bool = True) -> None:
        self._adapter_off = adapter_off
        if not adapter_off:
            model = copy.deepcopy(actor.model) if copied else actor.model
            fold(model)
            actor = replace(actor, model=model.requires_grad_(False).eval())
        self._actor = actor
        # Without a copy there is nothing of its own.
        self.offload = Offload("reference", lambda: () if adapter_off else actor.model.parameters())

    @torch.no_grad()
    def logprobs(self, batch: Batch) -> Float[Tensor, "rows tokens"]:
        """Log-probabilities of the batch's action tokens under the frozen policy, 0 elsewhere."""
        self.offload.require()
        with without_adapter(self._actor.model) if self._adapter_off else nullcontext():
            return self._actor.logprobs(batch)[0]

    @torch.no_grad()
    def follow(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Become the policy whose weights these are, under their Hugging Face names."""
        own = self._actor.model.state_dict(keep_vars=True)
        for name, tensor in tensors:
            own[name].copy_(tensor)

    def state_dict(self) -> dict[str, Any]:
        """The weights, for a reference that is not the policy of step 0."""
        return {} if self._adapter_off else self._actor.model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            self._actor.model.load_state_dict(state)
