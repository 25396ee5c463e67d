"""Tokens of rows, in buffers that grow."""

import torch

from agent.rollout.hf_own import Lot, Own


def test_lots_come_out_of_the_buffers_as_they_were_written() -> None:
    dice = torch.Generator().manual_seed(0)
    own = Own()
    like = [torch.empty(2, 0, 4)] * 2
    kept: list[torch.Tensor] = []
    for joining in ([0, 3], [40], [1, 0]):
        lots = [torch.randn(2, 2, count, 4, generator=dice) for count in joining]
        own.join([Lot([*lot], [*-lot]) for lot in lots], [0] * len(lots), like)
        kept += lots
        for _ in range(45):
            own.make_room()
            new = torch.randn(2, len(kept), 2, 1, 4, generator=dice)
            for layer in range(2):
                own.write(layer, new[layer], -new[layer])
            own.grown()
            kept = [torch.cat([lot, new[:, row]], 2) for row, lot in enumerate(kept)]
        if len(kept) == 3:
            own.keep([2, 0])
            kept = [kept[2], kept[0]]
    assert own.lengths == [lot.shape[2] for lot in kept] and len(kept) == 4
    for row, lot in enumerate(kept):
        found = own.lot(row, lot.shape[2])
        assert torch.equal(torch.stack(found.keys), lot) and torch.equal(torch.stack(found.values), -lot)
