"""What a step learns from: a batch, and beside each of its tokens what the objective needs to know of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .batching import Batch


@dataclass(frozen=True, eq=False)
class Experience:
    """Rows with their advantages (in the batch), and what else was worked out before the first update.

    Attributes:
        batch: Rows of valid trajectories; those of one trajectory are neighbours.
        old_logprobs: The trainer's log-probabilities before the first update; None: those of the update itself.
        reference_logprobs: The reference policy's.
        values: The critic's before the first update, of the state before each action token.
        returns: What the critic is to learn.
        valued: Where it learns.
        selected: Tokens that the policy loss chose over the whole mini-batch.
    """

    batch: Batch
    old_logprobs: Float[Tensor, "rows tokens"] | None = None
    reference_logprobs: Float[Tensor, "rows tokens"] | None = None
    values: Float[Tensor, "rows tokens"] | None = None
    returns: Float[Tensor, "rows tokens"] | None = None
    valued: Bool[Tensor, "rows tokens"] | None = None
    selected: Bool[Tensor, "rows tokens"] | None = None

    def select(self, rows: Sequence[int], width: int | None = None) -> Experience:
        """These rows in ascending order, cut to `width` tokens."""
        if (batch := self.batch.select(rows, width)) is self.batch:  # all of them
            return self
        which = torch.tensor(list(rows), dtype=torch.long)
        beside = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "batch"}
        cut = {name: None if tensor is None else tensor[which, :width] for name, tensor in beside.items()}
        return Experience(batch, **cut)

    def spans(
        self, max_tokens: int, whole: bool = False, packed: bool = False, count: int | None = None
    ) -> Iterator[tuple[int, int, int]]:
        """Of the batch, see there."""
        return self.batch.spans(max_tokens, whole, packed, count)

    def split(
        self, max_tokens: int, whole: bool = False, packed: bool = False, count: int | None = None
    ) -> Iterator[Experience]:
        """In micro-batches, see `Batch.spans`."""
        for start, stop, width in self.spans(max_tokens, whole, packed, count):
            yield self.select(range(start, stop), width)

    def with_advantages(self, advantages: Float[Tensor, "rows tokens"]) -> Experience:
        return replace(self, batch=replace(self.batch, advantages=advantages))

    def trained_at(self, mask: Bool[Tensor, "rows tokens"]) -> Experience:
        """Only these action tokens are trained; the others stay where they are, as context."""
        return replace(self, batch=replace(self.batch, action_mask=mask))

    def of_trajectories(self, kept: Sequence[int]) -> Experience:
        """Only the rows of these trajectories."""
        wanted = set(kept)
        return self.select([i for i, owner in enumerate(self.batch.trajectory.tolist()) if owner in wanted])
