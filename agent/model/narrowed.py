"""A packed row's last layer: which tokens go through it, and what they see there.

Tokens that are asked for lie in runs: a response with the token before it, say. A run sees itself, and as keys that
were computed beside all that stands before it in its piece and in the pieces above. So the narrowed row is a packed row
too, with more outer keys: those of pieces of which not every token is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int

from .last_layer import Asked
from .tree_attention import Above, Sight, sight

# Nobody asks for so many tokens in a row: then they are left out. Each run costs calls.
LEAST = 32


@dataclass(frozen=True, eq=False)
class Narrowed(Asked):
    """`sight`: what the tokens that go through see: outer keys, then those of `seen`, then their own. `places`:
    (packed,) where each of the packed tokens stands among them, -1 if it does not."""

    sight: Sight
    places: Int[np.ndarray, " packed"]


def narrowed(
    pieces: Sequence[tuple[int, int, int]],
    wanted: Bool[np.ndarray, " packed"],
    above: Sequence[Above],
    outer: int,
    device: torch.device,
    every: bool = False,
) -> Narrowed | None:
    """The last layer of a packed row; None: it is worth computing all of it.

    Args:
        pieces: Where each begins and ends, and where what hangs below it ends; in the order of the row.
        wanted: Which tokens are asked for.
        above: What tokens see of outer keys.
        outer: How many keys were computed in another pass.
        device: Where the row is.
        every: `seen` are all tokens, in order, for whoever keeps their keys.
    """
    wanted = wanted.copy()
    for start, stop, _ in pieces:
        _fill(wanted[start:stop])
    if wanted.all():
        return None
    before = np.concatenate([[0], np.cumsum(wanted)]).tolist()
    whole = [not every and bool(wanted[start:stop].all()) for start, stop, _ in pieces]
    looked_at = []
    for (start, stop, end), all_of_it in zip(pieces, whole, strict=True):
        if not all_of_it:
            # Behind the last piece of a row nobody looks at what its last run holds.
            leaf = end == stop and not every
            looked_at.append(range(start, start + _runs(wanted[start:stop])[-1][0] if leaf else stop))
    at, own, parts = outer, outer + sum(map(len, looked_at)), iter(looked_at)
    runs: list[tuple[int, int]] = []
    found = [Above((before[each.queries[0]], before[each.queries[1]]), each.keys) for each in above]
    for (start, stop, end), all_of_it in zip(pieces, whole, strict=True):
        if all_of_it:
            runs.append((before[start], before[stop]))
            keys = (own + before[start], own + before[stop])
        else:
            for first, last in _runs(wanted[start:stop]):
                queries = (before[start + first], before[start + last])
                runs.append(queries)
                if first:
                    found.append(Above(queries, (at, at + first)))
            keys = (at, at + len(next(parts)))
            at = keys[1]
        found.append(Above((before[stop], before[end]), keys))
    seen = sight(runs, [each for each in found if each.queries[0] < each.queries[1]], own, device)
    return Narrowed(
        torch.from_numpy(wanted.nonzero()[0]).to(device),
        torch.from_numpy(np.concatenate(looked_at).astype(np.int64)).to(device),
        seen,
        np.where(wanted, np.cumsum(wanted) - 1, -1),
    )


def _runs(flags: Bool[np.ndarray, " tokens"]) -> list[tuple[int, int]]:
    """Half-open ranges in which they are up."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _fill(flags: Bool[np.ndarray, " tokens"]) -> None:
    """Raise those that are down for less than `LEAST`."""
    for start, stop in _runs(~flags):
        if stop - start < LEAST:
            flags[start:stop] = True
