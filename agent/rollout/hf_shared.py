"""The store that keeps every distinct prompt once: rows are a trunk, by reference, and the tokens of their own.

Nothing is copied for a sibling, nor at a step. A row that joins while its prompt is held, by whatever row or past,
computes nothing; the next turn of a row computes what is new, on top of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..model.attention_parts import merge, part
from ..model.forward import device_of, hidden_states, next_token_logits
from ..model.kept_prompts import KeptPrompts
from ..model.last_layer import narrows
from ..model.narrowed import LEAST
from ..model.next_states import next_states
from ..model.prompt_pass import PromptTokens
from ..model.rotations import Rotations
from .hf_chunk import Chunk
from .hf_own import Lot, Own
from .hf_seats import Seating
from .hf_store import Key, Piece
from .hf_trunks import Trunk, storage_bytes, trunks_of

NO_TOKENS = Lot([], [])


@dataclass(frozen=True, eq=False)
class Kept:
    """What outlives a row: the trunk that it continues, and tokens of its own."""

    trunk: Trunk
    own: Lot


class SharedStore:
    """See `hf_store.Store`. `keeping`: what prompts are kept in for the update, if anything."""

    leaving = 0.75  # only the rows' own tokens are copied then

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.keeping: KeptPrompts | None = None
        self.clear()

    def clear(self) -> None:
        self.rows: list[Trunk] = []
        self.own = Own()
        self.seating = Seating()
        self.rotations = Rotations()
        self._known: WeakValueDictionary[Key, Trunk] = WeakValueDictionary()

    def join(self, pieces: Sequence[Piece], index: Sequence[int]) -> Tensor:
        fresh = [piece for piece in pieces if piece.past is None]
        made = iter(self._run_prompts(fresh) if fresh else [])
        starts = [Kept(next(made), NO_TOKENS) if piece.past is None else piece.past.kept for piece in pieces]
        more = [0 if piece.past is None else len(piece.token_ids) for piece in pieces]
        # Rows with something to run lie together at the end.
        assert [more[place] > 0 for place in index] == sorted(more[place] > 0 for place in index)
        self.rotations.forget()
        first = len(self.rows)
        self.rows += [starts[place].trunk for place in index]
        self.own.join([starts[place].own for place in index], [more[place] for place in index], starts[0].trunk.keys)
        self.seating.arrange(self.rows)
        logits = [starts[place].trunk.logits for place in index if not more[place]]
        running = [place for place in index if more[place]]
        if not running:
            return torch.stack(logits)
        counts = [more[place] for place in running]
        narrow = sum(counts) - len(counts) >= LEAST and narrows(self.model)
        chunk = Chunk(self.own, first + len(logits), self.rows[first + len(logits) :], counts, narrow)
        ran = self._run_chunk(chunk, [pieces[place] for place in running])
        return torch.cat([torch.stack(logits), ran]) if logits else ran

    def step(self, token_ids: Tensor, positions: Tensor) -> Tensor:
        self.own.make_room()
        states = next_states(self.model, token_ids, positions, Step(self), self.rotations)
        self.own.grown()
        return next_token_logits(self.model, states)

    def keep(self, places: Sequence[int]) -> None:
        self.rotations.forget()
        self.rows = [self.rows[place] for place in places]
        if not self.rows:
            self.own = Own()
            return
        self.own.keep(places)
        self.seating.arrange(self.rows)

    def past(self, place: int, length: int) -> Kept:
        trunk = self.rows[place]
        return Kept(trunk, self.own.lot(place, length - trunk.length))

    def prompt(self, key: Key) -> tuple[Kept, int, int] | None:
        trunk = self._known.get(key)
        return None if trunk is None else (Kept(trunk, NO_TOKENS), 0, trunk.next_position)

    def held(self, kept: Iterable[Kept]) -> int:
        lots = [(each.trunk, each.own) for each in kept]
        tensors = [*self.own.keys, *self.own.values]
        for trunk in {*self.rows, *(trunk for trunk, _ in lots)}:
            tensors += trunk.tensors()
        for stack in self.seating.stacks:
            tensors += [*stack.keys, *stack.values]
        for _, own in lots:
            tensors += [*own.keys, *own.values]
        return storage_bytes(tensors)

    def _run_prompts(self, pieces: Sequence[Piece]) -> list[Trunk]:
        prompts = [PromptTokens(piece.token_ids, piece.position_ids, piece.images) for piece in pieces]
        trunks = trunks_of(self.model, prompts, self.keeping)
        self._known.update({piece.key: trunk for piece, trunk in zip(pieces, trunks, strict=True)})
        return trunks

    def _run_chunk(self, chunk: Chunk, pieces: Sequence[Piece]) -> Tensor:
        ordered = [pieces[row] for row in chunk.order]
        device = device_of(self.model)
        hidden = hidden_states(
            self.model,
            torch.tensor([[token for piece in ordered for token in piece.token_ids]], device=device),
            None,
            torch.from_numpy(np.concatenate([piece.position_ids for piece in ordered], axis=1))[:, None].to(device),
            [image for piece in ordered for image in piece.images],
            layout=chunk,
        )
        return next_token_logits(self.model, hidden[0, chunk.ends])


class Step:
    """A layout: one new token of every row."""

    def __init__(self, store: SharedStore) -> None:
        self.own, self.seating = store.own, store.seating
        self.seen = max(self.own.lengths) + 1
        self.bias: Tensor | None = None
        if not self.own.even:
            keys = self.own.keys[0]
            hidden = torch.arange(self.seen, device=keys.device) > self.own.at[:, None]
            bias = torch.zeros(hidden.shape, dtype=keys.dtype, device=keys.device).masked_fill_(hidden, -torch.inf)
            self.bias = bias[:, None, None]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        self.own.write(layer, key, value)
        rows, heads, _, channels = query.shape
        grouped = query.reshape(rows, key.shape[1], -1, channels)
        common, common_lse = self.seating.take(layer, grouped, scale)
        keys, values = (each[layer][:, :, : self.seen] for each in (self.own.keys, self.own.values))
        mine, mine_lse = part(grouped, keys, values, scale, self.bias)
        return merge(common, common_lse, mine, mine_lse).reshape(rows, 1, heads, channels)
