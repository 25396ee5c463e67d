"""The distribution over the next token, computed by one function for the sampler and the trainer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch


def token_logprobs(logits: torch.Tensor, temperature: float, banned_ids: Sequence[int]) -> torch.Tensor:
    r"""Log-probabilities of every token: log softmax(logits / T) over the tokens that are not banned.

    Args:
        logits: (..., vocabulary), any floating type; computed in float32.
        temperature: T > 0. For 0 (greedy decoding) the untempered distribution is returned.
        banned_ids: Tokens with probability 0.

    Returns:
        (..., vocabulary) float32, -inf at banned tokens.
    """
    logits = logits.float()
    if banned_ids:
        logits = logits + _bans(tuple(banned_ids), logits.shape[-1], logits.device)
    if temperature not in (0.0, 1.0):
        logits = logits / temperature
    return torch.log_softmax(logits, dim=-1)


@lru_cache(maxsize=8)
def _bans(banned_ids: tuple[int, ...], vocabulary: int, device: torch.device) -> torch.Tensor:
    """(vocabulary,) -inf at banned tokens and 0 elsewhere, made once: it is wanted for every token that is drawn."""
    with torch.inference_mode(False):  # the trainer needs it too
        bans = torch.zeros(vocabulary, device=device)
        bans[list(banned_ids)] = float("-inf")
    return bans


def draw(logprobs: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """One token a row by inversion of the cumulative distribution.

    Args:
        logprobs: (batch, vocabulary) normalised log-probabilities.
        uniforms: (batch,) float64 in [0, 1).

    Returns:
        (batch,) int64: the first token whose cumulative probability exceeds the uniform, hence never one of
        probability 0. The sum is taken in float64 and divided by its total, so that it reaches 1 exactly.
    """
    cumulative = logprobs.exp().cumsum(dim=-1, dtype=torch.float64)
    cumulative = cumulative / cumulative[:, -1:]
    return torch.searchsorted(cumulative, uniforms[:, None].contiguous(), right=True)[:, 0]
