"""A box: RefCOCO, RefCOCO+ and RefCOCOg.

Rows as the evaluation code of RLLaVA writes them, under "details": `model_output` (the whole text) or, without it,
`extracted_answer` (four numbers), and `ground_truth` (x1, y1, x2, y2; with --data not needed). The box said and the
gold box are in one unit, that of the file (0 to 1000 relative in the published ones): nothing is converted here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..core.boxes import THRESHOLDS, Box, BoxFormat, grounding_metrics
from ..datasets.rows import Row
from . import predictions

PREDICTION, EXTRACTED, GOLD, QUESTION = "model_output", "extracted_answer", "ground_truth", "question"
# With a picture of 1000 x 1000 pixels the unit is the pixel, whatever the numbers mean.
_AS_SAID, _SIDE = BoxFormat("relative_1000"), 1000
_NUMBER = r"\s*+(-?[0-9]++\.?[0-9]*+)\s*+"
_PUBLISHED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\[{','.join([_NUMBER] * 4)}\]",
        rf"\({','.join([_NUMBER] * 4)}\)",
        rf"\({_NUMBER},{_NUMBER}\)\s*+,\s*+\({_NUMBER},{_NUMBER}\)",
    )
)


def gold(row: Row) -> Box:
    """The gold box that the row itself carries."""
    return Box(*row.box(GOLD))


def score(row: Row, right: Box, protocol: str) -> tuple[dict[str, float], bool]:
    """IoU, accuracies and centre of a row, and whether it holds a box.

    strict: the one box of the answer; empty and inverted boxes score 0. faithful: the first four numbers in brackets
    anywhere in the text, else (0, 0, 0, 0); IoU = intersection / (area + area - intersection + 1e-10) without a guard
    against inverted boxes, whose area may be negative.
    """
    box = _box(row, protocol)
    if protocol == "faithful":
        return _measure_published(box or Box(0.0, 0.0, 0.0, 0.0), right), box is not None
    return grounding_metrics(box, right), box is not None


def measure(said: Box, right: Box) -> dict[str, float]:
    """The measures of a constant box."""
    return grounding_metrics(said, right)


def constants(golds: Sequence[Box]) -> list[Box]:
    """The whole picture, where the gold boxes are relative to 1000."""
    relative = all(0 <= edge <= _SIDE for box in golds for edge in box)
    return [Box(0.0, 0.0, float(_SIDE), float(_SIDE))] if relative else []


def _box(row: Row, protocol: str) -> Box | None:
    if not row.has(PREDICTION):
        if row.has(EXTRACTED) and row.rows.values(row.index)[EXTRACTED] is None:
            return None
        return Box(*row.numbers(EXTRACTED, 4))
    text = predictions.said(row, PREDICTION) or ""
    if protocol == "faithful":
        for pattern in _PUBLISHED:
            match = pattern.search(text)
            if match:
                # A number of hundreds of digits is no coordinate; float() would make it infinite.
                return Box(*(float(number[:18]) for number in match.groups()))
        return None
    said = predictions.answer_of(text)
    return None if said is None else _AS_SAID.read(said, _SIDE, _SIDE)


def _measure_published(said: Box, right: Box) -> dict[str, float]:
    wide = max(0.0, min(said.x2, right.x2) - max(said.x1, right.x1))
    high = max(0.0, min(said.y2, right.y2) - max(said.y1, right.y1))
    inside = wide * high
    areas = (said.x2 - said.x1) * (said.y2 - said.y1) + (right.x2 - right.x1) * (right.y2 - right.y1)
    overlap = inside / (areas - inside + 1e-10)
    x, y = (said.x1 + said.x2) / 2, (said.y1 + said.y2) / 2
    centre = float(right.x1 <= x <= right.x2 and right.y1 <= y <= right.y2)
    return {"iou": overlap} | {f"accuracy_{t:g}": float(overlap >= t) for t in THRESHOLDS} | {"centre": centre}
