"""Three digits in a picture of nine patches: a document for a model of a quarter of a million parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..render.document import Document, Line, Look
from .contents import Author, Written

SIDE, CELL = 42, 14  # pixels
PROBLEMS = ("rotation90", "rotation180", "dark", "overexposure", "noise")

# Seven rows of five.
_GLYPHS = {
    "0": "01110 11011 11011 11011 11011 11011 01110",
    "1": "00110 01110 11110 00110 00110 00110 11111",
    "2": "11110 11011 00011 00110 01100 11000 11111",
    "3": "11110 00011 00011 01110 00011 00011 11110",
    "4": "00011 00111 01111 11011 11111 00011 00011",
    "5": "11111 11000 11110 00011 00011 11011 01110",
    "6": "01110 11000 11110 11011 11011 11011 01110",
    "7": "11111 00011 00110 00110 01100 01100 01100",
    "8": "01110 11011 11011 01110 11011 11011 01110",
    "9": "01110 11011 11011 11011 01111 00011 01110",
}


def _writer(first: int) -> Callable[[Author], Written]:
    def write(a: Author) -> Written:
        digits = (str(first), str(a.number(0, 9)), str(a.number(0, 9)))
        look = Look((240, 240, 240), (20, 20, 20))
        document = Document("digits", look, (Line("row", digits),))
        return Written(document, (("What number?", " ".join(digits)),))

    return write


# One kind for every first digit, so that (distortion, first digit) is the pair that can be held out.
DIGITS: dict[str, Callable[[Author], Written]] = {f"digits-{first}": _writer(first) for first in range(10)}


def draw_digits(document: Document) -> NDArray[np.uint8]:
    """uint8 (42, 42, 3): a digit in each cell of the middle row, and a square in the upper left corner, which tells
    where above is: 6 and 9 would not."""
    look = document.look
    picture = np.empty((SIDE, SIDE, 3), dtype=np.uint8)
    picture[:] = look.paper
    picture[2:10, 2:10] = look.ink
    for k, digit in enumerate(document.lines[0].cells):
        rows = np.array([[c == "1" for c in row] for row in _GLYPHS[digit].split()])
        mask = rows.repeat(2, axis=0).repeat(2, axis=1)
        picture[CELL : 2 * CELL, k * CELL + 2 : k * CELL + 12][mask] = look.ink
    return picture
