"""Tokens that rows have each for themselves: keys and values in buffers with room to spare.

Every row begins at the left, and its next token is written where its last one ended, so rows of any length lie side by
side and a step copies nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ROOM = 32  # columns that a new buffer has to spare


@dataclass(frozen=True, eq=False)
class Lot:
    """One row's tokens outside of the buffers: keys and values, (key_heads, length, channels) a layer; empty lists for
    no tokens."""

    keys: list[Tensor]
    values: list[Tensor]

    @property
    def length(self) -> int:
        return self.keys[0].shape[1] if self.keys else 0


class Own:
    """The rows' own tokens.

    Attributes:
        keys: One a layer, (rows, key_heads, capacity, channels); none before the first write.
        values: The same.
        lengths: Tokens of each row. A row that has finished gets more while others go on, which mean nothing.
        at: (rows,) int64, the same.
        even: They are equal.
    """

    def __init__(self) -> None:
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.lengths: list[int] = []
        self.at = torch.zeros(0, dtype=torch.long)
        self.even = True
        self._rows = self.at

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def capacity(self) -> int:
        return self.keys[0].shape[2] if self.keys else 0

    def join(self, lots: Sequence[Lot], more: Sequence[int], like: Sequence[Tensor]) -> None:
        """More rows.

        Args:
            lots: What each has.
            more: How many tokens each gets at once, with `put`; they count already.
            like: A tensor a layer that tells heads, channels, type and device: (key_heads, any, channels).
        """
        before = len(self)
        self.lengths += [lot.length + count for lot, count in zip(lots, more, strict=True)]
        capacity = max(self.capacity, max(self.lengths) + ROOM)
        for mine, name in ((self.keys, "keys"), (self.values, "values")):
            for layer, like_layer in enumerate(like):
                heads, _, channels = like_layer.shape
                grown = like_layer.new_zeros((len(self), heads, capacity, channels))
                if layer < len(mine):
                    grown[:before, :, : mine[layer].shape[2]] = mine[layer]
                    mine[layer] = grown
                else:
                    mine.append(grown)
                for row, lot in enumerate(lots, start=before):
                    if lot.length:
                        grown[row, :, : lot.length] = getattr(lot, name)[layer]
        self._place()

    def keep(self, places: Sequence[int]) -> None:
        """Leave out all other rows, and columns that none of them needs."""
        rows = torch.tensor(places, dtype=torch.long, device=self.keys[0].device)
        self.lengths = [self.lengths[place] for place in places]
        columns = min(self.capacity, max(self.lengths, default=0) + ROOM)
        for mine in (self.keys, self.values):
            for layer, tensor in enumerate(mine):
                mine[layer] = tensor[:, :, :columns].index_select(0, rows)
        self._place()

    def lot(self, row: int, length: int) -> Lot:
        """A copy of a row's first tokens."""
        if not length:
            return Lot([], [])
        return Lot(*([each[row, :, :length].clone() for each in tensors] for tensors in (self.keys, self.values)))

    def make_room(self) -> None:
        """For one more token of every row. Buffers grow by half, so that a token is copied twice on average."""
        needed = max(self.lengths) + 1
        if needed <= self.capacity:
            return
        for mine in (self.keys, self.values):
            for layer, tensor in enumerate(mine):
                rows, heads, capacity, channels = tensor.shape
                grown = tensor.new_zeros((rows, heads, max(needed, capacity + capacity // 2), channels))
                grown[:, :, :capacity] = tensor
                mine[layer] = grown

    def put(self, layer: int, rows: Tensor, columns: Tensor, keys: Tensor, values: Tensor) -> None:
        """(tokens, key_heads, channels) to these rows (tokens,) and columns (tokens,)."""
        self.keys[layer][rows, :, columns] = keys
        self.values[layer][rows, :, columns] = values

    def write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """(rows, key_heads, 1, channels): the next token of every row."""
        first = self.lengths[0]
        if self.even:
            self.keys[layer][:, :, first : first + 1] = keys
            self.values[layer][:, :, first : first + 1] = values
        else:
            self.keys[layer][self._rows, :, self.at] = keys[:, :, 0]
            self.values[layer][self._rows, :, self.at] = values[:, :, 0]

    def grown(self) -> None:
        """Every row has one token more: what was written."""
        self.lengths = [length + 1 for length in self.lengths]
        self.at += 1

    def _place(self) -> None:
        device = self.keys[0].device
        self.at = torch.tensor(self.lengths, device=device)
        self._rows = torch.arange(len(self), device=device)
        self.even = len(set(self.lengths)) == 1
