"""The Actor: the policy that is trained, seen as log-probabilities of action tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from ..engine.batching import Batch
from ..model.chunked_logprobs import chunked_logprobs
from ..model.shared_prompt import batch_hidden_states


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

    def hidden(self, batch: Batch) -> Float[Tensor, "rows tokens channels"]:
        """Last hidden states, valid from the last token of each row's prompt on; a shared prompt is run once."""
        return batch_hidden_states(self.model, batch)

    def logprobs(
        self, batch: Batch, hidden: Float[Tensor, "rows tokens channels"] | None = None, entropy_gradient: bool = False
    ) -> tuple[Float[Tensor, "rows tokens"], Float[Tensor, "rows tokens"]]:
        """Log-probability of each action token and entropy of the distribution it came from (nats); 0 elsewhere.

        The head is run only at the positions that predict an action. `hidden`: the batch's, if it was run already.
        """
        device = self.model.device
        hidden = self.hidden(batch) if hidden is None else hidden
        mask = batch.action_mask.to(device)
        chosen, entropy = chunked_logprobs(
            self.model.get_output_embeddings(),
            hidden[batch.predicting.to(device)],
            batch.input_ids.to(device)[mask],
            self.temperature,
            self.banned_ids,
            self.logprob_chunk,
            entropy_gradient,
        )
        flat = torch.zeros(mask.shape, dtype=torch.float32, device=device)
        return flat.masked_scatter(mask, chosen), flat.masked_scatter(mask, entropy)
