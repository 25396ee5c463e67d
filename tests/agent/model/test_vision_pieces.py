"""Pieces that are taken together give what each gives by itself."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as plain

import agent.model.vision_pieces as module
from agent.model.load import VLM
from agent.model.vision_pieces import NAME, attention, join_pieces

HEADS, CHANNELS, SCALE = 2, 8, 0.3
LENGTHS = [4, 4, 4, 6, 4, 4, 9]


def given(patches: int = sum(LENGTHS)) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(1, HEADS, patches, CHANNELS, requires_grad=True) for _ in range(3)]


def one_by_one(query: Tensor, key: Tensor, value: Tensor, lengths: list[int]) -> Tensor:
    pieces = zip(*(each.split(lengths, 2) for each in (query, key, value)), strict=True)
    return torch.cat([plain(*piece, scale=SCALE).transpose(1, 2) for piece in pieces], 1)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the queries that attention is called with."""
    shapes: list[tuple[int, ...]] = []

    def told(query: Tensor, *others: Tensor, **options: Any) -> Tensor:
        shapes.append(tuple(query.shape))
        return plain(query, *others, **options)

    monkeypatch.setattr(module, "scaled_dot_product_attention", told)
    return shapes


@pytest.mark.parametrize("lengths", [LENGTHS, [5, 5, 5], [7]])
def test_values_and_gradients_are_those_of_pieces_one_by_one(lengths: list[int]) -> None:
    ends = torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32)
    together, apart = given(sum(lengths)), given(sum(lengths))
    found, nothing = attention(None, *together, None, scaling=SCALE, cu_seq_lens_q=ends)
    expected = one_by_one(*apart, lengths)
    assert nothing is None and torch.equal(found, expected)
    for result in (found, expected):
        (result**3).sum().backward()
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_pieces_of_one_length_that_follow_each_other_are_one_call(calls: list[tuple[int, ...]]) -> None:
    attention(None, *given(), None, scaling=SCALE, cu_seq_lens_q=np.cumsum([0, *LENGTHS]))
    assert [(shape[0], shape[2]) for shape in calls] == [(3, 4), (1, 6), (2, 4), (1, 9)]


def test_without_pieces_it_is_plain_attention() -> None:
    parts = given()
    plainly = torch.nn.Module()
    plainly.is_causal = False
    found, _ = attention(plainly, *parts, None, scaling=SCALE)
    assert torch.equal(found, one_by_one(*parts, [sum(LENGTHS)]))


def test_a_loaded_tower_of_the_qwen_families_takes_its_pieces_together(vlm: VLM, calls: list[tuple[int, ...]]) -> None:
    vision = vlm.model.config.vision_config
    assert (vision._attn_implementation == NAME) == vlm.family.startswith("qwen")
    if vision._attn_implementation != NAME:
        return
    tower, grids = vlm.model.base_model.visual, torch.tensor([[1, 4, 4], [1, 4, 4], [1, 8, 4]])
    pixels = torch.randn(64, tower.patch_embed.proj.weight[0].numel())
    with torch.inference_mode():
        found = tower(pixels, grid_thw=grids).pooler_output
        assert any(shape[0] > 1 for shape in calls)
        vision._attn_implementation = "sdpa"
        expected = tower(pixels, grid_thw=grids).pooler_output
        join_pieces(vlm.model)
    torch.testing.assert_close(found, expected)


def test_a_tower_that_was_told_otherwise_stays_as_it_is(vlm: VLM) -> None:
    vision = vlm.model.config.vision_config
    before, vision._attn_implementation = vision._attn_implementation, "eager"
    join_pieces(vlm.model)
    assert vision._attn_implementation == "eager"
    vision._attn_implementation = before
