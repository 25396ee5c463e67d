"""Emblems: charges on a divided field, in the outline of a shield, a disc or a pennant."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from .panel import INK, Colour, Grid, Panel, Point, centred, polygon
from .shapes import COLOURS, SHAPES, Mask

TINCTURE: dict[str, Colour] = COLOURS | {"white": (255, 255, 255), "black": (30, 30, 30)}

# What each division of the field is called; a is the field's first colour, b its second.
DIVISIONS = {
    "plain": "a plain {a} field",
    "halved": "a field split {a} left and {b} right",
    "parted": "a field parted {a} above and {b} below",
    "quartered": "a field quartered {a} and {b}",
    "striped": "a field striped {a} and {b}",
    "chequered": "a field chequered {a} and {b}",
    "banded": "a {a} field with a {b} diagonal band",
}


def _moon(u: Grid, v: Grid, r: int) -> Mask:
    w = u - r * 2 // 5
    return (u * u + v * v <= r * r) & (25 * (w * w + v * v) > 16 * r * r)


def _wave(u: Grid, v: Grid, r: int) -> Mask:
    # Three bands along a chain of parabolas, each a half wave of r units.
    phase = (u + 2 * r) % (2 * r)
    half = phase % r
    rise = half * (r - half) * 4 // r  # 0 at the ends, r in the middle
    middle = np.where(phase < r, rise, -rise) * 3 // 10
    bands = np.zeros(np.broadcast_shapes(u.shape, v.shape), dtype=np.bool_)
    for centre in (-r * 3 // 5, 0, r * 3 // 5):
        bands |= 8 * abs(v - centre - middle) <= r
    return bands & (abs(u) <= r)


def _fish(u: Grid, v: Grid, r: int) -> Mask:
    w = u + r // 4
    body = 16 * w * w + 60 * v * v <= 9 * r * r
    tail = (u >= r // 3) & (2 * abs(v) <= u - r // 4) & (u <= r)
    eye = (8 * (u + r * 2 // 3)) ** 2 + (8 * (v + r // 10)) ** 2 <= r * r // 2
    return (body | tail) & ~eye


def _key(u: Grid, v: Grid, r: int) -> Mask:
    w = v + r * 11 // 20
    square = 100 * (u * u + w * w)
    bow = (square <= 20 * r * r) & (square > 5 * r * r)
    shaft = (10 * abs(u) <= r) & (v > -r // 5) & (v <= r)
    teeth = (u >= 0) & (2 * u <= r) & (((v > r * 3 // 10) & (v <= r // 2)) | ((v > r * 7 // 10) & (v <= r * 9 // 10)))
    return bow | shaft | teeth


def _heart(u: Grid, v: Grid, r: int) -> Mask:
    w = v + r * 2 // 5
    lobes = (abs(u) - r // 2) ** 2 + w * w <= r * r // 4
    point = (w >= 0) & (14 * abs(u) <= 10 * (r - v) - r // 8) & (13 * abs(u) <= 12 * r)
    return lobes | point


def _anchor(u: Grid, v: Grid, r: int) -> Mask:
    top = v + r * 3 // 4
    square = 100 * (u * u + top * top)
    eye = (square <= 6 * r * r) & (square > 2 * r * r)
    shaft = (11 * abs(u) <= r) & (v > -r * 6 // 10) & (v <= r * 9 // 10)
    stock = (11 * abs(v + r * 4 // 10) <= r) & (2 * abs(u) <= r)
    far = 100 * (u * u + (v - r // 10) ** 2)
    arms = (far <= 81 * r * r) & (far > 49 * r * r) & (v > r * 3 // 10)
    barbs = (v > r // 10) & (v <= r * 4 // 10) & (abs(abs(u) - r * 7 // 10) <= v - r // 10)
    return eye | shaft | stock | arms | barbs


def _outline(*points: Point) -> Callable[[Grid, Grid, int], Mask]:
    """A shape from corners in hundredths of its radius, mirrored to the left where x is positive throughout."""

    def inside(u: Grid, v: Grid, r: int) -> Mask:
        side = u.shape[1]
        return polygon([((100 + x) * side // 200, (100 + y) * side // 200) for x, y in points], side, side)

    return inside


def _mirrored(*right: Point) -> Callable[[Grid, Grid, int], Mask]:
    return _outline(*right, *((-x, y) for x, y in reversed(right)))


CHARGES: dict[str, Callable[[Grid, Grid, int], Mask]] = {
    "star": SHAPES["star"],
    "ring": SHAPES["ring"],
    "cross": SHAPES["cross"],
    "diamond": _mirrored((0, -98), (62, 0), (0, 98)),
    "moon": _moon,
    "tower": _mirrored(
        *((14, -62), (14, -95), (38, -95), (38, -62), (52, -62), (52, -95), (76, -95), (76, -40)),  # battlements
        *((60, -25), (60, 95), (22, 95), (22, 40), (10, 25)),  # wall and gate
    ),
    "wave": _wave,
    "tree": _mirrored((0, -98), (42, -45), (24, -45), (60, 5), (34, 5), (78, 60), (12, 60), (12, 97)),
    "fish": _fish,
    "key": _key,
    "bell": _mirrored((8, -95), (8, -80), (35, -62), (45, -10), (52, 35), (80, 62), (80, 72), (14, 72), (14, 95)),
    "heart": _heart,
    "anchor": _anchor,
    "arrow": _mirrored((0, -98), (62, -20), (20, -20), (20, 97)),
}

# Centres of one to four charges and their radius, in hundredths of the emblem's half side.
_PLACES: dict[int, tuple[tuple[Point, ...], int]] = {
    1: (((0, -6),), 58),
    2: (((-38, -8), (38, -8)), 34),
    3: (((-38, -34), (38, -34), (0, 32)), 32),
    4: (((-34, -44), (34, -44), (-34, 22), (34, 22)), 29),
}

_FRAMES: dict[str, Callable[[Grid, Grid, int], Mask]] = {
    "shield": _mirrored((0, -96), (84, -96), (84, 10), (76, 42), (54, 70), (28, 88), (0, 98)),
    "disc": SHAPES["circle"],
    "pentagon": _mirrored((0, -96), (88, -96), (88, 40), (0, 98)),
}
FRAMES = tuple(_FRAMES)


@lru_cache(maxsize=256)
def charge_mask(charge: str, radius: int) -> Mask:
    """bool (2r, 2r), read-only: a charge of radius r fine units."""
    mask = centred(radius, CHARGES[charge]).copy()
    mask.flags.writeable = False
    return mask


def draw_emblem(
    panel: Panel,
    frame: str,
    x: int,
    y: int,
    half: int,
    division: str,
    first: str,
    second: str,
    charge: str,
    colour: str,
    count: int,
) -> None:
    """Draw an emblem around (x, y), `half` its half side; all in fine units. Charges are one to four, of one kind."""
    outer, rim = centred(half, _FRAMES[frame]), max(half // 28, 2)
    inner = centred(half - rim, _FRAMES[frame])
    panel.mask(x - half, y - half, outer, INK)
    other = inner & centred(half - rim, _DIVIDED[division])
    panel.mask(x - half + rim, y - half + rim, inner, TINCTURE[first])
    panel.mask(x - half + rim, y - half + rim, other, TINCTURE[second])
    places, size = _PLACES[count]
    radius = half * size // 100
    for a, b in places:
        panel.mask(
            x + half * a // 100 - radius, y + half * b // 100 - radius, charge_mask(charge, radius), TINCTURE[colour]
        )


# Where the second colour lies.
_DIVIDED: dict[str, Callable[[Grid, Grid, int], Mask]] = {
    "plain": lambda u, v, r: (u > r) & (v > r),
    "halved": lambda u, v, r: (u > 0) & (v > -2 * r),
    "parted": lambda u, v, r: (v > 0) & (u > -2 * r),
    "quartered": lambda u, v, r: (u > 0) ^ (v > 0),
    "striped": lambda u, v, r: ((v + r) * 7 // (2 * r) % 2 == 1) & (u > -2 * r),
    "chequered": lambda u, v, r: ((v + r) * 5 // (2 * r) + (u + r) * 5 // (2 * r)) % 2 == 1,
    "banded": lambda u, v, r: 5 * abs(u - v) <= 2 * r,
}
