"""Smooth lines, circles and arcs in whole sixteenths of a pixel.

A pixel is as dark as its centre is near the line: full within the half width, fading over one pixel. Distances need
roots and quotients, which IEEE 754 rounds correctly everywhere; nothing else is inexact, and covers are rounded once.
"""

import numpy as np
from numpy.typing import NDArray

SUB = 16  # units per pixel
FULL = 255

Cover = NDArray[np.int16]  # (H, W), 0..255: how much of a pixel's ink is there
Whole = NDArray[np.int64]


def segments_cover(cover: Cover, segments: Whole, half: int) -> None:
    """Draw segments (n, 4) as x0, y0, x1, y1 in sixteenths, y down, `half` the line's half width; round ends.

    Only pixels near each line are visited: one run of rows per column (or the other way round for steep lines).
    """
    if not len(segments):
        return
    height, width = cover.shape
    x0, y0, x1, y1 = segments.T
    steep = abs(y1 - y0) > abs(x1 - x0)
    u0, v0 = np.where(steep, y0, x0), np.where(steep, x0, y0)
    u1, v1 = np.where(steep, y1, x1), np.where(steep, x1, y1)
    swap = u0 > u1
    u0, u1 = np.where(swap, u1, u0), np.where(swap, u0, u1)
    v0, v1 = np.where(swap, v1, v0), np.where(swap, v0, v1)
    first = (u0 - half) // SUB - 1
    count = (u1 + half) // SUB + 2 - first
    which = np.repeat(np.arange(len(segments)), count)
    run = np.arange(which.size) - np.repeat(np.cumsum(count) - count, count)
    p = first[which] + run
    du, dv = (u1 - u0)[which], (v1 - v0)[which]
    pu = p * SUB + SUB // 2 - u0[which]  # pixel centre along the major axis, from the segment's start
    # Rows whose pixel centres can be near a line that leans by at most 45 degrees: 1.415 > the root of two.
    reach = ((half + SUB // 2) * 1415 // 1000 + SUB // 2 + 2) // SUB
    middle = (v0[which] + np.clip(pu, 0, du) * dv // np.maximum(du, 1)) // SUB
    q = middle[:, None] + np.arange(-reach, reach + 1)[None, :]
    # Floats from here: the nearest point of the segment, and how far it is.
    x = pu.astype(np.float64)[:, None]
    y = (q * SUB + (SUB // 2 - v0[which])[:, None]).astype(np.float64)
    along, across = du.astype(np.float64)[:, None], dv.astype(np.float64)[:, None]
    share = (x * along + y * across) / np.maximum(along * along + across * across, 1.0)
    np.clip(share, 0.0, 1.0, out=share)
    x = x - share * along
    y -= share * across
    ink = _fade(np.sqrt(x * x + y * y), half)
    turned = steep[which][:, None]
    row, column = np.where(turned, p[:, None], q), np.where(turned, q, p[:, None])
    keep = (ink > 0) & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    np.maximum.at(cover.reshape(-1), row[keep] * width + column[keep], ink[keep])


def arc_cover(
    cover: Cover,
    x: int,
    y: int,
    radius: int,
    half: int,
    start: tuple[int, int] | None = None,
    end: tuple[int, int] | None = None,
) -> None:
    """Draw a circle around (x, y), or its arc from direction `start` to `end` counterclockwise as seen on the screen.

    Directions are whole-number vectors with y down.
    """
    height, width = cover.shape
    reach = radius + half + SUB
    left, right = max((x - reach) // SUB, 0), min((x + reach) // SUB + 1, width)
    top, bottom = max((y - reach) // SUB, 0), min((y + reach) // SUB + 1, height)
    if left >= right or top >= bottom:
        return
    dx = np.arange(left, right, dtype=np.int64)[None, :] * SUB + SUB // 2 - x
    dy = np.arange(top, bottom, dtype=np.int64)[:, None] * SUB + SUB // 2 - y
    square = dx * dx + dy * dy
    inner = max(radius - half - SUB, 0)
    near = (square <= reach * reach) & (square >= inner * inner)
    if start is not None and end is not None:
        near &= between(dx, dy, start, end)
    rows, columns = np.nonzero(near)
    ink = _fade(abs(np.sqrt(square[rows, columns].astype(np.float64)) - radius), half)
    window = cover[top:bottom, left:right]
    window[rows, columns] = np.maximum(window[rows, columns], ink)


def between(dx: Whole, dy: Whole, start: tuple[int, int], end: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether directions (dx, dy), y down, lie from `start` to `end` counterclockwise as seen on the screen."""
    # With y down a counterclockwise turn from a to b has a.x * b.y - a.y * b.x < 0.
    after = start[0] * dy - start[1] * dx <= 0
    before = dx * end[1] - dy * end[0] <= 0
    turn = start[0] * end[1] - start[1] * end[0]
    short = turn < 0 or (turn == 0 and start[0] * end[0] + start[1] * end[1] > 0)
    found: NDArray[np.bool_] = after & before if short else after | before
    if turn == 0 and not short:
        found = after
    return found


def polygon_mask(width: int, height: int, corners: list[tuple[int, int]]) -> NDArray[np.bool_]:
    """bool (H, W): the pixels whose centres lie inside the polygon through `corners` (sixteenths, even-odd rule)."""
    crossings = np.zeros((height, width + 1), dtype=np.uint8)
    y = np.arange(height, dtype=np.int64) * SUB + SUB // 2
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        if ay > by:
            ax, ay, bx, by = bx, by, ax, ay
        first, end = np.searchsorted(y, (ay, by)).tolist()
        if first < end:
            # The first pixel of each row whose centre lies to the right of the edge.
            cut = ((y[first:end] - ay) * (bx - ax) + (ax + SUB // 2) * (by - ay)) // ((by - ay) * SUB)
            crossings[np.arange(first, end), np.clip(cut, 0, width)] += 1
    inside: NDArray[np.bool_] = np.cumsum(crossings, axis=1, dtype=np.uint8)[:, :width] % 2 == 1
    return inside


def disc_mask(width: int, height: int, x: int, y: int, radius: int) -> NDArray[np.bool_]:
    """bool (H, W): the pixels whose centres lie within `radius` of (x, y), all in sixteenths."""
    dy = np.arange(height, dtype=np.int64)[:, None] * SUB + SUB // 2 - y
    room = radius * radius - dy * dy
    half = np.sqrt(np.maximum(room, 0).astype(np.float64)).astype(np.int64)
    left = -((half - x + SUB // 2) // SUB)  # the first pixel whose centre is not left of x - half
    right = (x + half - SUB // 2) // SUB
    column = np.arange(width, dtype=np.int64)[None, :]
    mask: NDArray[np.bool_] = (column >= left) & (column <= right) & (room >= 0)
    return mask


def _fade(distance: NDArray[np.float64], half: int) -> NDArray[np.int16]:
    shade = (half + SUB // 2 - distance) * (FULL / SUB)
    return np.clip(shade + 0.5, 0, FULL).astype(np.int16)
