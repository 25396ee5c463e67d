"""Diagrams for very small models: every character of a label fills one cell of a grid.

A picture is a grid of square cells, as large as one patch of the model's eyes. A label takes as many cells of one row
as it has characters, near what it names. Lines end where a label begins, so that a cell shows a character or lines,
never both, and no character lies across a border.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .diagram_strokes import FULL, SUB, Cover, segments_cover
from .diagram_text import text_mask

HALF = 11  # half a line's width, in sixteenths of a pixel
MAX_HIDDEN = 22  # pixels of line that one label may hide


@dataclass(frozen=True)
class Sketch:
    """Lines (x0, y0, x1, y1) and labels (text, x, y of the place to be near), in pixels with y down."""

    lines: tuple[tuple[int, int, int, int], ...]
    labels: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class CellDrawing:
    """pixels: uint8 (H, W, 3). cells: per label, the column and row of its first character."""

    pixels: NDArray[np.uint8]
    cells: tuple[tuple[int, int], ...]


def draw_cells(sketch: Sketch, columns: int, rows: int, cell: int = 14) -> CellDrawing | None:
    """Draw a sketch on columns x rows cells of `cell` pixels, or None if a label found no place."""
    cover = np.zeros((rows * cell, columns * cell), dtype=np.int16)
    strokes = np.array(sketch.lines, dtype=np.int64).reshape(-1, 4) * SUB + SUB // 2
    segments_cover(cover, strokes, HALF)
    ink = (cover > FULL // 2).reshape(rows, cell, columns, cell).sum(axis=(1, 3)).tolist()  # per cell
    taken: set[tuple[int, int]] = set()
    found: list[tuple[int, int]] = []
    for text, x, y in sketch.labels:
        best: tuple[int, int, int] | None = None
        for row in range(rows):
            for column in range(columns - len(text) + 1):
                cells = [(column + k, row) for k in range(len(text))]
                hidden = sum(ink[r][c] for c, r in cells)
                # Neighbours in the same row would run together: 4 and 0 would read 40.
                beside = [(column - 1, row), *cells, (column + len(text), row)]
                if hidden > MAX_HIDDEN or not taken.isdisjoint(beside):
                    continue
                off_x = column * cell + len(text) * cell // 2 - x
                off_y = row * cell + cell // 2 - y
                cost = off_x * off_x + off_y * off_y + 6 * hidden
                if best is None or cost < best[0]:
                    best = (cost, column, row)
        if best is None or best[0] > (2 * cell) ** 2:
            return None
        found.append(best[1:])
        for k, character in enumerate(text):
            column, row = best[1] + k, best[2]
            taken.add((column, row))
            cover[row * cell : row * cell + cell, column * cell : column * cell + cell] = glyph_cell(character, cell)
    grey = (FULL - cover).astype(np.uint8)
    return CellDrawing(np.repeat(grey[:, :, None], 3, axis=2), tuple(found))


@lru_cache(maxsize=256)
def glyph_cell(character: str, cell: int) -> Cover:
    """int16 (cell, cell), 0..255, read-only: one character in the middle of its cell."""
    room = np.zeros((cell, cell), dtype=np.int16)
    mask = text_mask(character, cell * 10 // 14, weight=cell)
    h, w = min(mask.shape[0], cell), min(mask.shape[1], cell)
    top, left = (cell - h) // 2, (cell - w) // 2
    room[top : top + h, left : left + w] = mask[:h, :w]
    room.flags.writeable = False
    return room
