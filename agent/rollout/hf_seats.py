"""Queries of rows brought to the trunks that the rows continue, and what they took from them brought back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..model.attention_parts import part
from .hf_trunks import Stack, Trunk, stacks_of

# Stacks are made anew where they are more than so many, or hold more than so many times what rows need of them.
MANY, WASTE = 4, 2.0


@dataclass(frozen=True, eq=False)
class Seats:
    """Which row sits where before a stack: each trunk has equally many seats, one for each row that continues it, and
    an empty one is given to some other row, whose result nobody reads.

    Attributes:
        rows: (trunks * seats,) int64; None where it would say 0, 1, 2 and so on, for all rows.
    """

    stack: Stack
    rows: Tensor | None

    def take(self, layer: int, query: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """(rows, key_heads, groups, channels) to (trunks * seats, ...) and lse."""
        keys, values = self.stack.keys[layer], self.stack.values[layer]
        seated = query if self.rows is None else query.index_select(0, self.rows)
        _, heads, groups, channels = seated.shape
        trunks = keys.shape[0]
        seated = seated.reshape(trunks, -1, heads, groups, channels).transpose(1, 2)
        out, lse = part(seated.reshape(trunks, heads, -1, channels), keys, values, scale, self.stack.bias)
        out = out.reshape(trunks, heads, -1, groups, channels).transpose(1, 2)
        lse = lse.reshape(trunks, heads, -1, groups).transpose(1, 2)
        return out.reshape(-1, heads, groups, channels), lse.reshape(-1, heads, groups)


class Seating:
    """The stacks that hold the running trunks, and the seats before them."""

    def __init__(self) -> None:
        self.stacks: list[Stack] = []
        self.seats: list[Seats] = []
        self._place: Tensor | None = None

    def arrange(self, rows: Sequence[Trunk]) -> None:
        """Row i continues trunk `rows[i]`."""
        running = list(dict.fromkeys(rows))
        placed = self._placed()
        fresh = [trunk for trunk in running if trunk not in placed]
        if fresh:
            self.stacks += stacks_of(fresh)
        needed = sum(trunk.length for trunk in running)
        held = sum(stack.columns for stack in self.stacks)
        if running and (len(self.stacks) > MANY or held > WASTE * needed):
            for trunk in self._placed():
                if trunk not in running:
                    trunk.leave_stack()
            self.stacks = stacks_of(running)
        self._seat(rows)

    def take(
        self, layer: int, query: Float[Tensor, "rows heads groups channels"], scale: float
    ) -> tuple[Float[Tensor, "rows heads groups channels"], Float[Tensor, "rows heads groups"]]:
        """What every row takes from its trunk, and lse, see `attention_parts.part`."""
        found = [seats.take(layer, query, scale) for seats in self.seats]
        out, lse = found[0] if len(found) == 1 else (torch.cat(each) for each in zip(*found, strict=True))
        if self._place is None:
            return out, lse
        return out.index_select(0, self._place), lse.index_select(0, self._place)

    def _placed(self) -> dict[Trunk, tuple[int, int]]:
        """Stack and place of every trunk that lives."""
        found = {}
        for number, stack in enumerate(self.stacks):
            for place, reference in enumerate(stack.trunks):
                trunk = reference()
                if trunk is not None:
                    found[trunk] = (number, place)
        return found

    def _seat(self, rows: Sequence[Trunk]) -> None:
        placed = self._placed()
        sitting: list[list[list[int]]] = [[[] for _ in stack.trunks] for stack in self.stacks]
        for row, trunk in enumerate(rows):
            number, place = placed[trunk]
            sitting[number][place].append(row)
        self.seats, place_of, offset = [], [0] * len(rows), 0
        device = rows[0].logits.device if rows else None
        for stack, lots in zip(self.stacks, sitting, strict=True):
            width = max(map(len, lots))
            if not width:
                continue
            order: list[int] = []
            for lot in lots:
                for seat, row in enumerate(lot):
                    place_of[row] = offset + len(order) + seat
                order += lot + [0] * (width - len(lot))
            offset += len(order)
            plain = order == list(range(len(rows)))
            self.seats.append(Seats(stack, None if plain else torch.tensor(order, device=device)))
        plain = place_of == list(range(len(rows))) and offset == len(rows)
        self._place = None if plain else torch.tensor(place_of, device=device)
