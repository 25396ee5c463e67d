"""Painting flat objects on a plain background, and telling how much of each can be seen."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .shapes import BACKGROUNDS, COLOURS, FINE, SAMPLES, Mask, coverage, fine_mask, full_coverage


@dataclass(frozen=True, slots=True)
class Item:
    """One object: its names, its centre (x to the right, y down, pixels) and its radius (pixels)."""

    shape: str
    colour: str
    size: str
    x: int
    y: int
    radius: int

    def touches(self, other: "Item") -> bool:
        """Whether the two bounding squares overlap."""
        reach = self.radius + other.radius
        return abs(self.x - other.x) < reach and abs(self.y - other.y) < reach


@dataclass(frozen=True)
class Painting:
    """pixels: uint8 (height, width, 3). visible: per item, the share of its area that is not hidden, in [0, 1]."""

    pixels: NDArray[np.uint8]
    visible: tuple[float, ...]


def paint(width: int, height: int, background: str, items: tuple[Item, ...]) -> Painting:
    """Paint the items in order: later ones hide earlier ones. Every item must lie wholly inside the picture.

    Each pixel is the mean of its 16 fine samples, rounded once: colours are summed with their coverage as weights, and
    divided at the end. Items that touch nothing are copied from a store of finished tiles, with the same result.
    """
    pixels = _canvas(width, height, background).copy()
    visible = [1.0] * len(items)
    crowd = [k for k, a in enumerate(items) if any(a is not b and a.touches(b) for b in items)]
    for k in set(range(len(items))).difference(crowd):
        item = items[k]
        pixels[_window(item)] = _tile(item.shape, item.radius, item.colour, background)
    if crowd:
        hidden = np.zeros((height * FINE, width * FINE), dtype=np.bool_)
        total = np.zeros((height, width, 3), dtype=np.int16)  # at most 16 x 255 either way
        for k in reversed(crowd):  # from the front: what is taken already hides what lies behind
            item = items[k]
            seen = coverage(_take(hidden, fine_mask(item.shape, item.radius), _window(item, FINE)))
            visible[k] = int(seen.sum()) / int(full_coverage(item.shape, item.radius).sum())
            total[_window(item)] += seen[:, :, None] * _difference(item.colour, background)
        for k in crowd:
            pixels[_window(items[k])] = _finish(total[_window(items[k])], background)
    return Painting(pixels, tuple(visible))


@lru_cache(maxsize=8)
def _canvas(width: int, height: int, background: str) -> NDArray[np.uint8]:
    return np.full((height, width, 3), BACKGROUNDS[background], dtype=np.uint8)


def _window(item: Item, scale: int = 1) -> tuple[slice, slice]:
    """The item's bounding square as (rows, columns), in pixels times `scale`."""
    top, left, side = item.y - item.radius, item.x - item.radius, 2 * item.radius
    return slice(top * scale, (top + side) * scale), slice(left * scale, (left + side) * scale)


def _take(hidden: Mask, mask: Mask, window: tuple[slice, slice]) -> Mask:
    """The part of `mask` that is still free, which is marked as taken."""
    taken = hidden[window]
    free: Mask = mask & ~taken
    taken |= mask
    return free


def _finish(total: NDArray[np.int16], background: str) -> NDArray[np.uint8]:
    """From sixteenths above or below the background to pixels: the one rounding."""
    base = np.array(BACKGROUNDS[background], dtype=np.int16) * SAMPLES + SAMPLES // 2
    return ((total + base) >> 4).astype(np.uint8)


@lru_cache(maxsize=64)
def _difference(colour: str, background: str) -> NDArray[np.int16]:
    return np.array(COLOURS[colour], dtype=np.int16) - np.array(BACKGROUNDS[background], dtype=np.int16)


@lru_cache(maxsize=1024)
def _tile(shape: str, radius: int, colour: str, background: str) -> NDArray[np.uint8]:
    return _finish(full_coverage(shape, radius)[:, :, None] * _difference(colour, background), background)
