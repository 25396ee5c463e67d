"""Finding a place for every label: near what it names, inside the picture, clear of lines and of other labels."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .diagram_fit import Fitted, Place
from .diagram_strokes import SUB

if TYPE_CHECKING:
    from .diagram import Box, Diagram, Label

Vector = tuple[float, float]

# Sixteen directions around a point, east first; lengths about 1.
_AROUND: tuple[Vector, ...] = (
    (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0), (0.0, 1.0), (0.7, -0.7), (-0.7, -0.7), (-0.7, 0.7), (0.7, 0.7),
    (0.9, -0.4), (0.4, -0.9), (-0.4, -0.9), (-0.9, -0.4), (-0.9, 0.4), (-0.4, 0.9), (0.4, 0.9), (0.9, 0.4),
)  # fmt: skip


def place_labels(
    diagram: Diagram, fitted: Fitted, lines: NDArray[np.bool_], sizes: list[tuple[int, int]], height: int
) -> tuple[tuple[Box, ...], int, int]:
    """Boxes for all labels, the number of clashes, and the largest covered share in thousandths.

    lines: bool (H, W), where strokes are. sizes: (width, height) of every label's text in pixels. height: of capitals.
    Labels that have least choice go first: sides, then angles, then arcs and areas, then points.
    """
    boxes: dict[int, Box] = {}
    clashes, worst = 0, 0
    order = ("segment", "angle", "arc", "area", "point")
    around = _neighbours(diagram)
    middles = _middles(around, fitted)
    for k in sorted(range(len(sizes)), key=lambda k: order.index(diagram.labels[k].kind)):
        w, h = sizes[k]
        best: tuple[int, int, int, Box] | None = None
        for rank, (x, y) in enumerate(_spots(diagram.labels[k], fitted, w, h, height, around, middles)):
            left, top = round(x - w / 2), round(y - h / 2)
            box = (left, top, left + w, top + h)
            outside = left < 0 or top < 0 or box[2] > fitted.size[0] or box[3] > fitted.size[1]
            clash = outside + sum([overlap(box, other) for other in boxes.values()])
            crossed = 0
            if not outside:
                crossed = int(np.count_nonzero(lines[top : box[3], left : box[2]])) * 1000 // (w * h)
            found = (clash, crossed, rank, box)
            if best is None or found < best:
                best = found
            if not clash and not crossed:
                break
        assert best is not None
        boxes[k] = best[3]
        clashes += best[0]
        worst = max(worst, best[1])
    return tuple(boxes[k] for k in range(len(sizes))), clashes, worst


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes share a pixel."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _spots(
    label: Label,
    fitted: Fitted,
    w: int,
    h: int,
    height: int,
    around: dict[str, list[str]],
    middles: dict[str, Vector],
) -> Iterator[Vector]:
    """Places for a label's centre, in pixels, the best first."""
    spot = [_pixels(fitted.at[name]) for name in label.names]
    middle = middles[label.names[0]]
    if label.kind == "point":
        away = _away([_unit(_minus(_pixels(fitted.at[n]), spot[0])) for n in around.get(label.names[0], ())])
        if away == (0.0, 0.0):
            away = _unit(_minus(spot[0], middle))
        ways = sorted(_AROUND, key=lambda d: -(d[0] * away[0] + d[1] * away[1]))
        for far in (0, 3, 6, 10):
            for d in [away, *ways] if away != (0.0, 0.0) else ways:
                yield _beside(spot[0], d, w, h, height * 0.35 + far)
    elif label.kind == "segment":
        a, b = spot
        along = _minus(b, a)
        normal = _unit((-along[1], along[0]))
        if normal[0] * (middle[0] - a[0]) + normal[1] * (middle[1] - a[1]) > 0:
            normal = (-normal[0], -normal[1])  # outside first
        for far in (0, 3, 7):
            for share in (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74):
                on = (a[0] + along[0] * share, a[1] + along[1] * share)
                for side in (1.0, -1.0):
                    yield _beside(on, (normal[0] * side, normal[1] * side), w, h, height * 0.3 + far)
    elif label.kind == "angle":
        a, v, b = spot
        u1, u2 = _unit(_minus(a, v)), _unit(_minus(b, v))
        half = _unit((u1[0] + u2[0], u1[1] + u2[1]))
        if half == (0.0, 0.0):
            half = (u1[1], -u1[0])
        reach = min(_length(_minus(a, v)), _length(_minus(b, v)))
        ways = [half, *(_unit((half[0] * k + u[0], half[1] * k + u[1])) for k in (3, 0.8, 0.3) for u in (u1, u2))]
        step = max(height / 3, 2.0)
        # Nearer to the vertex the angle is narrower than the text is high.
        narrow = abs(u1[0] * half[1] - u1[1] * half[0])
        near = max(height * 1.3, min(0.4 * h / max(narrow, 0.05), reach * 0.6))
        for k in range(24):
            reached = near + step * k
            if reached > max(reach * 0.8, height * 3):
                break
            for d in ways:
                yield (v[0] + d[0] * reached, v[1] + d[1] * reached)
        for d in _AROUND:
            yield _beside(v, d, w, h, height * 0.6)
    elif label.kind == "arc":
        o, a, b = spot
        r = _length(_minus(a, o))
        u1, u2 = _unit(_minus(a, o)), _unit(_minus(b, o))
        half = _unit((u1[0] + u2[0], u1[1] + u2[1]))
        turn = u1[0] * u2[1] - u1[1] * u2[0]  # y down: negative is counterclockwise
        if half == (0.0, 0.0):
            half = (u1[1], -u1[0])
        elif turn > 0:
            half = (-half[0], -half[1])
        for far in (0, 3, 7):
            for d in (
                half,
                _unit((half[0] * 4 + u1[0], half[1] * 4 + u1[1])),
                _unit((half[0] * 4 + u2[0], half[1] * 4 + u2[1])),
            ):
                on = (o[0] + d[0] * r, o[1] + d[1] * r)
                yield _beside(on, d, w, h, height * 0.3 + far)
    else:
        centre = _mean([fitted.at[name] for name in label.names])
        yield centre
        for times in (1.0, 2.0, 3.0):
            for d in _AROUND:
                yield (centre[0] + d[0] * times * height * 0.7, centre[1] + d[1] * times * height * 0.7)


