"""The Actor: the policy that is trained, seen as log-probabilities of action tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from ..engine.batching import Batch
from ..model.forward import next_token_logits
from ..model.shared_prompt import batch_hidden_states
from ..rollout.distribution import token_logprobs


@dataclass(frozen=True, eq=False)
class Actor:
    """A model with the distribution that its actions are drawn from.

    `temperature` and `banned_ids` are those of the sampler, so that both speak of the same distribution.
    """

    model: PreTrainedModel
    temperature: float
    banned_ids: tuple[int, ...]

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
        all_logprobs = token_logprobs(
            next_token_logits(self.model, hidden[batch.predicting.to(device)]), self.temperature, self.banned_ids
        )
        targets = batch.input_ids.to(device)[mask]
        chosen = all_logprobs.gather(-1, targets[:, None])[:, 0]
        # A banned token has probability 0 and log-probability -inf: its term p log p is 0, not NaN.
        finite = all_logprobs.masked_fill(all_logprobs == float("-inf"), 0.0)
        entropy = -(finite.exp() * finite * (all_logprobs != float("-inf"))).sum(-1)
        flat = torch.zeros(mask.shape, dtype=torch.float32, device=device)
        return flat.masked_scatter(mask, chosen), flat.masked_scatter(
            mask, entropy if entropy_gradient else entropy.detach()
        )
