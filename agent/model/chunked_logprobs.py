"""Log-probabilities and entropies without the full logits: the head runs on a few positions at a time.

At a vocabulary of 152k, the float32 logits of 8,192 positions are 5 GB, and the backward pass would need them again. So
each chunk of positions is run through the head by itself; what is kept of it is one number a position, and the backward
pass computes the chunk's logits once more. The head is called, never taken apart: a head that is tied to the
embeddings, frozen, wrapped by an adapter or sharded by the engine needs nothing of its own here.

The results of several chunks are those of one up to the rounding of a matrix product. The gradient of the head's weight
is a sum over chunks in the weight's own type, as it is over micro-batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..rollout.distribution import token_logprobs

Head = Callable[[Tensor], Tensor]


def chunked_logprobs(
    head: Head,
    hidden: Float[Tensor, "positions channels"],
    targets: Int[Tensor, " positions"],
    temperature: float = 1.0,
    banned_ids: Sequence[int] = (),
    chunk: int = 0,
    entropy_gradient: bool = False,
) -> tuple[Float[Tensor, " positions"], Float[Tensor, " positions"]]:
    """Log-probability of each target and entropy of the distribution that it came from, in nats, in float32.

    Args:
        head: From (n, channels) to (n, vocabulary) logits of any floating type.
        hidden: The states that predict the targets.
        targets: Token ids. A banned one has log-probability -inf.
        temperature: Of the distribution, see `rollout.distribution.token_logprobs`.
        banned_ids: Tokens of probability 0.
        chunk: Positions whose logits exist at once; 0: all, and they are kept for the backward pass. So are those of
            positions that fit into one chunk.
        entropy_gradient: Whether entropies have a gradient; log-probabilities always do.
    """

    def run(states: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        logprobs = token_logprobs(head(states), temperature, banned_ids)
        picked = logprobs.gather(-1, chosen[:, None])[:, 0]
        # Last, and without a graph unless asked for: then the backward pass does not compute it again.
        with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
            return picked, _entropy(logprobs)

    if chunk <= 0 or len(hidden) <= chunk:
        return run(hidden, targets)
    pieces = [
        checkpoint(run, states, chosen, use_reentrant=False) if torch.is_grad_enabled() else run(states, chosen)
        for states, chosen in zip(hidden.split(chunk), targets.split(chunk), strict=True)
    ]
    picked, entropies = zip(*pieces, strict=True)
    return torch.cat(picked), torch.cat(entropies)


def _entropy(logprobs: Float[Tensor, "positions vocabulary"]) -> Float[Tensor, " positions"]:
    # A banned token has probability 0 and log-probability -inf: its term p log p is 0, not NaN.
    finite = logprobs.clamp(min=torch.finfo(logprobs.dtype).min)
    return -(finite.exp() * finite).sum(-1)
