"""Where the keys and values of running rows are: the interface between the transformers engine and its two stores.

`hf_shared` keeps each distinct prompt once for all rows that continue it; `hf_copied` gives every row a copy, in
transformers' own cache, for models whose layers do not all see every token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch

from ..model.processor import ProcessedImage

Key: TypeAlias = tuple[tuple[str, ...], tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Past:
    """What is held of a row's first tokens, outside of the batch: `token_ids` are those tokens, collapsed, `images` the
    pictures among them (sha256), `next_position` is where the next token stands, and `kept` the store's own affair."""

    token_ids: tuple[int, ...]
    images: tuple[str, ...]
    next_position: int
    kept: Any


@dataclass(frozen=True, eq=False)
class Piece:
    """What must be run before a row draws its first token.

    Attributes:
        key: Of the whole row so far, equal for equal rows.
        past: What is held of its first tokens; None if nothing is.
        token_ids: The others, expanded. Empty only if the store said so, see `Store.prompt`.
        position_ids: (3, len(token_ids)), as `positions.mrope_positions` has them for a whole row.
        images: One for each run of placeholders in `token_ids`.
    """

    key: Key
    past: Past | None
    token_ids: list[int]
    position_ids: np.ndarray
    images: list[ProcessedImage]

    @property
    def next_position(self) -> int:
        """Where the first token that is drawn stands."""
        if self.position_ids.shape[1]:
            return int(self.position_ids.max()) + 1
        assert self.past is not None
        return self.past.next_position


class Store(Protocol):
    """Rows in an order; those that join come last.

    Attributes:
        leaving: Finished rows are worth leaving out when no more than this share of all rows still runs.
    """

    leaving: float

    def join(self, pieces: Sequence[Piece], index: Sequence[int]) -> torch.Tensor:
        """As many more rows as `index` has, of which row i continues piece `index[i]`; rows of one piece without a past
        share its computation.

        Returns:
            (len(index), vocabulary) logits of the token that each draws next.
        """
        ...

    def step(self, token_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Run one more token of every row.

        Args:
            token_ids: (rows,) int64.
            positions: (rows,) int64, where they stand.

        Returns:
            (rows, vocabulary) logits of the next.
        """
        ...

    def keep(self, places: Sequence[int]) -> None:
        """Leave out all other rows."""
        ...

    def past(self, place: int, length: int) -> Any:
        """What is held of a row's first `length` tokens, to outlive the row: a `Past.kept`."""
        ...

    def prompt(self, key: Key) -> tuple[Any, int, int] | None:
        """What is held of a row's whole prompt that equals `key`, how many of its last tokens that lacks (0 or 1), and
        where the next one stands; None if nothing is held."""
        ...

    def clear(self) -> None:
        """Forget everything, what outlives rows included: it may not be given back."""
        ...

    def held(self, kept: Iterable[Any]) -> int:
        """Bytes of the rows and of what outlives others, what they have in common counted once."""
        ...
