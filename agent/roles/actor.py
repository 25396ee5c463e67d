"""The Actor: the policy that is trained, seen as log-probabilities of action tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from ..engine.batching import Batch
from ..model.chunked_logprobs import chunked_logprobs
from ..model.forward import device_of, hidden_states, next_token_logits
from ..model.kept_prompts import KeptPrompts
from ..model.states import States, batch_states


@dataclass(frozen=True, eq=False)
class Actor:
    """A model with the distribution that its actions are drawn from.

    `temperature` and `banned_ids` are those of the sampler, so that both speak of the same distribution. Of
    `logprob_chunk` positions at once the logits are computed; 0: of all.
    """

    model: PreTrainedModel
    temperature: float
    banned_ids: tuple[int, ...]
    logprob_chunk: int = 0

    def idle(self) -> Tensor:
        """A pass that means nothing and weighs nothing: 0, with a graph through the whole model."""
        device = device_of(self.model)
        one = torch.ones((1, 1), dtype=torch.long, device=device)
        hidden = hidden_states(self.model, one, one, torch.zeros((3, 1, 1), dtype=torch.long, device=device), [])
        return 0.0 * next_token_logits(self.model, hidden).float().sum()

    def states(self, batch: Batch, kept: KeptPrompts | None = None) -> States:
        """Last hidden states, where an action is chosen and at the end of each row; what rows share is run once. kept:
        Prompts that were run with these weights already."""
        return batch_states(self.model, batch, kept)

    def logprobs(
        self, batch: Batch, states: States | None = None, entropy_gradient: bool = False
    ) -> tuple[Float[Tensor, "rows tokens"], Float[Tensor, "rows tokens"]]:
        """Log-probability of each action token and entropy of the distribution it came from (nats); 0 elsewhere.

        The head is run only at the positions that predict an action. `states`: the batch's, if it was run already.
        """
        device = device_of(self.model)
        states = self.states(batch) if states is None else states
        mask = batch.action_mask.to(device)
        chosen, entropy = chunked_logprobs(
            self.model.get_output_embeddings(),
            states.at(batch.predicting.to(device)),
            batch.input_ids.to(device)[mask],
            self.temperature,
            self.banned_ids,
            self.logprob_chunk,
            entropy_gradient,
        )
        flat = torch.zeros(mask.shape, dtype=torch.float32, device=device)
        return flat.masked_scatter(mask, chosen), flat.masked_scatter(mask, entropy)
