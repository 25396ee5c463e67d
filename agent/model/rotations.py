"""The rotations (RoPE, arXiv 2104.09864) of the tokens that rows are about to draw, of several steps at once.

Where a token will stand does not depend on what it will be. A step of a small model that asks for its rotations alone
waits for a dozen operations on next to nothing, a twentieth of its time.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

TOKENS = 512  # of all rows together, whose rotations are held


def most_steps(rows: int) -> int:
    """Steps of so many rows that are computed at once at most."""
    return max(1, TOKENS // rows)


class Rotations:
    """Of the rows of one batch, whose tokens move on by one position a step.

    Steps that are computed at once double each time: rows that join or leave soon cost little, however often they do.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The next positions are not those that follow the last ones: rows have joined, or left."""
        self._found: tuple[Tensor, ...] = ()
        self._place = self._steps = 0

    def next(
        self, rotary: Any, like: Tensor, positions: Int[Tensor, " rows"], axes: int
    ) -> tuple[Float[Tensor, "rows 1 channels"], ...]:
        """Cosines and sines for the tokens of this step.

        Args:
            rotary: A language model's `rotary_emb`.
            like: Has the type and device that is wanted.
            positions: Where the tokens stand; one more than at the last call, unless `forget` was called.
            axes: Of a position; all are alike. 0: positions have one and no dimension for it.
        """
        if self._place == self._steps:
            self._steps = min(most_steps(len(positions)), max(1, 2 * self._steps))
            # Rotations that depend on the farthest position of a pass must not be told of later ones.
            kind = getattr(rotary, "rope_type", "default")
            if "dynamic" in kind or kind == "longrope":
                self._steps = 1
            ahead = positions[:, None] + torch.arange(self._steps, device=positions.device)
            self._found, self._place = rotary(like, ahead.expand(axes, -1, -1) if axes else ahead), 0
        place = self._place
        self._place += 1
        return tuple(each[:, place : place + 1] for each in self._found)
