"""Multimodal rotary positions (M-RoPE) of a row, without a pass through the model.

For still images the three families agree: a text token advances one counter; an image's tokens stand at
(counter, counter + row, counter + column) of its merged grid, and the counter then jumps by the grid's longer side.
Source: Qwen2-VL (arXiv 2409.12191), section 2.1. Tested equal to `get_rope_index` of Qwen2-VL, Qwen2.5-VL and Qwen3-VL.

A family whose positions are one-dimensional (LLaVA's) says that an image is a grid of (tokens, 1, 1): one token a step
of the first axis, which then counts the row's tokens one by one, and is the only axis that such a model is given.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..types import ImageSpan


def mrope_positions(length: int, images: Sequence[ImageSpan], merge: int) -> np.ndarray:
    """(3, length) int64: time, height and width position of each expanded token of a row.

    `images`: the row's spans in order, `start` counted from the beginning of the row. The position of the next token
    is the maximum plus one.
    """
    positions = np.empty((3, length), dtype=np.int64)
    cursor, counter = 0, 0
    for span in images:
        text = span.start - cursor
        positions[:, cursor : span.start] = counter + np.arange(text)
        counter += text
        frames, rows, columns = span.grid[0], span.grid[1] // merge, span.grid[2] // merge
        inside = slice(span.start, span.start + span.length)
        positions[0, inside] = counter + np.repeat(np.arange(frames), rows * columns)
        positions[1, inside] = counter + np.tile(np.repeat(np.arange(rows), columns), frames)
        positions[2, inside] = counter + np.tile(np.arange(columns), frames * rows)
        counter += max(frames, rows, columns)
        cursor = span.start + span.length
    positions[:, cursor:] = counter + np.arange(length - cursor)
    return positions
