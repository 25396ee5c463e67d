"""Rows before the trunks that they continue."""

import numpy as np
import pytest
import torch

from agent.rollout.hf_seats import MANY, Seating
from agent.rollout.hf_trunks import Trunk


def trunk_of(length: int, seed: int = 0) -> Trunk:
    made = torch.Generator().manual_seed(1000 * seed + length)
    keys, values = ([torch.randn(2, length, 8, generator=made) for _ in range(2)] for _ in range(2))
    return Trunk(keys, values, torch.randn(5, generator=made), length)


@pytest.mark.parametrize("seed", range(8))
def test_rows_take_from_their_own_trunk_wherever_it_moves(seed: int) -> None:
    """Trunks of any length and rows come and go; one that no row continues keeps what it has."""
    dice = np.random.default_rng(seed)
    seating = Seating()
    trunks = [trunk_of(int(length), seed) for length in dice.integers(1, 90, 9)]
    plain = {trunk: [t.clone() for t in trunk.tensors()] for trunk in trunks}
    for _ in range(12):
        running = [trunks[k] for k in dice.integers(0, len(trunks), dice.integers(1, 12))]
        seating.arrange(running)
        for trunk in trunks:
            assert all(map(torch.equal, trunk.tensors(), plain[trunk]))
        query = torch.from_numpy(dice.normal(size=(len(running), 2, 3, 8))).float()
        out, lse = seating.take(1, query, 0.4)
        for row, trunk in enumerate(running):
            scores = 0.4 * query[row] @ plain[trunk][1].transpose(-1, -2)
            torch.testing.assert_close(lse[row], scores.logsumexp(-1))
            torch.testing.assert_close(out[row], scores.softmax(-1) @ plain[trunk][3])


def test_trunks_of_very_different_lengths_are_not_padded_to_the_longest() -> None:
    seating = Seating()
    trunks = [trunk_of(length) for length in (10, 12, 14, 400)]
    seating.arrange(trunks)
    assert sum(stack.columns for stack in seating.stacks) == 3 * 14 + 400


def test_stacks_stay_where_they_are_as_long_as_most_of_them_is_needed() -> None:
    seating = Seating()
    trunks = [trunk_of(length) for length in (20, 21, 22)]
    seating.arrange(trunks)
    memory = seating.stacks[0].keys[0].data_ptr()
    seating.arrange(trunks[:2])
    assert seating.stacks[0].keys[0].data_ptr() == memory
    seating.arrange(trunks[:1])
    assert [stack.columns for stack in seating.stacks] == [20]
    # Those that left do not keep the memory of all.
    assert all(t.untyped_storage().nbytes() == t.nbytes for trunk in trunks[1:] for t in trunk.tensors()[:-1])
    for length in range(30, 30 + 2 * MANY):
        trunks.append(trunk_of(length))
        seating.arrange(trunks)
        assert len(seating.stacks) <= MANY
