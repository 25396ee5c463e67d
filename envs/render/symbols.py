"""A raster of coloured shapes, each in a cell of its own: pictures whose cells are a vision encoder's patches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .scene import Item, paint


def draw_symbols(
    cells: int, cell_px: int, symbols: Mapping[int, tuple[str, str]], background: str = "white"
) -> NDArray[np.uint8]:
    """uint8 (cells * cell_px, cells * cell_px, 3). symbols: cell, row by row from 0 -> (colour, shape)."""
    half = cell_px // 2
    items = tuple(
        Item(shape, colour, "large", cell % cells * cell_px + half, cell // cells * cell_px + half, cell_px * 3 // 7)
        for cell, (colour, shape) in sorted(symbols.items())
    )
    return paint(cells * cell_px, cells * cell_px, background, items).pixels
