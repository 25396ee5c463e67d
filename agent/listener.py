"""Who hears, in a step that is recorded, what the models said and what became of it."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from .engine.batching import Batch


class Listener(Protocol):
    """Told in the order in which things are worked out. In a step that nobody records there is none."""

    def update(self, number: int) -> None:
        """An update of the step begins; 0 is the first. What was heard before belongs to the time before all."""
        ...

    def said(self, name: str, batch: Batch, values: Tensor) -> None:
        """A model's numbers for a batch or micro-batch: (rows, tokens), which mean something at its action tokens, or
        (rows,)."""
        ...

    def lost(self, name: str, value: float) -> None:
        """A loss that came of what was said since the last one."""
        ...
