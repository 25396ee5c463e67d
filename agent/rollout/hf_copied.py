"""The store in transformers' own cache: every row has a copy of its prompt, for models that cannot do with less.

One cache holds all rows, aligned at the right: every step appends one column to each. A row's own columns are those
that its mask marks; what others needed before it, or while it had finished, is masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache, PreTrainedModel

from ..model.forward import hidden_states, next_token_logits
from .hf_store import Key, Piece


@dataclass(frozen=True, eq=False)
class Kept:
    """What outlives a row: `keys` and `values` hold (heads, length, channels) a layer."""

    keys: list[Tensor]
    values: list[Tensor]


@dataclass(frozen=True)
class Opening:
    """A row's prompt: its expanded tokens, and where the next one stands."""

    key: Key
    length: int
    next_position: int


@dataclass(frozen=True, eq=False)
class Prefilled:
    """Rows that have been run: the cache, which of its columns hold a token of the row (rows, columns), how many do,
    and the logits of the next token (rows, vocabulary)."""

    cache: DynamicCache
    mask: Tensor
    lengths: list[int]
    logits: Tensor


class CopiedStore:
    """See `hf_store.Store`.

    Args:
        model: That generates.
        once: Pictures of rows that join together are encoded once where they are equal; False: as often as they occur.

    Attributes:
        cache: None without rows.
        mask: (rows, columns) int64, 1 where the cache holds a token of the row. Columns that a finished row got while
            others went on are marked too, and come after those of its own.
    """

    leaving = 0.5  # everything is copied then

    def __init__(self, model: PreTrainedModel, once: bool = True) -> None:
        self.model = model
        self.once = once
        self.clear()

    def clear(self) -> None:
        self.cache: DynamicCache | None = None
        self.mask = torch.zeros((0, 0), dtype=torch.long)
        self.openings: list[Opening] = []

    def join(self, pieces: Sequence[Piece], index: Sequence[int]) -> Tensor:
        if self.cache is not None:
            self._squeeze()
        logits = []
        # Prompts apart from next turns, so that neither is padded by the other.
        for fresh in (True, False):
            places = [place for place in index if (pieces[place].past is None) == fresh]
            if not places:
                continue
            distinct = list(dict.fromkeys(places))
            start = self._run([pieces[place] for place in distinct])
            chosen = torch.tensor([distinct.index(place) for place in places], device=start.mask.device)
            start.cache.batch_select_indices(chosen)
            self._append(start.cache, start.mask[chosen])
            logits.append(start.logits[chosen])
            lengths = dict(zip(distinct, start.lengths, strict=True))
            self.openings += [
                Opening(pieces[place].key, lengths[place], pieces[place].next_position) for place in places
            ]
        return torch.cat(logits)

    def step(self, token_ids: Tensor, positions: Tensor) -> Tensor:
        self.mask = pad(self.mask, (0, 1), value=1)
        position = positions[None, :, None].expand(3, -1, 1)
        hidden = hidden_states(self.model, token_ids[:, None], self.mask, position, [], self.cache)
        return next_token_logits(self.model, hidden[:, -1])

    def keep(self, places: Sequence[int]) -> None:
        self.openings = [self.openings[place] for place in places]
        if not places:
            self.clear()
            return
        assert self.cache is not None
        rows = torch.tensor(places, device=self.mask.device)
        self.mask = self.mask[rows]
        self.cache.batch_select_indices(rows)

    def past(self, place: int, length: int) -> Kept:
        assert self.cache is not None
        columns = self.mask[place].nonzero()[:length, 0]
        return Kept(
            [layer.keys[place][:, columns] for layer in self.cache.layers],
            [layer.values[place][:, columns] for layer in self.cache.layers],
        )

    def prompt(self, key: Key) -> tuple[Kept, int, int] | None:
        for place, opening in enumerate(self.openings):
            # The logits of the last token are not kept, and it must be no picture to be run alone.
            if opening.key == key:
                return self.past(place, opening.length - 1), 1, opening.next_position - 1
        return None

    def held(self, kept: Iterable[Kept]) -> int:
        tensors = [tensor for each in kept for tensor in (*each.keys, *each.values)]
        for layer in self.cache.layers if self.cache is not None else ():
            tensors += [layer.keys, layer.values]
        return sum(tensor.nbytes for tensor in tensors)

    def _run(self, pieces: Sequence[Piece]) -> Prefilled:
        """Run what the caches do not hold yet."""
        pasts: list[Kept] = [piece.past.kept for piece in pieces if piece.past is not None]
        cache = DynamicCache(config=self.model.config.get_text_config())
        held = [past.keys[0].shape[1] for past in pasts] or [0] * len(pieces)
        cached, width = max(held), max(len(piece.token_ids) for piece in pieces)
        for layer in range(len(pasts[0].keys) if pasts else 0):
            keys = torch.stack([aligned(past.keys[layer], cached) for past in pasts])
            values = torch.stack([aligned(past.values[layer], cached) for past in pasts])
            cache.update(keys, values, layer)
        input_ids = torch.zeros((len(pieces), width), dtype=torch.long)
        position_ids = torch.zeros((3, len(pieces), width), dtype=torch.long)
        mask = torch.zeros((len(pieces), cached + width), dtype=torch.long)
        for row, piece in enumerate(pieces):
            begin = width - len(piece.token_ids)
            input_ids[row, begin:] = torch.tensor(piece.token_ids)
            position_ids[:, row, begin:] = torch.from_numpy(piece.position_ids)
            mask[row, cached - held[row] : cached] = 1
            mask[row, cached + begin :] = 1
        device = self.model.device
        mask = mask.to(device)
        images = [image for piece in pieces for image in piece.images]
        inputs = (input_ids.to(device), mask, position_ids.to(device))
        hidden = hidden_states(self.model, *inputs, images, cache, once=self.once)
        lengths = [kept + len(piece.token_ids) for kept, piece in zip(held, pieces, strict=True)]
        return Prefilled(cache, mask, lengths, next_token_logits(self.model, hidden[:, -1]))

    def _append(self, cache: DynamicCache, mask: Tensor) -> None:
        """Take the rows of another cache, whose tensors may not be used any more."""
        if self.cache is None:
            self.cache, self.mask = cache, mask
            return
        width = max(self.mask.shape[1], mask.shape[1])
        for mine, theirs in zip(self.cache.layers, cache.layers, strict=True):
            mine.keys = torch.cat([aligned(mine.keys, width), aligned(theirs.keys, width)])
            mine.values = torch.cat([aligned(mine.values, width), aligned(theirs.values, width)])
        self.mask = torch.cat([pad(each, (width - each.shape[1], 0)) for each in (self.mask, mask)])

    def _squeeze(self) -> None:
        """Leave out the columns that are no token of any row."""
        assert self.cache is not None
        columns = self.mask.any(0).nonzero()[:, 0]
        if len(columns) == self.mask.shape[1]:
            return
        self.mask = self.mask[:, columns]
        for layer in self.cache.layers:
            layer.keys, layer.values = layer.keys[:, :, columns], layer.values[:, :, columns]


def aligned(tensor: Tensor, width: int) -> Tensor:
    """(..., length, channels), padded in front to `width` columns."""
    return pad(tensor, (0, 0, width - tensor.shape[-2], 0))
