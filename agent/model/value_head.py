"""The critic's model: one number for each state, on top of the last hidden states of a vision-language model.

The value of the state before token t is v = w . h[t - 1] + b, where h[t - 1] is the last hidden state at the token
before it: what the model knows when it chooses token t (as in PPO for language models, arXiv 2203.02155, and TRL). The
trunk is a copy of the policy's model without its head, or the policy's own.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..engine.batching import Batch
from .forward import device_of, hidden_states
from .kept_prompts import KeptPrompts
from .lora import fold
from .states import States, batch_states, share, sharing_of


class ValueModel(nn.Module):
    """A value function over the states of a batch. Values are float32, in units of reward.

    Made by `own_trunk` or `shared_trunk`. `parameters()` and `state_dict()` hold what belongs to the critic: the head,
    and the trunk if it is its own. The head begins at zero: before anything is learned, nothing is expected.

    Args:
        trunk: A vision-language model, with or without its language-modelling head.
        shared: The trunk is the policy's: it is neither counted nor saved among the critic's weights.
    """

    def __init__(self, trunk: PreTrainedModel, shared: bool) -> None:
        super().__init__()
        self._shared_trunk = (trunk,) if shared else ()  # a tuple hides it from parameters() and state_dict()
        self.own_trunk = None if shared else trunk
        # The head stays in float32: values are regressed, and 8 bits cannot tell 0.50 from 0.501.
        hidden = trunk.config.get_text_config().hidden_size
        self.head = nn.Linear(hidden, 1, device=trunk.device, dtype=torch.float32)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @property
    def trunk(self) -> PreTrainedModel:
        return self._shared_trunk[0] if self.own_trunk is None else self.own_trunk

    def forward(
        self, batch: Batch, kept: KeptPrompts | None = None
    ) -> tuple[Float[Tensor, "rows tokens"], Float[Tensor, " rows"]]:
        """Values of the states before each action token, 0 elsewhere, and of those after the last token of each row.
        kept: Prompts that the trunk has run already, with the weights as they are."""
        return self.from_states(batch_states(self.trunk, batch, kept), batch)

    def idle(self) -> tuple[Tensor, Tensor]:
        """A pass that means nothing and weighs nothing: 0, with a graph through the whole model; and no final value."""
        device = device_of(self.trunk)
        one = torch.ones((1, 1), dtype=torch.long, device=device)
        hidden = hidden_states(self.trunk, one, one, torch.zeros((3, 1, 1), dtype=torch.long, device=device), [])
        return 0.0 * self._value(hidden[0]).sum(), hidden.new_zeros(0)

    def from_states(self, states: States, batch: Batch) -> tuple[Float[Tensor, "rows tokens"], Float[Tensor, " rows"]]:
        """The same from last hidden states that somebody else has computed already."""
        device = states.flat.device
        mask = batch.action_mask.to(device)
        flat = torch.zeros(mask.shape, dtype=torch.float32, device=device)
        before = states.at(batch.predicting.to(device))
        last = states.last(batch.attention_mask.sum(1).to(device))
        return flat.masked_scatter(mask, self._value(before)), self._value(last)

    def _value(self, states: Float[Tensor, "states channels"]) -> Float[Tensor, " states"]:
        return self.head(states.float())[:, 0]


def own_trunk(policy: PreTrainedModel) -> ValueModel:
    """A critic that begins as a copy of the policy, vision included, without its language-modelling head.

    An adapter is folded in. All of the copy is trainable, whatever is frozen in the policy.
    """
    trunk: Any = copy.deepcopy(policy.base_model)
    fold(trunk)
    share(trunk, sharing_of(policy))
    return ValueModel(trunk.requires_grad_(True), shared=False)


def shared_trunk(policy: PreTrainedModel) -> ValueModel:
    """A critic that is a head on the policy's own last hidden states."""
    return ValueModel(policy, shared=True)
