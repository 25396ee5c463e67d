"""Multimodal rotary positions against those of the families' own models."""

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.load import VLM
from agent.model.positions import mrope_positions
from agent.types import ImageSpan

# Texts between images; a text stands before the first image and between two, as the vision tokens do.
LAYOUTS = st.tuples(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5)), max_size=5), st.integers(0, 6)
)
FAMILIES = st.sampled_from(["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])


def laid_out(images: list[tuple[int, int, int]], tail: int, merge: int) -> tuple[int, list[ImageSpan]]:
    length, spans = 0, []
    for text, rows, columns in images:
        spans.append(ImageSpan(length + text, rows * columns, (1, rows * merge, columns * merge), "x"))
        length += text + rows * columns
    return length + tail, spans


# One function for all examples: the model is the session's.
def test_positions_are_those_of_the_family(load_family: Callable[[str], VLM]) -> None:
    @settings(max_examples=60)
    @given(FAMILIES, LAYOUTS)
    def check(family: str, layout: tuple[list[tuple[int, int, int]], int]) -> None:
        vlm = load_family(family)
        merge = vlm.processor.merge
        length, spans = laid_out(*layout, merge)
        if not length:
            return
        types = torch.zeros((1, length), dtype=torch.int)
        for span in spans:
            types[0, span.start : span.start + span.length] = 1
        grids = torch.tensor([span.grid for span in spans]) if spans else None
        ids = torch.zeros((1, length), dtype=torch.long)
        theirs, _ = vlm.model.base_model.get_rope_index(ids, types, image_grid_thw=grids)
        np.testing.assert_array_equal(mrope_positions(length, spans, merge), theirs[:, 0].numpy())

    check()


@given(LAYOUTS)
def test_a_continued_row_begins_one_after_the_largest_position(
    layout: tuple[list[tuple[int, int, int]], int],
) -> None:
    length, spans = laid_out(*layout, 2)
    if not length:
        return
    whole = mrope_positions(length + 3, spans, 2)
    assert whole[:, length].tolist() == [mrope_positions(length, spans, 2).max() + 1] * 3


def test_an_image_stands_as_a_grid_and_is_left_by_its_longer_side() -> None:
    # Two texts, an image of 2 x 3 tokens, one text.
    got = mrope_positions(9, [ImageSpan(2, 6, (1, 4, 6), "x")], 2)
    assert got.tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5],
        [0, 1, 2, 2, 2, 3, 3, 3, 5],
        [0, 1, 2, 3, 4, 2, 3, 4, 5],
    ]
