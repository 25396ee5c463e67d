"""Rows that begin alike, as one packed row: what they share once, what tells them apart behind it, no padding.

The rows of a batch are a tree: siblings share their prompt with its pictures, and further turns as long as they went
the same way. The packed row holds each piece of the tree once, in the order in which a walk through it meets them, so
that what hangs below a piece lies behind it in one stretch. Positions are those of the rows: a prefix stands where it
stood. What a token sees is `tree_attention`'s affair, or that of `flex_tree`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..engine.batching import Batch, Prompt
from .narrowed import Narrowed, narrowed
from .processor import ProcessedImage
from .tree_attention import Above, Sight, sight, tree_attention

# A shared stretch becomes a piece of its own if it saves the computation of so many tokens; each piece costs calls.
LEAST = 32


@dataclass(eq=False)
class Piece:
    """Tokens `start` to `stop` of each of `rows`, computed as those of the first; in the packed row they begin at `at`,
    and what hangs below them ends at `end`."""

    rows: list[int]
    start: int
    stop: int
    at: int = 0
    end: int = 0

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class Outer:
    """Prompts that were computed already, whose keys and values every layer puts before its own.

    `keys`, `values`: by layer, the prompts one after another; `ranges`: where each of them stands there. `states`: the
    last hidden state of each.
    """

    names: Sequence[Prompt]
    ranges: Sequence[tuple[int, int]]
    keys: Sequence[Float[Tensor, "1 key_heads tokens channels"]]
    values: Sequence[Float[Tensor, "1 key_heads tokens channels"]]
    states: Float[Tensor, "prompts channels"]


@dataclass(frozen=True, eq=False)
class Packed:
    """A batch's rows as one.

    Attributes:
        input_ids, position_ids: Of the packed tokens.
        images: One for each run of placeholders among them.
        index: Where each token of the rows has its hidden state: first come those of `outer`, then the packed ones, or
            those of them that go through the last layer. 0 at padding; where nobody asks for a state, behind the last.
        seen: What each packed token sees.
        outer: Prompts that were computed already, if any.
        attention: What computes it, see `tree_attention`.
        last: Which packed tokens go through the last layer, see `last_layer`; None: all.
    """

    input_ids: Int[Tensor, "1 packed"]
    position_ids: Int[Tensor, "3 1 packed"]
    images: tuple[ProcessedImage, ...]
    index: Int[Tensor, "rows tokens"]
    seen: Sight
    outer: Outer | None = None
    attention: Callable[[Tensor, Tensor, Tensor, Sight, float], Tensor] = tree_attention
    last: Narrowed | None = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """See `layout.Layout`."""
        if self.outer is not None:
            key = torch.cat([self.outer.keys[layer], key], 2)
            value = torch.cat([self.outer.values[layer], value], 2)
        return self.attention(query, key, value, self.seen, scale).transpose(1, 2)

    def attend_last(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, scale: float
    ) -> Tensor:
        """See `last_layer.Narrowing`."""
        assert self.last is not None
        before = ([], []) if self.outer is None else ([self.outer.keys[layer]], [self.outer.values[layer]])
        key, value = torch.cat([*before[0], keys, key], 2), torch.cat([*before[1], values, value], 2)
        return self.attention(query, key, value, self.last.sight, scale).transpose(1, 2)


def pack(
    batch: Batch,
    image_token_id: int,
    device: torch.device,
    outer: Outer | None = None,
    attention: Callable[[Tensor, Tensor, Tensor, Sight, float], Tensor] = tree_attention,
    narrow: bool = False,
) -> Packed:
    """The rows of a batch, at least one, as a packed row on `device`.

    outer: Prompts that were computed already; of rows that begin with one of them only the rest is packed.
    attention: What computes it, with the contract of `tree_attention`.
    narrow: Tokens go through the last layer only where their states are asked for: where an action is chosen, and at
        the end of a row.
    """
    told, names = distinct_tokens(batch, image_token_id), batch.prompts()
    pieces: list[Piece] = []
    above: list[Above] = []
    known = {} if outer is None else dict(zip(outer.names, outer.ranges, strict=True))
    for name, keys in known.items():
        rows = [row for row, begins in enumerate(names) if begins == name]
        if rows:
            below = grown(told, rows, int(batch.prompt_length[rows[0]]), _end(pieces))
            above.append(Above((_end(pieces), _end(below)), keys))
            pieces += below
    pieces += grown(told, [row for row, begins in enumerate(names) if begins not in known], 0, _end(pieces))
    count = 0 if outer is None else outer.keys[0].shape[2]
    outside = tuple(above)
    for piece in pieces:
        stop = piece.at + len(piece)
        if piece.end > stop:  # something hangs below it
            above.append(Above((stop, piece.end), (count + piece.at, count + stop)))
    seen = sight([(piece.at, piece.at + len(piece)) for piece in pieces], above, count, device)
    ids, positions = batch.input_ids.numpy(), batch.position_ids.numpy()
    index = np.zeros(ids.shape, dtype=np.int64)
    first = 0 if outer is None else len(outer.names)
    images: list[ProcessedImage] = []
    of_row = batch.images_of_rows()
    for piece in pieces:
        index[piece.rows, piece.start : piece.stop] = np.arange(first + piece.at, first + piece.at + len(piece))
        if of_row[piece.rows[0]]:
            images += _pictures(ids, of_row[piece.rows[0]], piece, image_token_id)
    last = None
    if narrow:
        ranges = [(piece.at, piece.at + len(piece), piece.end) for piece in pieces]
        last = narrowed(ranges, _asked(batch, index, first, _end(pieces)), outside, count, device)
        if last is not None:
            packed = (index >= first) & batch.attention_mask.numpy()
            through = last.places[index[packed] - first]
            index[packed] = np.where(through < 0, first + len(last.through), first + through)
    places = {name: place for place, name in enumerate(known)}
    for row, (name, length) in enumerate(zip(names, batch.prompt_length.tolist(), strict=True)):
        if name in places:
            index[row, length - 1] = places[name]
    packed_ids = np.concatenate([ids[piece.rows[0], piece.start : piece.stop] for piece in pieces])
    packed_positions = np.concatenate([positions[:, piece.rows[0], piece.start : piece.stop] for piece in pieces], 1)
    return Packed(
        torch.from_numpy(packed_ids)[None].to(device),
        torch.from_numpy(packed_positions)[:, None].to(device),
        tuple(images),
        torch.from_numpy(index).to(device),
        seen,
        outer,
        attention,
        last,
    )


def _asked(batch: Batch, index: np.ndarray, first: int, packed: int) -> np.ndarray:
    """(packed,) bool: whose states are asked for, of the packed tokens, which `index` counts from `first` on."""
    asked = batch.predicting.numpy().copy()
    asked[np.arange(len(batch)), batch.attention_mask.sum(1).numpy() - 1] = True
    places = index[asked] - first
    wanted = np.zeros(packed, dtype=bool)
    wanted[places[places >= 0]] = True
    return wanted


def _end(pieces: Sequence[Piece]) -> int:
    """Where the packed tokens of pieces end."""
    return pieces[-1].at + len(pieces[-1]) if pieces else 0


def distinct_tokens(batch: Batch, image_token_id: int) -> list[np.ndarray]:
    """(length,) int64 of each row: its tokens, in which placeholders of different pictures differ. Rows with the same
    beginning here have the same hidden states there."""
    ids, lengths = batch.input_ids.numpy(), batch.attention_mask.sum(1).tolist()
    numbers: dict[str, int] = {}
    rows = []
    for row, images in enumerate(batch.images_of_rows()):
        tokens = ids[row, : lengths[row]].copy()
        if images:
            names = [numbers.setdefault(image.sha256, len(numbers)) for image in images]
            tokens[tokens == image_token_id] = -1 - np.repeat(names, [image.tokens for image in images])
        rows.append(tokens)
    return rows


def grown(told: Sequence[np.ndarray], rows: Sequence[int], start: int = 0, at: int = 0) -> list[Piece]:
    """The pieces of some rows, which are alike up to their token `start`, from there on; as a walk through the tree
    meets them, packed from `at` on."""
    pieces: list[Piece] = []
    _branches(told, list(rows), start, start, pieces)
    for piece in pieces:
        piece.at, at = at, at + len(piece)
    last = {row: piece for piece in pieces for row in piece.rows}
    for piece in pieces:
        piece.end = max(last[row].at + len(last[row]) for row in piece.rows)
    return pieces


def _branches(told: Sequence[np.ndarray], rows: list[int], start: int, look: int, pieces: list[Piece]) -> None:
    """Pieces of rows that are alike up to token `look`, of which tokens from `start` on are in no piece yet."""
    parts: dict[int, list[int]] = {}
    for row in rows:
        if len(told[row]) > look:
            parts.setdefault(int(told[row][look]), []).append(row)
        elif look > start:  # a row that ends here, and whose last tokens were not worth a piece for all
            pieces.append(Piece([row], start, look))
    for part in parts.values():
        stop = _common(told, part)
        if len(part) == 1 or (stop - start) * (len(part) - 1) >= LEAST:
            pieces.append(Piece(part, start, stop))
            _branches(told, part, stop, stop, pieces)
        else:
            _branches(told, part, start, stop, pieces)


def _common(told: Sequence[np.ndarray], rows: Sequence[int]) -> int:
    """How many tokens these rows have in common from the first on."""
    first = told[rows[0]]
    common = len(first)
    for row in rows[1:]:
        shorter = min(common, len(told[row]))
        differ = first[:shorter] != told[row][:shorter]
        common = int(differ.argmax()) if differ.any() else shorter
    return common


def _pictures(
    ids: np.ndarray, images: Sequence[ProcessedImage], piece: Piece, image_token_id: int
) -> list[ProcessedImage]:
    """Those whose placeholders are in a piece. A picture is never cut: where rows differ, they do from its first
    token."""
    placeholders = ids[piece.rows[0], : piece.stop] == image_token_id
    before, inside = int(placeholders[: piece.start].sum()), int(placeholders[piece.start :].sum())
    found, seen = [], 0
    for image in images:
        if before <= seen < before + inside:
            found.append(image)
        seen += image.tokens
    return found
