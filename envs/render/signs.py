"""Boards with a name on them: a road sign, a plaque, a ticket."""

from __future__ import annotations

from .panel import INK, Colour, Panel, fitting_height
from .shapes import FINE

BOARDS: dict[str, tuple[Colour, Colour, Colour]] = {  # behind, board, letters
    "sign": ((176, 206, 170), (28, 96, 62), (255, 255, 255)),
    "plaque": ((170, 120, 92), (206, 172, 92), (46, 34, 18)),
    "ticket": ((214, 216, 222), (250, 240, 206), (60, 36, 36)),
}


def draw_board(width: int, height: int, board: str, heading: str, name: str) -> Panel:
    """A board of one of the three kinds: a heading in small letters, and the name, on as many lines as it needs."""
    behind, colour, letters = BOARDS[board]
    panel = Panel(width, height, behind)
    side, top = width // 14, height // 5
    if board == "sign":
        for x in (width // 4, width * 3 // 4):
            panel.box((x - width // 50) * FINE, top * FINE, (x + width // 50) * FINE, height * FINE, (110, 110, 112))
    frame(panel, side, top, width - side, height - top, letters, colour)
    if board == "ticket":
        for k in range(9):
            y = top + (height - 2 * top) * (2 * k + 1) // 18
            for x in (side, width - side):
                panel.disc(x * FINE, y * FINE, max(height // 50, 2) * FINE, behind)
    room = width - 2 * side - width // 9
    lines = _lines(name)
    small = fitting_height(heading, room, max(height // 22, 7))
    panel.text(width // 2, top + height // 11, heading, small, letters)
    first, last = top + height // 11 + small, height - top - height // 30  # the room for the name
    step = (last - first) // len(lines)
    big = min(fitting_height(line, room, min(height // 9, step * 3 // 5), 7) for line in lines)
    for k, line in enumerate(lines):
        panel.text(width // 2, first + step * k + step // 2, line, big, letters)
    return panel


def frame(panel: Panel, left: int, top: int, right: int, bottom: int, rim: Colour, inside: Colour) -> None:
    """A rectangle with a rim, in pixels."""
    thick = max(panel.width // 100, 2)
    panel.box((left - 1) * FINE, (top - 1) * FINE, (right + 1) * FINE, (bottom + 1) * FINE, INK)
    panel.box(left * FINE, top * FINE, right * FINE, bottom * FINE, inside)
    a, b = thick * 2, thick * 3
    panel.box((left + a) * FINE, (top + a) * FINE, (right - a) * FINE, (bottom - a) * FINE, rim)
    panel.box((left + b) * FINE, (top + b) * FINE, (right - b) * FINE, (bottom - b) * FINE, inside)


def _lines(name: str) -> list[str]:
    """Words on lines of at most 13 letters, where words allow."""
    lines: list[str] = []
    for word in name.split():
        if lines and len(lines[-1]) + 1 + len(word) <= 13:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines
