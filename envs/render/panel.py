"""A flat picture built from masks, four times finer than its pixels and averaged once at the end.

Lengths are in fine units, a quarter of a pixel. All tests are on whole numbers, at the centres of fine samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .diagram_text import text_mask
from .shapes import FINE, Mask

Colour = tuple[int, int, int]
Point = tuple[int, int]
Grid = NDArray[np.int64]
INK: Colour = (25, 25, 30)


class Panel:
    """A picture of width x height pixels in the making. Later things lie over earlier ones."""

    def __init__(self, width: int, height: int, background: Colour) -> None:
        self.width, self.height = width, height
        self._palette: list[Colour] = [background]
        self._fine = np.zeros((height * FINE, width * FINE), dtype=np.uint8)  # numbers of colours
        self._letters: list[tuple[int, int, str, int, Colour]] = []

    def _number(self, colour: Colour) -> int:
        if colour not in self._palette:
            self._palette.append(colour)
        return self._palette.index(colour)

    def box(self, left: int, top: int, right: int, bottom: int, colour: Colour) -> None:
        """A rectangle, its right and bottom edges left out. What lies outside the picture is cut off."""
        self._fine[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = self._number(colour)

    def mask(self, left: int, top: int, mask: Mask, colour: Colour) -> None:
        """Paint where `mask` is true; its first sample lies at (left, top)."""
        height, width = mask.shape
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = min(top + height, self._fine.shape[0]), min(left + width, self._fine.shape[1])
        if y0 < y1 and x0 < x1:
            number = self._number(colour)
            np.putmask(self._fine[y0:y1, x0:x1], mask[y0 - top : y1 - top, x0 - left : x1 - left], number)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon, even-odd rule."""
        left, top = min(x for x, _ in points), min(y for _, y in points)
        right, bottom = max(x for x, _ in points), max(y for _, y in points)
        inside = polygon([(x - left, y - top) for x, y in points], right - left, bottom - top)
        self.mask(left, top, inside, colour)

    def disc(self, x: int, y: int, radius: int, colour: Colour) -> None:
        """A filled circle around (x, y)."""
        self.mask(x - radius, y - radius, centred(radius, lambda u, v, r: u * u + v * v <= r * r), colour)

    def line(self, start: Point, end: Point, thickness: int, colour: Colour) -> None:
        """A straight line with round ends, `thickness` wide."""
        left, top = min(start[0], end[0]) - thickness, min(start[1], end[1]) - thickness
        right, bottom = max(start[0], end[0]) + thickness, max(start[1], end[1]) + thickness
        x = 2 * np.arange(left, right, dtype=np.int64)[None, :] + 1
        y = 2 * np.arange(top, bottom, dtype=np.int64)[:, None] + 1
        du, dv = 2 * (end[0] - start[0]), 2 * (end[1] - start[1])
        pu, pv = x - 2 * start[0], y - 2 * start[1]
        square, dot, cross = du * du + dv * dv, pu * du + pv * dv, pu * dv - pv * du
        beside = (dot >= 0) & (dot <= square) & (cross * cross <= thickness * thickness * square)
        at_start = pu * pu + pv * pv <= thickness * thickness
        at_end = (pu - du) ** 2 + (pv - dv) ** 2 <= thickness * thickness
        self.mask(left, top, beside | at_start | at_end, colour)

    def text(self, x: int, y: int, text: str, height: int, colour: Colour = INK) -> None:
        """Letters centred at (x, y), their capitals `height` high; all three in pixels."""
        self._letters.append((x, y, text, height, colour))

    def pixels(self) -> NDArray[np.uint8]:
        """uint8 (height, width, 3): each pixel the mean of its 16 samples, rounded once, and the letters over it."""
        palette = np.array(self._palette, dtype=np.uint16)
        corner = self._fine[::FINE, ::FINE]
        # The four samples of a pixel's row, read as one number. Most pixels have one colour; the others are averaged.
        rows = self._fine.view(np.uint32)
        mixed = rows[0::FINE] != corner * np.uint32(0x01010101)
        for k in range(1, FINE):
            mixed |= rows[k::FINE] != rows[0::FINE]
        picture = palette.astype(np.uint8)[corner]
        down, across = np.nonzero(mixed)
        total = np.zeros((down.size, 3), dtype=np.uint16)
        for k in range(FINE * FINE):
            total += palette[self._fine[down * FINE + k // FINE, across * FINE + k % FINE]]
        picture[down, across] = (total + 8) >> 4
        for x, y, text, height, colour in self._letters:
            _write(picture, x, y, text_mask(text, height), colour)
        return picture


def text_width(text: str, height: int) -> int:
    """How many pixels wide a line of text is whose capitals are `height` pixels high."""
    return int(text_mask(text, height).shape[1])


def fitting_height(text: str, width: int, height: int, least: int = 6) -> int:
    """The greatest height of capitals, from `height` down to `least`, at which `text` is at most `width` wide."""
    while height > least and text_width(text, height) > width:
        height -= 1
    return height


def centred(radius: int, inside: Callable[[Grid, Grid, int], Mask]) -> Mask:
    """bool (2r, 2r): where `inside(u, v, 2r)` holds, with u and v odd numbers from -2r to 2r about the centre."""
    axis = 2 * np.arange(2 * radius, dtype=np.int64) + 1 - 2 * radius
    return np.broadcast_to(inside(axis[None, :], axis[:, None], 2 * radius), (2 * radius, 2 * radius))


def polygon(points: Sequence[Point], width: int, height: int) -> Mask:
    """bool (height, width): the samples whose centres lie inside the polygon, even-odd rule."""
    inside = np.zeros((height, width), dtype=np.bool_)
    x = 2 * np.arange(width, dtype=np.int64)[None, :] + 1
    y = 2 * np.arange(height, dtype=np.int64)[:, None] + 1
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        if ay == by:
            continue
        (ax, ay), (bx, by) = ((ax, ay), (bx, by)) if ay < by else ((bx, by), (ax, ay))
        rows = (y > 2 * ay) & (y < 2 * by)
        inside ^= rows & ((x - 2 * ax) * (by - ay) < (y - 2 * ay) * (bx - ax))
    return inside


def _write(picture: NDArray[np.uint8], x: int, y: int, ink: NDArray[np.int16], colour: Colour) -> None:
    height, width = ink.shape
    left, top = x - width // 2, y - height // 2
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + height, picture.shape[0]), min(left + width, picture.shape[1])
    if y0 >= y1 or x0 >= x1:
        return
    cover = ink[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.int32)[:, :, None]
    window = picture[y0:y1, x0:x1].astype(np.int32)
    mixed = window * (255 - cover) + np.array(colour, dtype=np.int32) * cover
    picture[y0:y1, x0:x1] = ((mixed * 2 + 255) // 510).astype(np.uint8)
