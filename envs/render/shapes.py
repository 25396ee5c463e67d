"""Flat shapes as masks on a grid four times finer than pixels.

A shape of radius r pixels fits the square of 2r x 2r pixels around its centre. On the fine grid sample k lies at the
odd number 2k + 1 - 8r, so that no sample falls on an axis and every test below compares whole numbers.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FINE = 4  # fine samples per pixel and axis
SAMPLES = FINE * FINE  # fine samples per pixel
MAX_RADIUS = 1024  # keeps every product below far inside 64 bits

Grid = NDArray[np.int64]
Mask = NDArray[np.bool_]

# Normals of the five lines of a star with one tip up, times 1000, and their distance from the centre, times 1000, when
# the tips lie at distance 1000: (sin, -cos) of k x 72 degrees, and cos 72 degrees. Written out: nothing is computed.
_STAR = ((0, -1000), (951, -309), (588, 809), (-588, 809), (-951, -309))
_STAR_DISTANCE = 309


def _circle(u: Grid, v: Grid, r: int) -> Mask:
    return u * u + v * v <= r * r


def _square(u: Grid, v: Grid, r: int) -> Mask:
    return (8 * abs(u) <= 7 * r) & (8 * abs(v) <= 7 * r)


def _triangle(u: Grid, v: Grid, r: int) -> Mask:
    return 2 * abs(u) <= v + r


def _diamond(u: Grid, v: Grid, r: int) -> Mask:
    return abs(u) + abs(v) <= r


def _cross(u: Grid, v: Grid, r: int) -> Mask:
    return (3 * abs(u) <= r) | (3 * abs(v) <= r)


def _ring(u: Grid, v: Grid, r: int) -> Mask:
    return _circle(u, v, r) & (4 * (u * u + v * v) > r * r)


def _star(u: Grid, v: Grid, r: int) -> Mask:
    # The core lies inside all five lines and each tip inside four: a five-pointed star is "at least four of five".
    inside = sum((a * u + b * v <= _STAR_DISTANCE * r).astype(np.int64) for a, b in _STAR)
    return np.asarray(inside >= 4)


# The order matters: `shapes=3` means the first three, which are the easiest to tell apart.
SHAPES: dict[str, Callable[[Grid, Grid, int], Mask]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "diamond": _diamond,
    "cross": _cross,
    "star": _star,
    "ring": _ring,
}

# The first four are the easiest to tell apart. None is close to a background.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (40, 70, 220),
    "yellow": (245, 210, 20),
    "purple": (140, 40, 170),
    "orange": (240, 120, 10),
    "cyan": (40, 200, 215),
    "brown": (120, 75, 35),
    "pink": (250, 140, 190),
    "gray": (125, 125, 125),
}

BACKGROUNDS: dict[str, tuple[int, int, int]] = {"white": (255, 255, 255), "black": (0, 0, 0)}


@lru_cache(maxsize=512)
def fine_mask(shape: str, radius: int) -> Mask:
    """bool (8r, 8r), read-only: which fine samples the shape covers. `radius` in whole pixels, 1 to 1024."""
    axis = 2 * np.arange(2 * FINE * radius, dtype=np.int64) + 1 - 2 * FINE * radius
    mask = np.broadcast_to(
        SHAPES[shape](axis[None, :], axis[:, None], 2 * FINE * radius), (axis.size, axis.size)
    ).copy()
    mask.flags.writeable = False
    return mask


def coverage(mask: Mask) -> NDArray[np.int16]:
    """int16 (h, w) in 0..16: how many fine samples of each pixel a mask (4h, 4w) covers."""
    rows = mask[0::FINE].astype(np.uint8)
    for k in range(1, FINE):
        rows += mask[k::FINE]
    total = rows[:, 0::FINE].astype(np.int16)
    for k in range(1, FINE):
        total += rows[:, k::FINE]
    return total


@lru_cache(maxsize=512)
def full_coverage(shape: str, radius: int) -> NDArray[np.int16]:
    """int16 (2r, 2r) in 0..16, read-only: the coverage of a shape that nothing hides."""
    total = coverage(fine_mask(shape, radius))
    total.flags.writeable = False
    return total
