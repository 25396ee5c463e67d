"""The check that sampler and trainer see the same thing, token by token, while a run goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from .engine.batching import Batch
from .types import Row

# Below this probability rounding alone makes log-probabilities differ, and nothing is learned from such a token.
SMALLEST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Agreement:
    """Differences of sampled tokens' log-probabilities between sampler and trainer (nats): `largest` and `mean`.
    `worst`: (row, token) of the first that exceeds the bound, or None."""

    largest: float
    mean: float
    worst: tuple[int, int] | None


def compare(batch: Batch, trainer_logprobs: torch.Tensor, bound: float) -> Agreement:
    """Compare the trainer's (rows, tokens) log-probabilities with the sampler's that the batch carries.

    A difference that is not a number exceeds every bound.
    """
    # "Not smaller", so that what is not a number is compared; and so is a token that is rare to one side alone.
    rare = (batch.sampler_logprobs.exp() <= SMALLEST_PROBABILITY) & (trainer_logprobs.exp() <= SMALLEST_PROBABILITY)
    compared = batch.action_mask & ~rare
    gap = torch.where(compared, (trainer_logprobs - batch.sampler_logprobs).abs(), torch.zeros(()))
    bad = (~(gap <= bound)).nonzero()
    worst = (int(bad[0, 0]), int(bad[0, 1])) if len(bad) else None
    return Agreement(float(gap.max()), float(gap.sum() / compared.sum().clamp(min=1)), worst)


def describe(
    agreement: Agreement,
    batch: Batch,
    rows: Sequence[Row],
    trainer_logprobs: torch.Tensor,
    decode: Callable[[Sequence[int]], str],
) -> str:
    """Which token was bad first, in words. `rows` are those of the batch; `decode` turns token ids into text."""
    assert agreement.worst is not None
    row, position = agreement.worst
    tokens = rows[row].token_ids
    before, token = decode(tokens[max(0, position - 12) : position]), decode(tokens[position : position + 1])
    turn, start = 0, 0
    for segment in rows[row].segments:
        if start <= position < start + len(segment.token_ids):
            turn = segment.turn
        start += len(segment.token_ids)
    return (
        f"token {position} of trajectory {int(batch.trajectory[row])} (turn {turn}), {token!r} after {before!r}: the "
        f"sampler gave it log-probability {float(batch.sampler_logprobs[row, position]):.6f}, the trainer "
        f"{float(trainer_logprobs[row, position]):.6f}"
    )
