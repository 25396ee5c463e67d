"""From world units to the picture: where every point of a diagram lies, in sixteenths of a pixel, y down."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from .diagram_strokes import SUB

if TYPE_CHECKING:
    from .diagram import Diagram

Place = tuple[int, int]


@dataclass(frozen=True)
class Fitted:
    """A diagram's points and lengths in sixteenths of a pixel. Equal `Fitted` with equal parts give equal pixels."""

    size: tuple[int, int]
    at: dict[str, Place]
    scale: float  # sixteenths of a pixel per world unit

    def length(self, world: float) -> int:
        """A length in world units as sixteenths of a pixel."""
        return int(float(world) * self.scale + 0.5)


def fit(diagram: Diagram, size: tuple[int, int]) -> Fitted:
    """Scale and centre a diagram so that all points and circles lie within the margins that labels need."""
    width, height = size
    margin = max(min(size) // 9, 12)
    spots = [(float(x), float(y)) for x, y in diagram.points.values()]
    for circle in diagram.circles:
        x, y = map(float, diagram.points[circle.center])
        r = float(circle.radius)
        spots += [(x - r, y), (x + r, y), (x, y - r), (x, y + r)]
    for arc in diagram.arcs:
        spots += _extremes(*(tuple(map(float, diagram.points[name])) for name in (arc.center, arc.start, arc.end)))
    left, right = min(x for x, _ in spots), max(x for x, _ in spots)
    low, high = min(y for _, y in spots), max(y for _, y in spots)
    room_x, room_y = (width - 2 * margin) * SUB, (height - 2 * margin) * SUB
    # A figure without extent in a direction (a single point, a flat line) is bounded by the other one.
    scale = min(room_x / max(right - left, 1e-9), room_y / max(high - low, 1e-9), 1e9)
    shift_x = (width * SUB - (right - left) * scale) / 2
    shift_y = (height * SUB - (high - low) * scale) / 2
    at = {
        name: (_round((float(x) - left) * scale + shift_x), _round((high - float(y)) * scale + shift_y))
        for name, (x, y) in diagram.points.items()
    }
    return Fitted(size, at, scale)


def _round(value: float) -> int:
    return int(value + 0.5) if value >= 0 else -int(0.5 - value)


def _extremes(center: tuple[float, ...], start: tuple[float, ...], end: tuple[float, ...]) -> list[tuple[float, float]]:
    """The outermost points of an arc that runs counterclockwise (y up): its ends, and the compass points on it."""
    sx, sy, ex, ey = start[0] - center[0], start[1] - center[1], end[0] - center[0], end[1] - center[1]
    r, reach = sqrt(sx * sx + sy * sy), sqrt(ex * ex + ey * ey)
    found = [(start[0], start[1]), (center[0] + ex / reach * r, center[1] + ey / reach * r)]
    turn = sx * ey - sy * ex
    for dx, dy in ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)):
        after, before = sx * dy - sy * dx >= 0, dx * ey - dy * ex >= 0
        if (after and before) if turn > 0 else (after or before):
            found.append((center[0] + dx * r, center[1] + dy * r))
    return found
