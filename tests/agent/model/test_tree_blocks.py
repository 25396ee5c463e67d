"""Two numbers a key, and the blocks made of them, are the dense mask of a packed row."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from agent.model import tree_blocks
from agent.model.tree_attention import Above, Sight, sight
from agent.model.tree_blocks import block_mask, spans

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Forest:
    """A packed row: what it is made of, and the (tokens, keys) mask of what every token sees, from the ancestors of
    its piece one by one."""

    pieces: list[tuple[int, int]]
    above: list[Above]
    outer: int
    mask: torch.Tensor

    @property
    def seen(self) -> Sight:
        return sight(self.pieces, self.above, self.outer, CPU)

    @property
    def spans(self) -> np.ndarray:
        return spans(self.pieces, [(each.queries, each.keys) for each in self.above], self.outer)


def forest(shape: Sequence[tuple[int, int]], prompts: Sequence[tuple[int, int]] = ()) -> Forest:
    """shape: (depth, length) of each piece as a walk meets them; a depth may be any number up to one more than that of
    the piece before. prompts: (length, pieces) of outer ones, and how many pieces of depth 0 begin with each."""
    stops = np.cumsum([0, *(length for _, length in shape)]).tolist()
    pieces = list(pairwise(stops))
    outer = sum(length for length, _ in prompts)
    mask = torch.zeros((stops[-1], outer + stops[-1]), dtype=torch.bool)
    path: list[int] = []
    below: dict[int, list[int]] = {}
    roots: list[list[int]] = []
    for number, ((depth, _), (start, stop)) in enumerate(zip(shape, pieces, strict=True)):
        path[depth:] = [number]
        if len(path) == 1:
            roots.append([])
        roots[-1].append(number)
        mask[start:stop, outer + start : outer + stop] = torch.ones((stop - start,) * 2).tril().bool()
        for each in path[:-1]:
            below.setdefault(each, []).append(number)
            mask[start:stop, slice(*(outer + place for place in pieces[each]))] = True
    above, at = [], 0
    for length, count in prompts:
        under = [number for root in roots[:count] for number in root]
        del roots[:count]
        if under:
            above.append(Above((pieces[under[0]][0], pieces[under[-1]][1]), (at, at + length)))
            mask[slice(*above[-1].queries), at : at + length] = True
        at += length
    for each, numbers in below.items():
        start, stop = pieces[each]
        above.append(Above((stop, pieces[numbers[-1]][1]), (outer + start, outer + stop)))
    return Forest(pieces, above, outer, mask)


@st.composite
def forests(draw: st.DrawFn, longest: int = 12) -> Forest:
    depths, lengths = [0], st.integers(1, longest)
    for jump in draw(st.lists(st.integers(-3, 1), max_size=9)):
        depths.append(max(0, depths[-1] + jump))
    prompts = draw(st.lists(st.tuples(lengths, st.integers(0, 3)), max_size=3))
    return forest([(depth, draw(lengths)) for depth in depths], prompts)


def marked(counts: torch.Tensor, indices: torch.Tensor, shape: tuple[int, int]) -> list[list[int]]:
    """The blocks that are listed in each of so many rows; beyond them nothing may be."""
    found = [sorted(row[:count].tolist()) for count, row in zip(counts[0, 0], indices[0, 0], strict=True)]
    assert not any(found[shape[0] :]) and all(place < shape[1] for row in found for place in row)
    return found[: shape[0]]


def listed(blocks: BlockMask, shape: tuple[int, int]) -> list[list[list[int]]]:
    """Partial and full blocks by queries, then by keys."""
    turned = (shape[1], shape[0])
    return [
        marked(blocks.kv_num_blocks, blocks.kv_indices, shape),
        marked(blocks.full_kv_num_blocks, blocks.full_kv_indices, shape),  # type: ignore[arg-type]
        marked(blocks.q_num_blocks, blocks.q_indices, turned),  # type: ignore[arg-type]
        marked(blocks.full_q_num_blocks, blocks.full_q_indices, turned),  # type: ignore[arg-type]
    ]


@given(made=forests())
def test_a_key_is_seen_by_the_queries_of_its_span_and_by_no_other(made: Forest) -> None:
    first, behind = made.spans
    query = np.arange(made.mask.shape[0])[:, None]
    np.testing.assert_array_equal((query >= first) & (query < behind), made.mask)


@pytest.mark.parametrize("size", [4, 16])
@settings(max_examples=60)
@given(made=forests())
def test_full_and_partial_blocks_are_those_of_the_dense_mask(made: Forest, size: int) -> None:
    tokens, keys = made.mask.shape
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_blocks, "BLOCK", size)
        found = block_mask(made.spans, made.outer, CPU)
    expected = create_block_mask(lambda b, h, q, k: made.mask[q, k], None, None, tokens, keys, "cpu", size)
    shape = (-(-tokens // size), -(-keys // size))
    assert listed(found, shape) == listed(expected, shape)
    assert found.seq_lengths == (tokens, keys) and set(found.BLOCK_SIZE) == {size}


@given(made=forests())
def test_the_rule_for_single_tokens_is_the_dense_mask_too(made: Forest) -> None:
    tokens, keys = made.mask.shape
    blocks = block_mask(made.spans, made.outer, CPU)
    query, key = torch.arange(tokens)[:, None], torch.arange(keys)
    none = torch.zeros(())
    assert torch.equal(blocks.mask_mod(none, none, query, key.expand(tokens, keys)), made.mask)


def test_siblings_of_whole_blocks_are_full_below_their_prompt_and_absent_beside_each_other() -> None:
    blocks = forest([(0, 256), (1, 128), (1, 128)]).seen.blocks
    assert listed(blocks, (4, 4))[:2] == [[[0], [1], [2], [3]], [[], [0], [0, 1], [0, 1]]]


def test_blocks_are_made_once_a_row() -> None:
    seen = forest([(0, 5), (1, 3)]).seen
    assert seen.blocks is seen.blocks


def test_pieces_out_of_order_are_an_error() -> None:
    with pytest.raises(ValueError, match="order of a walk"):
        spans([(0, 5), (5, 8), (8, 11)], [((8, 11), (0, 5))], 0)
