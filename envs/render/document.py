"""Document-like pictures: receipts, labels, signs, tables. Lines of text in, pixels out.

Text is drawn with the font inside Pillow, so that the same document gives the same pixels wherever the version of
Pillow is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

STYLES = ("title", "row", "small", "rule", "strong")
_HEIGHTS = {"title": 20, "row": 14, "small": 11, "rule": 7, "strong": 17}  # of a line, in shares of the document's
_MARGIN = 6  # hundredths of the width


@dataclass(frozen=True)
class Line:
    """One line: its cells from left to right. One cell is centred in a title and left-aligned elsewhere; of several the
    first is left-aligned, the last right-aligned, and those between are centred. A rule has no cells."""

    style: str
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """paper, ink, band: colours (red, green, blue). band colours the title's ground, or is None. frame: a border.
    grid: lines between the rows. columns: where the cells between first and last are centred, in hundredths."""

    paper: tuple[int, int, int]
    ink: tuple[int, int, int]
    band: tuple[int, int, int] | None = None
    frame: bool = False
    grid: bool = False
    columns: tuple[int, ...] = ()


@dataclass(frozen=True)
class Document:
    """What is written, and how it looks."""

    kind: str
    look: Look
    lines: tuple[Line, ...]


def draw_document(document: Document, width: int, height: int) -> NDArray[np.uint8]:
    """uint8 (height, width, 3): the document fills the picture. Text too long for its place is drawn smaller."""
    look = document.look
    image = Image.new("RGB", (width, height), look.paper)
    draw = ImageDraw.Draw(image)
    margin = width * _MARGIN // 100
    shares = sum(_HEIGHTS[line.style] for line in document.lines)
    # A short document does not become a poster.
    room = min(height - 2 * margin, shares * height // 100)
    top, done = margin if room == height - 2 * margin else (height - room) // 2, 0
    thick = max(width // 160, 1)
    for line in document.lines:
        share = _HEIGHTS[line.style]
        low, high = top + done * room // shares, top + (done + share) * room // shares
        done += share
        middle = (low + high) // 2
        if line.style == "rule":
            draw.rectangle((margin, middle, width - margin - 1, middle + thick - 1), fill=look.ink)
            continue
        ink = look.ink
        if line.style == "title" and look.band is not None:
            draw.rectangle((0, low - margin if low <= margin else low, width - 1, high), fill=look.band)
            ink = look.paper
        _write(draw, line, look, margin, width, middle, high - low, ink)
        if look.grid and line.style == "row":
            draw.rectangle((margin, high - thick, width - margin - 1, high - 1), fill=_between(look.ink, look.paper))
    if look.frame:
        draw.rectangle((0, 0, width - 1, height - 1), outline=look.ink, width=2 * thick)
    return np.asarray(image).copy()


def _write(
    draw: ImageDraw.ImageDraw,
    line: Line,
    look: Look,
    margin: int,
    width: int,
    middle: int,
    height: int,
    ink: tuple[int, int, int],
) -> None:
    size = max(height * 66 // 100, 6)
    room = width - 2 * margin
    bold = line.style in ("title", "strong")
    while size > 6 and _length(line.cells, size, bold) + size * (len(line.cells) - 1) // 2 > room:
        size -= 1
    font, last = _font(size), len(line.cells) - 1
    for k, cell in enumerate(line.cells):
        if last == 0:
            x, anchor = (width // 2, "mm") if line.style == "title" else (margin, "lm")
        elif k in (0, last):
            x, anchor = (margin, "lm") if k == 0 else (width - margin, "rm")
        else:
            x, anchor = width * look.columns[k - 1] // 100, "mm"
        draw.text((x, middle), cell, fill=ink, font=font, anchor=anchor, stroke_width=size // 22 if bold else 0)


def _length(cells: tuple[str, ...], size: int, bold: bool) -> int:
    return int(sum(_font(size).getlength(cell) + (2 * (size // 22) if bold else 0) for cell in cells))


def _between(first: tuple[int, int, int], second: tuple[int, int, int]) -> tuple[int, int, int]:
    return ((first[0] + 2 * second[0]) // 3, (first[1] + 2 * second[1]) // 3, (first[2] + 2 * second[2]) // 3)


@lru_cache(maxsize=128)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType, and so without its scalable font; install a wheel")
    return font


def lay_out(
    pictures: tuple[NDArray[np.uint8], ...], columns: int, ground: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], tuple[tuple[int, int, int, int], ...]]:
    """Pictures of one size side by side on a table, row by row, with a gap of an eighth of their width between them.

    Returns the picture and the box (x1, y1, x2, y2) of each in pixels.
    """
    height, width = pictures[0].shape[:2]
    gap = width // 8
    rows = -(-len(pictures) // columns)
    table = np.empty((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), dtype=np.uint8)
    table[:] = ground
    boxes = []
    for k, picture in enumerate(pictures):
        y, x = gap + k // columns * (height + gap), gap + k % columns * (width + gap)
        table[y : y + height, x : x + width] = picture
        boxes.append((x, y, x + width, y + height))
    return table, tuple(boxes)
