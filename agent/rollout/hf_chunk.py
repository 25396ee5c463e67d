"""A layout for several new tokens of several rows in one pass: what an environment answered, on top of what is held."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from ..model.attention_parts import merge, part
from ..model.last_layer import Asked
from .hf_own import Own
from .hf_trunks import Trunk

# Elements of a mask at a time: rows whose own tokens are looked at together are as many as that allows.
MASK = 2**22


class Chunk:
    """New tokens of rows that lie one after the other in a buffer, the rows of one trunk together in the pass.

    Args:
        own: Where the new tokens' keys and values go, as the last columns that the rows have.
        first: The first of the rows.
        trunks: What each row continues.
        counts: New tokens of each, at least 1.
        narrow: Only the last token of each row goes through the last layer.

    Attributes:
        order: In which the rows' tokens lie in the pass: places in `trunks`.
        last: See `last_layer.Narrowing`.
        ends: (rows,) int64, each row's last token among those that the pass returns, in order of rows.
    """

    def __init__(
        self, own: Own, first: int, trunks: Sequence[Trunk], counts: Sequence[int], narrow: bool = False
    ) -> None:
        self.own, device = own, own.keys[0].device
        self._all = Looking(own, first, trunks, counts)
        self.order = self._all.order
        self._rows = torch.tensor([first + row for row in self.order for _ in range(counts[row])], device=device)
        self._columns = torch.tensor(
            [own.lengths[first + row] - counts[row] + new for row in self.order for new in range(counts[row])],
            device=device,
        )
        self.last: Asked | None = None
        self.ends = self._all.ends
        if narrow:
            # In the order of the pass, which is that of a chunk of one token a row.
            through = self.ends.index_select(0, torch.tensor(self.order, device=device))
            self.last = Asked(through, torch.arange(sum(counts), device=device))
            self._one = Looking(own, first, trunks, [1] * len(counts))
            self.ends = self._one.ends

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        self._put(layer, key, value)
        return self._all.take(layer, query, key.shape[1], scale)

    def attend_last(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, scale: float
    ) -> Tensor:
        """See `last_layer.Narrowing`."""
        self._put(layer, keys, values)
        return self._one.take(layer, query, keys.shape[1], scale)

    def _put(self, layer: int, keys: Tensor, values: Tensor) -> None:
        self.own.put(layer, self._rows, self._columns, keys[0].transpose(0, 1), values[0].transpose(0, 1))


class Looking:
    """The last few tokens of rows, and what they see: their trunk, and the tokens before them in their row.

    Args and attributes are those of `Chunk`, whose tokens these are.
    """

    def __init__(self, own: Own, first: int, trunks: Sequence[Trunk], counts: Sequence[int]) -> None:
        self.own = own
        self.first, self.counts = first, list(counts)
        rank = {trunk: place for place, trunk in enumerate(dict.fromkeys(trunks))}
        self.order = sorted(range(len(trunks)), key=lambda row: rank[trunks[row]])
        self.device = own.keys[0].device
        stops = list(accumulate(counts[row] for row in self.order))
        self._begin = {row: stop - counts[row] for row, stop in zip(self.order, stops, strict=True)}
        self.ends = torch.tensor([self._begin[row] + counts[row] - 1 for row in range(len(trunks))], device=self.device)
        lots = {trunk: sum(counts[row] for row in range(len(trunks)) if trunks[row] is trunk) for trunk in rank}
        self._lots = list(lots.items())
        self._held = [own.lengths[first + row] - counts[row] for row in range(len(trunks))]
        self._blocks: list[Block] = []

    def take(self, layer: int, query: Tensor, key_heads: int, scale: float) -> Tensor:
        """(1, heads, tokens, channels) to (1, tokens, heads, channels)."""
        _, heads, tokens, channels = query.shape
        grouped = query[0].reshape(key_heads, heads // key_heads, tokens, channels)
        if not self._blocks:
            self._blocks = self._divide(heads // key_heads, query.dtype)
        common, common_lse = self._of_trunks(layer, grouped, scale)
        mine, mine_lse = torch.empty_like(common), torch.empty_like(common_lse)
        for block in self._blocks:
            out, lse = block.take(self.own, layer, grouped, scale)
            mine.index_copy_(2, block.tokens, out)
            mine_lse.index_copy_(2, block.tokens, lse)
        found = merge(common, common_lse, mine, mine_lse)
        return found.reshape(1, heads, tokens, channels).transpose(1, 2)

    def _of_trunks(self, layer: int, query: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        key_heads, groups, _, channels = query.shape
        outs, sums = [], []
        for (trunk, count), some in zip(self._lots, query.split([count for _, count in self._lots], 2), strict=True):
            flat = some.reshape(1, key_heads, groups * count, channels)
            out, lse = part(flat, trunk.keys[layer][None], trunk.values[layer][None], scale, None)
            outs.append(out.reshape(key_heads, groups, count, channels))
            sums.append(lse.reshape(key_heads, groups, count))
        return torch.cat(outs, 2), torch.cat(sums, 2)

    def _divide(self, groups: int, dtype: torch.dtype) -> list[Block]:
        """Rows into blocks that lie together in the buffer."""
        blocks: list[list[int]] = []
        for row in range(len(self.counts)):
            if blocks:
                lot = [*blocks[-1], row]
                width = max(self.counts[each] for each in lot)
                seen = max(self._held[each] + self.counts[each] for each in lot)
                if len(lot) * width * groups * seen <= MASK:
                    blocks[-1] = lot
                    continue
            blocks.append([row])
        return [self._block(lot, groups, dtype) for lot in blocks]

    def _block(self, lot: list[int], groups: int, dtype: torch.dtype) -> Block:
        counts = torch.tensor([self.counts[row] for row in lot], device=self.device)
        held = torch.tensor([self._held[row] for row in lot], device=self.device)
        begin = torch.tensor([self._begin[row] for row in lot], device=self.device)
        steps = torch.arange(int(counts.max()), device=self.device)
        real = steps < counts[:, None]
        # A query that is none is the row's last, again.
        steps = steps.minimum(counts[:, None] - 1)
        seen = int((held + counts).max())
        hidden = torch.arange(seen, device=self.device) > (held[:, None] + steps)[..., None]
        bias = torch.zeros(hidden.shape, device=self.device, dtype=dtype).masked_fill_(hidden, -torch.inf)
        gathered = begin[:, None] + steps
        return Block(
            slice(self.first + lot[0], self.first + lot[-1] + 1),
            gathered,
            real.flatten().nonzero()[:, 0],
            gathered[real],
            bias[:, None].repeat(1, 1, groups, 1),
        )


class Block:
    """Rows whose own tokens are looked at together, their queries padded to equally many.

    Args:
        rows: In the buffers.
        gathered: (rows, width) int64, the queries' tokens in the pass.
        real: (tokens,) int64, which of them, counted row by row, are no padding.
        tokens: (tokens,) int64, where those stand in the pass.
        bias: (rows, 1, groups * width, keys), see `attention_parts.part`.
    """

    def __init__(self, rows: slice, gathered: Tensor, real: Tensor, tokens: Tensor, bias: Tensor) -> None:
        self.rows, self.gathered, self.real, self.tokens, self.bias = rows, gathered, real, tokens, bias

    def take(self, own: Own, layer: int, query: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """(key_heads, groups, tokens of the pass, channels) to those of this block, and lse."""
        key_heads, groups, _, channels = query.shape
        rows, width = self.gathered.shape
        seen = self.bias.shape[-1]
        mine = query.index_select(2, self.gathered.flatten()).view(key_heads, groups, rows, width, channels)
        mine = mine.permute(2, 0, 1, 3, 4).reshape(rows, key_heads, groups * width, channels)
        keys, values = (each[layer][self.rows, :, :seen] for each in (own.keys, own.values))
        out, lse = part(mine, keys, values, scale, self.bias)
        out = out.reshape(rows, key_heads, groups, width, channels).permute(1, 2, 0, 3, 4)
        lse = lse.reshape(rows, key_heads, groups, width).permute(1, 2, 0, 3)
        out = out.reshape(key_heads, groups, rows * width, channels)
        return out.index_select(2, self.real), lse.reshape(key_heads, groups, -1).index_select(2, self.real)
