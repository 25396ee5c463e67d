"""The lettering of diagrams: a stroke font of our own, at any height.

Glyphs are polylines on a grid, each point two digits: x, then y with the baseline at 2, small letters up to 6,
capitals and digits up to 8. Polylines are separated by bars; a polyline of one point is a dot.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .diagram_strokes import SUB, segments_cover

BASE, CAP = 2, 8

_GLYPHS = {
    "0": "12 22 33 37 28 18 07 03 12",
    "1": "07 28 22|12 32",
    "2": "07 18 28 37 36 02 32",
    "3": "07 18 28 37 36 25 15|25 34 33 22 12 03",
    "4": "32 38 04 44",
    "5": "38 08 05 25 34 33 22 12 03",
    "6": "37 28 18 07 03 12 22 33 34 25 15 04",
    "7": "08 38 12",
    "8": "15 06 07 18 28 37 36 25 15 04 03 12 22 33 34 25",
    "9": "03 12 22 33 37 28 18 07 06 15 25 36",
    "A": "02 28 42|14 34",
    "B": "02 08 38 47 46 35 05|35 44 43 32 02",
    "C": "47 38 18 07 03 12 32 43",
    "D": "02 08 28 46 44 22 02",
    "E": "48 08 02 42|05 35",
    "F": "48 08 02|05 35",
    "G": "47 38 18 07 03 12 32 43 45 25",
    "H": "02 08|42 48|05 45",
    "I": "02 22|08 28|12 18",
    "J": "38 33 22 12 03",
    "K": "02 08|48 05 42",
    "L": "08 02 42",
    "M": "02 08 35 68 62",
    "N": "02 08 42 48",
    "O": "22 32 54 56 38 28 06 04 22",
    "P": "02 08 38 47 46 35 05",
    "Q": "22 32 54 56 38 28 06 04 22|34 52",
    "R": "02 08 38 47 46 35 05|25 42",
    "S": "47 38 18 07 06 15 35 44 43 32 12 03",
    "T": "08 48|28 22",
    "U": "08 03 12 32 43 48",
    "V": "08 22 48",
    "W": "08 12 36 52 68",
    "X": "02 48|08 42",
    "Y": "08 25 48|25 22",
    "Z": "08 48 02 42",
    "a": "36 16 05 03 12 22 33|36 32",
    "b": "08 02|05 16 26 35 33 22 12 03",
    "c": "35 26 16 05 03 12 22 33",
    "d": "38 32|35 26 16 05 03 12 22 33",
    "e": "04 34 35 26 16 05 03 12 32",
    "f": "38 28 17 12|06 26",
    "g": "36 31 20 10 01|35 26 16 05 03 12 22 33",
    "h": "08 02|05 16 26 35 32",
    "i": "02 06|08",
    "j": "16 11 00|18",
    "k": "08 02|36 04 32",
    "l": "08 03 12",
    "m": "02 06|05 16 25 22|25 36 45 42",
    "n": "02 06|05 16 26 35 32",
    "o": "12 22 33 35 26 16 05 03 12",
    "p": "00 06|05 16 26 35 33 22 12 03",
    "q": "30 36|35 26 16 05 03 12 22 33",
    "r": "02 06|05 16 26",
    "s": "35 26 16 05 14 24 33 22 12 03",
    "t": "18 13 22 32|06 26",
    "u": "06 03 12 22 33|36 32",
    "v": "06 22 46",
    "w": "06 12 35 52 66",
    "x": "02 46|06 42",
    "y": "06 22|46 22 10 00",
    "z": "06 36 02 32",
    "°": "07 18 27 16 07",
    "²": "07 18 27 05 25",
    "³": "08 28 17 26 15 05",
    "√": "05 14 22 48 58",
    "π": "06 46|16 12|36 33 42",
    "+": "04 44|22 26",
    "-": "04 34",
    "=": "03 43|05 45",
    "/": "02 38",
    "\\": "08 32",
    ".": "02",
    ",": "12 00",
    "(": "28 06 04 22",
    ")": "08 26 24 02",
    "[": "28 08 02 22",
    "]": "08 28 22 02",
    "{": "28 18 16 05 14 12 22",
    "}": "08 18 16 25 14 12 02",
    ":": "03|05",
    ";": "12 00|05",
    "'": "08 06",
    '"': "08 06|28 26",
    "\u00d7": "03 36|06 33",
    "·": "05",
    "∠": "46 02 42",
    "?": "07 18 28 37 36 25 24|22",
    "!": "08 04|02",
    "<": "37 04 31",
    ">": "07 34 01",
    "^": "06 28 46",
    "_": "01 41",
    "|": "00 08",
    "%": "02 48|08|42",
    "*": "24 28|05 47|07 45",
    "△": "02 27 42 02",
}
_SAME = {"\u2212": "-", "\u2013": "-", "\u2032": "'", "\u2019": "'", "˚": "°", "º": "°", "•": "·", "∙": "·"}
_UNKNOWN = "02 08 38 32 02"
_GAP = 2  # grid units between glyphs
_SPACE = 2


@lru_cache(maxsize=4096)
def text_mask(text: str, height: int, weight: int | None = None) -> NDArray[np.int16]:
    """int16 (h, w), 0..255, read-only: the ink of a line of text whose capitals are `height` pixels high.

    weight: half the lines' width in sixteenths of a pixel; None for what suits the height. The mask is tight but for a
    pixel of room on every side. A character without a glyph is drawn as a box.
    """
    unit = max(height * SUB // (CAP - BASE), 1)
    half = weight or max(9, height * SUB // 18)
    lines: list[tuple[int, int, int, int]] = []
    x, deepest = 0, BASE
    for character in text:
        if character.isspace():
            x += _SPACE
            continue
        glyph = _GLYPHS.get(_SAME.get(character, character), _UNKNOWN)
        wide = 0
        for polyline in glyph.split("|"):
            dots = [(int(point[0]), int(point[1])) for point in polyline.split()]
            wide = max(wide, *(a for a, _ in dots), 0)
            deepest = min(deepest, *(b for _, b in dots), BASE)
            pairs = pairwise(dots) if len(dots) > 1 else [(dots[0], dots[0])]
            lines += [(x + a, b, x + c, d) for (a, b), (c, d) in pairs]
        x += wide + _GAP
    across = max(max((max(a, c) for a, _, c, _ in lines), default=0), 1)
    rim = half + SUB // 2
    h = -(-((CAP - deepest) * unit + 2 * rim) // SUB)
    w = -(-(across * unit + 2 * rim) // SUB)
    cover = np.zeros((h, w), dtype=np.int16)
    placed = [(rim + a * unit, rim + (CAP - b) * unit, rim + c * unit, rim + (CAP - d) * unit) for a, b, c, d in lines]
    segments_cover(cover, np.array(placed, dtype=np.int64).reshape(-1, 4), half)
    cover.flags.writeable = False
    return cover