def _beside(on: Vector, d: Vector, w: int, h: int, gap: float) -> Vector:
    """The centre of a box w x h that lies in direction d of the point `on`, its nearest part about `gap` away."""
    reach = abs(d[0]) * w / 2 + abs(d[1]) * h / 2 + gap
    return (on[0] + d[0] * reach, on[1] + d[1] * reach)


def _neighbours(diagram: Diagram) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for a, b in (*diagram.segments, *diagram.dashed):
        found.setdefault(a, []).append(b)
        found.setdefault(b, []).append(a)
    return found


def _middles(around: dict[str, list[str]], fitted: Fitted) -> dict[str, Vector]:
    """For every point, the middle of the points that lines connect it with; without lines, the middle of all."""
    found: dict[str, Vector] = {}
    for name in fitted.at:
        if name in found:
            continue
        group, waiting = {name: None}, [name]  # a dictionary, for its order
        while waiting:
            for other in around.get(waiting.pop(), ()):
                if other not in group:
                    group[other] = None
                    waiting.append(other)
        members = list(group) if len(group) > 1 else list(fitted.at)
        middle = _mean([fitted.at[member] for member in members])
        found |= dict.fromkeys(group, middle)
    return found


def _away(units: list[Vector]) -> Vector:
    return _unit((-sum(x for x, _ in units), -sum(y for _, y in units)))


def _pixels(place: Place) -> Vector:
    return (place[0] / SUB, place[1] / SUB)


def _mean(places: list[Place]) -> Vector:
    return (sum(x for x, _ in places) / len(places) / SUB, sum(y for _, y in places) / len(places) / SUB)


def _minus(a: Vector, b: Vector) -> Vector:
    return (a[0] - b[0], a[1] - b[1])


def _length(v: Vector) -> float:
    return sqrt(v[0] * v[0] + v[1] * v[1])


def _unit(v: Vector) -> Vector:
    length = _length(v)
    return (v[0] / length, v[1] / length) if length > 1e-6 else (0.0, 0.0)
