"""The running batch of the transformers engine: rows that decode together, whenever each of them joined.

One key-value cache holds all rows, aligned at the right: every step appends one column to each. A row's own columns are
those that its mask marks; what others needed before it, or while it had finished, is masked. So a row may join or leave
between any two steps, and a step is one forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from torch.nn.functional import pad
from transformers import DynamicCache

from ..seeds import uniforms
from .distribution import draw, token_logprobs
from .engine import Request

Key: TypeAlias = tuple[tuple[str, ...], tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Past:
    """One episode's cache: `keys` and `values` hold (heads, length, channels) a layer for the row's first tokens;
    `token_ids` are those tokens, collapsed, `images` the pictures among them (sha256), and `next_position` is where
    the next token stands."""

    token_ids: tuple[int, ...]
    images: tuple[str, ...]
    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    next_position: int


NOTHING = Past((), (), [], [], 0)


@dataclass(frozen=True, eq=False)
class Prefilled:
    """Rows whose prompt has been run: the cache, which of its columns hold a token of the row (batch, columns), how
    many do, the M-RoPE position of the next token, and its logits (batch, vocabulary)."""

    cache: DynamicCache
    mask: torch.Tensor
    lengths: list[int]
    positions: list[int]
    logits: torch.Tensor


@dataclass(eq=False)
class Running:
    """A request in the batch. `key`: equal for requests whose rows are equal, token for token and pixel for pixel;
    `length`: expanded tokens of its prompt; `position`: of the first token drawn after it; `uniforms`: (max_tokens,),
    one for each draw."""

    request: Request
    key: Key
    length: int
    position: int
    uniforms: np.ndarray
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    active: bool = True


def key_of(request: Request) -> Key:
    """What tells requests apart."""
    return tuple(image.sha256 for image in request.images), request.token_ids


class Batch:
    """Rows with one cache.

    Attributes:
        rows: In the order of the tensors. One that has finished stays until `keep` leaves it out.
        mask: (rows, columns) int64, 1 where the cache holds a token of the row. Columns that a finished row got while
            others went on are marked too, and are not among its first `length + len(tokens) - 1`.
        logits: (rows, vocabulary), of the token that each draws next.
        position: (rows,) int64, where that token stands.
    """

    def __init__(self, requests: Sequence[Request], start: Prefilled, index: Sequence[int] | None = None) -> None:
        """Row i continues row `index[i]` of `start`, or row i."""
        places = range(len(requests)) if index is None else index
        self.rows = [
            Running(
                r, key_of(r), start.lengths[k], start.positions[k], uniforms(r.sampling.seed, r.sampling.max_tokens)
            )
            for r, k in zip(requests, places, strict=True)
        ]
        device = start.mask.device
        self.cache, self.mask, self.logits = start.cache, start.mask, start.logits
        self.position = torch.tensor([row.position for row in self.rows], device=device)
        if index is not None:
            chosen = torch.tensor(index, device=device)
            self.cache.batch_select_indices(chosen)
            self.mask, self.logits = self.mask[chosen], self.logits[chosen]
        self._group()

    @property
    def active(self) -> bool:
        return any(row.active for row in self.rows)

    def join(self, other: Batch) -> None:
        """Take the rows of another batch, whose tensors may not be used any more."""
        width = max(self.mask.shape[1], other.mask.shape[1])
        for mine, theirs in zip(self.cache.layers, other.cache.layers, strict=True):
            mine.keys = torch.cat([aligned(mine.keys, width), aligned(theirs.keys, width)])
            mine.values = torch.cat([aligned(mine.values, width), aligned(theirs.values, width)])
        self.mask = torch.cat([pad(mask, (width - mask.shape[1], 0)) for mask in (self.mask, other.mask)])
        self.logits = torch.cat([self.logits, other.logits])
        self.position = torch.cat([self.position, other.position])
        self.rows += other.rows
        self._group()

    def keep(self, places: Sequence[int]) -> None:
        """Leave out all other rows. What the others are given next stays the same bit for bit, but for what a product
        of fewer rows rounds otherwise."""
        rows = torch.tensor(places, device=self.mask.device)
        self.mask, self.logits, self.position = self.mask[rows], self.logits[rows], self.position[rows]
        self.cache.batch_select_indices(rows)
        self.rows = [self.rows[place] for place in places]
        self._group()

    def squeeze(self) -> None:
        """Leave out the columns that are no token of any row."""
        columns = self.mask.any(0).nonzero()[:, 0]
        if len(columns) == self.mask.shape[1]:
            return
        self.mask = self.mask[:, columns]
        for layer in self.cache.layers:
            layer.keys, layer.values = layer.keys[:, :, columns], layer.values[:, :, columns]

    def past(self, row: Running) -> Past:
        """The cache of a finished row. Its last token was drawn but never run, so it is not among them."""
        drawn = len(row.tokens) - 1
        return self._first(row, row.length + drawn, (*row.request.token_ids, *row.tokens[:drawn]))

    def prompt(self, row: Running) -> Past:
        """The cache of a row's prompt but for its last token, whose logits are not kept and which is no image."""
        return self._first(row, row.length - 1, row.request.token_ids[:-1])

    def _first(self, row: Running, length: int, token_ids: tuple[int, ...]) -> Past:
        place = self.rows.index(row)
        columns = self.mask[place].nonzero()[:length, 0]
        return Past(
            token_ids,
            tuple(image.sha256 for image in row.request.images),
            [layer.keys[place][:, columns] for layer in self.cache.layers],
            [layer.values[place][:, columns] for layer in self.cache.layers],
            row.position + length - row.length,
        )

    def choose(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(rows,) tokens drawn from the logits, and their log-probabilities. Each row draws with its own uniform of its
        own step; what finished rows are given means nothing."""
        tokens = torch.zeros(len(self.rows), dtype=torch.long, device=self.mask.device)
        chosen = torch.zeros(len(self.rows), device=self.mask.device)
        dice = np.array([row.uniforms[len(row.tokens)] if row.active else 0.0 for row in self.rows])
        drawn = torch.from_numpy(dice).to(tokens.device)
        for (temperature, banned), index in self._groups:
            logprobs = token_logprobs(self.logits[index], temperature, banned)
            picked = logprobs.argmax(-1) if temperature == 0 else draw(logprobs, drawn[index])
            tokens[index] = picked
            chosen[index] = logprobs.gather(-1, picked[:, None])[:, 0]
        return tokens, chosen

    def _group(self) -> None:
        """Rows by their distribution, found anew only when rows join or leave: banned ids may be many."""
        places: dict[tuple[float, tuple[int, ...]], list[int]] = {}
        for place, row in enumerate(self.rows):
            sampling = row.request.sampling
            places.setdefault((sampling.temperature, sampling.banned_ids), []).append(place)
        device = self.mask.device
        self._groups = [(key, torch.tensor(found, device=device)) for key, found in places.items()]


def aligned(tensor: torch.Tensor, width: int) -> torch.Tensor:
    """(..., length, channels), padded in front to `width` columns."""
    return pad(tensor, (0, 0, width - tensor.shape[-2], 0))
