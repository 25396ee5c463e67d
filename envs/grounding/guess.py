"""Boxes that are said without a look at the picture."""

from __future__ import annotations

import numpy as np

from ..core.boxes import Box
from ..counting.looks import ClevrLook, FlatLook
from .expression import Beside, Is, Ordinal, Referring

_OUTERMOST = (0.15, 0.45, 0.7)  # where the first, second and third from a side tend to be: share of the way from it


def guess(name: str, look: FlatLook | ClevrLook, expression: Referring, rng: np.random.Generator) -> Box:
    """A box of usual size. "constant": in the middle (of the middle cell); "random": anywhere (in any cell); "blind":
    where the phrase's words of place point to, as large as its word of size says."""
    said = {c.attribute: c.value for c in expression.conditions if isinstance(c, Is)} if name == "blind" else {}
    halves = _halves(look)
    sizes = [halves[size] for size in look.values["size"] if said.get("size", size) == size]
    half = sum(sizes) / len(sizes)
    x, y = (float(rng.random()), float(rng.random())) if name == "random" else (0.5, 0.5)
    if name == "blind":
        x, y = _hinted(expression)
    if isinstance(look, FlatLook) and look.layout == "grid":
        column, row = (min(int(share * look.cells), look.cells - 1) for share in (x, y))
        x, y = (column + 0.5) * look.cell_px, (row + 0.5) * look.cell_px
    else:
        x, y = half + x * (look.width - 2 * half), half + y * (look.height - 2 * half)
    return Box(x - half, y - half, x + half, y + half)


def _halves(look: FlatLook | ClevrLook) -> dict[str, float]:
    """Half the usual side of an object of each size, in pixels."""
    if isinstance(look, FlatLook):
        return dict(look.radii)
    side = min(look.width, look.height)
    return {"large": side / 8, "small": side / 16}


def _hinted(expression: Referring) -> tuple[float, float]:
    """Where the words alone suggest to look: shares of the width and of the height."""
    sides: list[tuple[str, float]] = [(c.side, 0.3) for c in expression.conditions if isinstance(c, Beside)]
    if isinstance(expression.pick, Ordinal):
        sides.append((expression.pick.side, _OUTERMOST[expression.pick.place - 1]))
    x = y = 0.5
    for side, share in sides:
        if side in ("left", "right"):
            x = share if side == "left" else 1 - share
        else:
            y = share if side == "above" else 1 - share
    return x, y
