"""What is seen of a packed row, as FlexAttention wants to be told: for each key the queries that see it, and by blocks.

Pieces lie in the order of a walk through their tree. So the queries that see a key are one stretch: from the key itself
to where the last piece below its own ends, and for an outer key the queries of the rows that begin with it. Two numbers
a key say everything (`spans`), and a block of queries is compared with them at once: nothing of tokens x tokens is
built, and what is built is built once a packed row, for all layers.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

# Queries, and keys, of a block: what the kernels of FlexAttention divide by.
BLOCK = 128

Range = tuple[int, int]


def spans(pieces: Iterable[Range], above: Iterable[tuple[Range, Range]], outer: int) -> Int32[np.ndarray, "2 keys"]:
    """The first query that sees each key, and the one behind the last; both 0: none does.

    Args:
        pieces: Half-open ranges, which cover the row.
        above: (queries, keys) of `tree_attention.Above`.
        outer: How many keys come before the row's own.

    Raises:
        ValueError: the queries that see a key are not one stretch.
    """
    own = dict(pieces)
    tokens = max(own.values(), default=0)
    found = np.zeros((2, outer + tokens), dtype=np.int32)
    found[0, outer:] = np.arange(tokens)
    for start, stop in own.items():
        found[1, outer + start : outer + stop] = stop
    for (first, last), keys in above:
        begin, end = found[:, slice(*keys)]  # views: what is written to them is written there
        unseen = begin == end
        if (end[~unseen] != first).any():
            raise ValueError(
                f"keys {keys[0]} to {keys[1]} are seen by queries {first} to {last}, which do not begin where those "
                "end that see them so far; pieces must lie in the order of a walk through their tree"
            )
        begin[unseen] = first
        end[:] = last
    return found


def block_mask(seen: Int32[np.ndarray, "2 keys"], outer: int, device: torch.device) -> BlockMask:
    """The blocks of queries x keys that are computed, and those of them that need no look at single keys.

    Args:
        seen: Of `spans`.
        outer: How many keys come before the row's own.
        device: Of queries and keys.
    """
    keys = seen.shape[1]
    tokens = keys - outer
    # Never a single block: to a compiler a length of 1 is another program.
    rows, columns = (max(2, -(-length // BLOCK)) for length in (tokens, keys))
    # What nobody sees ends at 0, before any block, and so do the keys that fill up the last one.
    lo, hi = np.zeros((2, columns * BLOCK), dtype=np.int32)
    lo[:keys], hi[:keys] = seen
    start = np.arange(rows, dtype=np.int32)[:, None] * BLOCK
    some = ((lo < start + BLOCK) & (hi > start)).reshape(rows, columns, BLOCK).any(2)
    every = ((lo <= start) & (hi >= start + BLOCK)).reshape(rows, columns, BLOCK).all(2)
    first, behind = (torch.from_numpy(each.copy()).to(device) for each in seen)

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= first[key]) & (query < behind[key])

    return BlockMask.from_kv_blocks(
        *_listed(some & ~every, device),
        *_listed(every, device),
        BLOCK_SIZE=BLOCK,
        mask_mod=sees,
        seq_lengths=(tokens, keys),
    )


def _listed(blocks: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """(1, 1, rows) how many of the (rows, columns) blocks are marked in each row; (1, 1, rows, columns) which, these
    first. int32."""
    counts, order = blocks.sum(1), np.argsort(~blocks, axis=1, kind="stable")
    counted, ordered = (torch.from_numpy(each.astype(np.int32)).to(device)[None, None] for each in (counts, order))
    return counted, ordered
