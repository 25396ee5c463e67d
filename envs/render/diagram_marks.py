"""Signs on a figure: right-angle squares, angle arcs, ticks for equal sides, arrow heads for parallels, dots."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from .diagram_fit import Place

if TYPE_CHECKING:
    from .diagram import Mark

Stroke = tuple[int, int, int, int]
Bow = tuple[int, int, int, Place, Place]  # x, y, radius, from direction, to direction (y down, counterclockwise)


def mark_strokes(mark: Mark, at: dict[str, Place], size: int) -> tuple[list[Stroke], list[Bow]]:
    """Segments and arcs of a mark, in sixteenths; `size` is the height of capitals, the unit of marks.

    Raises:
        ValueError: a kind of mark that does not exist.
    """
    places = [at[name] for name in mark.names]
    if mark.kind == "dot":
        x, y = places[0]
        return [(x - size // 9, y, x + size // 9, y), (x, y - size // 9, x, y + size // 9)], []
    if mark.kind == "right":
        return _square(places[0], places[1], places[2], size * 2 // 3), []
    if mark.kind == "angle":
        return [], _bows(places[0], places[1], places[2], size, mark.count)
    if mark.kind in ("ticks", "arrows"):
        return _along(places[0], places[1], mark.kind, mark.count, size), []
    raise ValueError(f"a mark must be of kind dot, right, angle, ticks or arrows; got {mark.kind!r}")


def _toward(a: Place, b: Place, far: float) -> tuple[float, float]:
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = sqrt(dx * dx + dy * dy) or 1.0
    return dx * far / length, dy * far / length


def _at(x: float, y: float) -> Place:
    return int(x + 0.5), int(y + 0.5)


def _square(a: Place, v: Place, b: Place, side: int) -> list[Stroke]:
    (px, py), (qx, qy) = _toward(v, a, side), _toward(v, b, side)
    one, corner, two = _at(v[0] + px, v[1] + py), _at(v[0] + px + qx, v[1] + py + qy), _at(v[0] + qx, v[1] + qy)
    return [(*one, *corner), (*corner, *two)]


def _bows(a: Place, v: Place, b: Place, size: int, count: int) -> list[Bow]:
    start, end = (a[0] - v[0], a[1] - v[1]), (b[0] - v[0], b[1] - v[1])
    if start[0] * end[1] - start[1] * end[0] > 0:  # y down: this turn is clockwise, so go the other way
        start, end = end, start
    return [(*v, size + k * size // 3, start, end) for k in range(count)]


def _along(a: Place, b: Place, kind: str, count: int, size: int) -> list[Stroke]:
    mid = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
    (ux, uy), step = _toward(a, b, size * 0.4), size * 0.4
    nx, ny = -uy, ux
    strokes: list[Stroke] = []
    for k in range(count):
        sx, sy = _toward(a, b, (k - (count - 1) / 2) * step * (1.0 if kind == "ticks" else 1.4))
        cx, cy = mid[0] + sx, mid[1] + sy
        if kind == "ticks":
            strokes.append((*_at(cx + nx, cy + ny), *_at(cx - nx, cy - ny)))
        else:
            tip = _at(cx + ux, cy + uy)
            strokes.append((*_at(cx - ux + nx, cy - uy + ny), *tip))
            strokes.append((*_at(cx - ux - nx, cy - uy - ny), *tip))
    return strokes
