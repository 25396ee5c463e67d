"""Geometry diagrams: points, lines, circles, marks and labels in, a picture out.

Coordinates are world units with y up; `draw` fits them into the picture and turns y down. A diagram names its points,
and everything else speaks of those names. Labels look for a place of their own: near what they name, inside the
picture, clear of each other and of the lines; `Drawing` tells how well that went, so that a caller can refuse a
picture that is too crowded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from .diagram_fit import Fitted, fit
from .diagram_labels import place_labels
from .diagram_marks import mark_strokes
from .diagram_strokes import FULL, SUB, Cover, arc_cover, disc_mask, polygon_mask, segments_cover
from .diagram_text import text_mask

Number = float  # ints and Fractions are welcome: anything that float() takes
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom are exclusive


@dataclass(frozen=True)
class Circle:
    """A circle around the point named `center`; `radius` in world units."""

    center: str
    radius: Number


@dataclass(frozen=True)
class Arc:
    """The arc of a circle around `center` that runs counterclockwise from the point `start` to the direction of the
    point `end`; its radius is the distance from `center` to `start`."""

    center: str
    start: str
    end: str


@dataclass(frozen=True)
class Label:
    """A text and what it names.

    kind and names: "point" (P), "segment" (A, B), "angle" (A, B, C) with its vertex in the middle, "arc" (center, A,
    B) outside the circle between A and B counterclockwise, "area" (any points) near their middle.
    """

    text: str
    kind: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Mark:
    """A sign on a figure, a few pixels large whatever the figure's scale.

    kind and names: "right" a square at the vertex of angle (A, B, C); "angle" `count` arcs in the angle (A, B, C),
    taken the short way; "ticks" `count` strokes across segment (A, B), for equal lengths; "arrows" `count` arrow heads
    along segment (A, B), for parallels; "dot" a dot at point (P).
    """

    kind: str
    names: tuple[str, ...]
    count: int = 1


@dataclass(frozen=True)
class Fill:
    """A shaded region: the polygon through `points`, or the disc of `circle`, minus the polygon and discs in `holes`.

    `points` may be empty if `circle` is given, and the other way round; with both, what lies in both is shaded.
    """

    points: tuple[str, ...] = ()
    circle: Circle | None = None
    holes: tuple[Fill, ...] = ()


@dataclass(frozen=True)
class Diagram:
    """What to draw. Later parts lie in front; labels come last."""

    points: Mapping[str, tuple[Number, Number]]
    segments: tuple[tuple[str, str], ...] = ()
    circles: tuple[Circle, ...] = ()
    arcs: tuple[Arc, ...] = ()
    labels: tuple[Label, ...] = ()
    marks: tuple[Mark, ...] = ()
    dashed: tuple[tuple[str, str], ...] = ()
    fills: tuple[Fill, ...] = ()


@dataclass(frozen=True)
class Style:
    """Colours (RGB, 0..255), line width in sixteenths of a pixel, and the height of text in pixels.

    None for a width or height means: as suits the picture's size.
    """

    paper: tuple[int, int, int] = (255, 255, 255)
    ink: tuple[int, int, int] = (20, 20, 20)
    text: tuple[int, int, int] = (0, 0, 0)
    shade: tuple[int, int, int] = (196, 208, 224)
    line: int | None = None
    text_height: int | None = None


STYLES: dict[str, Style] = {
    "plain": Style(),
    "chalk": Style(paper=(34, 52, 44), ink=(232, 236, 228), text=(255, 244, 190), shade=(66, 92, 80)),
    "blue": Style(paper=(255, 255, 255), ink=(24, 72, 168), text=(0, 0, 0), shade=(214, 226, 246)),
}


@dataclass(frozen=True)
class Drawing:
    """pixels: uint8 (H, W, 3). boxes: per label of the diagram, the rectangle that holds its text.

    overlaps: how many pairs of boxes share a pixel, or boxes leave the picture; 0 for a picture fit to be shown.
    covered: the largest share of any box that a line crosses, in thousandths of its area.
    """

    pixels: NDArray[np.uint8]
    boxes: tuple[Box, ...]
    overlaps: int
    covered: int


def draw(diagram: Diagram, size: Sequence[int] = (224, 224), style: str | Style = "plain") -> Drawing:
    """Draw `diagram` into a picture of (width, height) pixels, as large as the margins for labels allow.

    The same diagram gives the same pixels on every machine: coordinates are rounded once, to sixteenths of a pixel,
    and what follows is whole numbers, and roots and quotients that IEEE 754 fixes.

    Raises:
        KeyError: a segment, mark or label names a point that the diagram does not have.
    """
    look = STYLES[style] if isinstance(style, str) else style
    return paint(diagram, fit(diagram, (int(size[0]), int(size[1]))), look)


def paint(diagram: Diagram, fitted: Fitted, style: Style) -> Drawing:
    """Draw what `fit` has placed. `draw` is this after `fit`; apart, they let a caller look at the places first."""
    width, height = fitted.size
    small = min(width, height)
    tall = style.text_height or max(small * 9 // 224, 7)
    half = (style.line or max(small * SUB * 3 // 448, 20)) // 2
    lines = np.zeros((height, width), dtype=np.int16)
    strokes = [(*fitted.at[a], *fitted.at[b]) for a, b in diagram.segments]
    for a, b in diagram.dashed:
        strokes += _dashes(*fitted.at[a], *fitted.at[b], tall * SUB // 2)
    bows: list[tuple[int, int, int, tuple[int, int], tuple[int, int]]] = []
    for mark in diagram.marks:
        more, arcs = mark_strokes(mark, fitted.at, tall * SUB)
        strokes += more
        bows += arcs
    segments_cover(lines, np.array(strokes, dtype=np.int64).reshape(-1, 4), half)
    for circle in diagram.circles:
        arc_cover(lines, *fitted.at[circle.center], fitted.length(circle.radius), half)
    for arc in diagram.arcs:
        (x, y), (ax, ay), (bx, by) = (fitted.at[name] for name in (arc.center, arc.start, arc.end))
        square = (ax - x) ** 2 + (ay - y) ** 2
        arc_cover(lines, x, y, isqrt(square), half, (ax - x, ay - y), (bx - x, by - y))
    for x, y, radius, start, end in bows:
        arc_cover(lines, x, y, radius, half * 3 // 4, start, end)
    masks = [text_mask(label.text, tall) for label in diagram.labels]
    sizes = [(mask.shape[1], mask.shape[0]) for mask in masks]
    boxes, overlaps, covered = place_labels(diagram, fitted, lines > FULL // 4, sizes, tall)
    pixels = _paper(width, height, style.paper).copy()
    for fill in diagram.fills:
        pixels[_filled(fill, fitted)] = style.shade
    spots = np.flatnonzero((lines > 0).reshape(-1))
    if diagram.fills:
        _ink(pixels, spots, lines.reshape(-1)[spots], style.ink)
    else:
        pixels.reshape(-1, 3)[spots] = _shades(style.paper, style.ink)[lines.reshape(-1)[spots]]
    if masks:
        stamped = [_stamp(mask, box, width, height) for mask, box in zip(masks, boxes, strict=True)]
        _ink(pixels, np.concatenate([s for s, _ in stamped]), np.concatenate([c for _, c in stamped]), style.text)
    return Drawing(pixels, boxes, overlaps, covered)


@lru_cache(maxsize=16)
def _paper(width: int, height: int, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.full((height, width, 3), colour, dtype=np.uint8)


@lru_cache(maxsize=16)
def _shades(paper: tuple[int, int, int], ink: tuple[int, int, int]) -> NDArray[np.uint8]:
    """uint8 (256, 3): what each strength of ink makes of the paper."""
    shades = np.full((1, FULL + 1, 3), paper, dtype=np.uint8)
    _ink(shades, np.arange(FULL + 1), np.arange(FULL + 1, dtype=np.int16), ink)
    table: NDArray[np.uint8] = shades[0]
    return table


def _stamp(mask: Cover, box: Box, width: int, height: int) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Where a text's ink falls, as positions in the flat picture, and how strong it is."""
    rows, columns = np.nonzero(mask > 0)
    ink = mask[rows, columns]
    rows, columns = rows + box[1], columns + box[0]
    if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height:
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        rows, columns, ink = rows[inside], columns[inside], ink[inside]
    return rows * width + columns, ink


def _ink(
    pixels: NDArray[np.uint8], spots: NDArray[np.int64], cover: NDArray[np.int16], colour: tuple[int, int, int]
) -> None:
    """Mix `colour` into the pixels at `spots` of the flat picture, as strongly as `cover` says; rounded once."""
    flat = pixels.reshape(-1, 3)
    share = cover.astype(np.int32)[:, None]
    under = flat[spots].astype(np.int32)
    flat[spots] = (under * (FULL - share) + np.array(colour, dtype=np.int32) * share + FULL // 2) // FULL


def _dashes(ax: int, ay: int, bx: int, by: int, dash: int) -> list[tuple[int, int, int, int]]:
    """A dashed line as whole dashes: it begins and ends with one."""
    length = isqrt((bx - ax) ** 2 + (by - ay) ** 2)
    parts = 2 * max(length // (2 * dash), 1) + 1
    cuts = [(ax + (bx - ax) * k // parts, ay + (by - ay) * k // parts) for k in range(parts + 1)]
    return [(*cuts[k], *cuts[k + 1]) for k in range(0, parts, 2)]


def _filled(fill: Fill, fitted: Fitted) -> NDArray[np.bool_]:
    width, height = fitted.size
    mask = np.ones((height, width), dtype=np.bool_)
    if fill.points:
        mask &= polygon_mask(width, height, [fitted.at[name] for name in fill.points])
    if fill.circle is not None:
        mask &= disc_mask(width, height, *fitted.at[fill.circle.center], fitted.length(fill.circle.radius))
    for hole in fill.holes:
        mask &= ~_filled(hole, fitted)
    return mask
