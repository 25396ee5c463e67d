"""Bars with names, one below the other, on white."""

from __future__ import annotations

from collections.abc import Sequence

from .panel import Colour, Panel, fitting_height, text_width
from .shapes import COLOURS, FINE

PAPER: Colour = (252, 252, 250)
LINE: Colour = (190, 190, 195)
_BARS = tuple(COLOURS[name] for name in ("blue", "orange", "green", "purple", "red", "brown", "cyan", "gray"))
MOST_BARS = 6


def draw_bars(width: int, height: int, names: Sequence[str], shares: Sequence[int], first_colour: int) -> Panel:
    """Horizontal bars, each under its name. shares: their lengths, in hundredths of the room there is."""
    panel = Panel(width, height, PAPER)
    margin, row = width // 20, height // len(names)
    room = width - 2 * margin
    for share in (0, 25, 50, 75, 100):
        x = (margin + room * share // 100) * FINE
        panel.box(x - 2, margin * FINE, x + 2, (height - margin // 2) * FINE, LINE)
    letters = min(fitting_height(name, room, max(row // 4, 7)) for name in names)
    for k, (name, share) in enumerate(zip(names, shares, strict=True)):
        top = k * row + row // 12
        panel.text(margin + text_width(name, letters) // 2, top + row // 4, name, letters)
        panel.box(
            margin * FINE,
            (top + row * 9 // 20) * FINE,
            (margin + room * share // 100) * FINE,
            (top + row * 17 // 20) * FINE,
            _BARS[(first_colour + k) % len(_BARS)],
        )
    return panel
