"""Boxes: how each model family says where something is, and how well a said box covers the right one.

A coordinate is a property of the model, never guessed from the text: "[100, 100, 200, 200]" means one place to a model
that counts pixels and another to one that counts thousandths. So a `BoxFormat` is settled before the first episode, and
the prompt, the parser and the expert's answer all use it.

Boxes in this package are in pixels of the picture as the environment shows it: x to the right, y down, from the outer
edge of the first pixel, so that the whole picture is (0, 0, width, height) and pixel (i, j) covers i to i + 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

from .arguments import one_of, whole
from .errors import ArgumentError
from .images import smart_resize

KINDS = ("pixels", "absolute_resized", "relative_1000")
SYNTAXES = ("list", "bbox_2d", "tokens")
THRESHOLDS = (0.1, 0.3, 0.5, 0.75, 0.95)

# At most seven digits: no coordinate needs more, and none becomes infinite. ASCII only; nothing backtracks.
_NUMBER = r"(-?[0-9]{1,7}+(?:\.[0-9]{1,15}+)?+)"
_COMMA = r"\s*+,\s*+"
_POINT = rf"\(\s*+{_NUMBER}{_COMMA}{_NUMBER}\s*+\)"
_BOX = re.compile(rf"\[\s*+{_COMMA.join([_NUMBER] * 4)}\s*+\]|{_POINT}{_COMMA}{_POINT}", re.ASCII)
_ANY_POINT = re.compile(_POINT, re.ASCII)


class Box(NamedTuple):
    """Left, top, right and bottom edge in pixels; empty or inverted where x2 <= x1 or y2 <= y1."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def empty(self) -> bool:
        """Whether it covers nothing (NaN included)."""
        return not (self.x1 < self.x2 and self.y1 < self.y2)


@dataclass(frozen=True)
class BoxFormat:
    """How a model writes a box.

    kind: the unit. "pixels": of the picture as shown. "absolute_resized": pixels of the picture after smart resize,
        which is what Qwen2.5-VL counts. "relative_1000": 0 to 1000 over the width and over the height.
    syntax: "list" `[x1, y1, x2, y2]`, "bbox_2d" `{"bbox_2d": [x1, y1, x2, y2]}`, or "tokens"
        `<|box_start|>(x1,y1),(x2,y2)<|box_end|>`. Reading accepts all three, with text around; only the unit matters.
    factor, min_pixels, max_pixels: of the smart resize (patch size x merge size; areas in pixels). Only
        "absolute_resized" uses them.
    """

    kind: str = "pixels"
    syntax: str = "list"
    factor: int = 28
    min_pixels: int = 56 * 56
    max_pixels: int = 12_845_056

    def __post_init__(self) -> None:
        one_of("boxes.kind", self.kind, KINDS)
        one_of("boxes.syntax", self.syntax, SYNTAXES)
        whole("boxes.factor", self.factor, 1, 1024)
        whole("boxes.max_pixels", self.max_pixels, 1, 1 << 40)
        whole("boxes.min_pixels", self.min_pixels, 1, self.max_pixels)

    def units(self, width: int, height: int) -> tuple[int, int]:
        """What the right and the bottom edge of a width x height picture are called.

        Raises:
            ImageError: a picture that the model's processor refuses.
        """
        if self.kind == "relative_1000":
            return 1000, 1000
        if self.kind == "pixels":
            return width, height
        return smart_resize(width, height, self.factor, self.min_pixels, self.max_pixels)

    def describe(self, width: int, height: int) -> str:
        """How to answer, as a sentence for the prompt about a width x height picture."""
        wide, high = self.units(width, height)
        unit = (
            "whole numbers from 0 to 1000 relative to the picture's width and height"
            if self.kind == "relative_1000"
            else f"pixels of the picture, which is {wide} pixels wide and {high} pixels high"
        )
        return (
            f"Give the box as {self._spell('x1', 'y1', 'x2', 'y2')}: its top left corner (x1, y1) and its bottom "
            f"right corner (x2, y2), in {unit}."
        )

    def write(self, box: Box, width: int, height: int) -> str:
        """`box`, in pixels of a width x height picture, as the model says it: whole numbers, inside the picture, at
        least one unit wide and high."""
        wide, high = self.units(width, height)
        x1, x2 = _whole_span(box.x1, box.x2, width, wide)
        y1, y2 = _whole_span(box.y1, box.y2, height, high)
        return self._spell(x1, y1, x2, y2)

    def read(self, text: str, width: int, height: int) -> Box | None:
        """The one box that `text` names, in pixels of the width x height picture; None where it names none or several.

        Total and linear: any string is accepted. Nothing is repaired: corners in the wrong order give an empty box,
        and a box that leaves the picture stays as it is.
        """
        found = _two(_BOX.finditer(text))
        if len(found) != 1:
            return None
        (match,) = found
        # Two corners and a stray third are not a box.
        if _ANY_POINT.search(text, match.end()) or _ANY_POINT.search(text, 0, match.start()):
            return None
        x1, y1, x2, y2 = (float(number) for number in match.groups() if number is not None)
        wide, high = self.units(width, height)
        return Box(x1 * width / wide, y1 * height / high, x2 * width / wide, y2 * height / high)

    def snap(self, box: Box, width: int, height: int) -> Box:
        """The box that `write` says: `box` rounded to whole units, in pixels. What an exact answer is measured against
        where the unit is coarser than a pixel."""
        said = self.read(self.write(box, width, height), width, height)
        assert said is not None, "write() is read by read()"
        return said

    def _spell(self, x1: object, y1: object, x2: object, y2: object) -> str:
        if self.syntax == "tokens":
            return f"<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"
        numbers = f"[{x1}, {y1}, {x2}, {y2}]"
        return numbers if self.syntax == "list" else f'{{"bbox_2d": {numbers}}}'


# As their published image processors are set: Qwen2-VL and Qwen2.5-VL have patches of 14 pixels, Qwen3-VL of 16.
FORMATS: dict[str, BoxFormat] = {
    "pixels": BoxFormat(),
    "qwen2_vl": BoxFormat("relative_1000", "tokens", 28, 56 * 56, 12_845_056),
    "qwen2_5_vl": BoxFormat("absolute_resized", "list", 28, 56 * 56, 12_845_056),
    "qwen3_vl": BoxFormat("relative_1000", "bbox_2d", 32, 256 * 256, 4096 * 4096),
}


def from_argument(value: str | Mapping[str, object]) -> BoxFormat:
    """The format that a keyword argument `boxes` means: a name, or plain data with the fields of `BoxFormat`.

    Raises:
        ArgumentError: an unknown name or field, or a value outside its range.
    """
    if isinstance(value, str):
        if value == "auto":
            raise ArgumentError(
                "boxes='auto' is replaced by the trainer, which knows the model; where there is none, name the format: "
                f"{', '.join(map(repr, FORMATS))}"
            )
        return FORMATS[one_of("boxes", value, tuple(FORMATS))]
    allowed = [field.name for field in fields(BoxFormat)]
    if not isinstance(value, Mapping) or "kind" not in value or not set(value) <= set(allowed):
        raise ArgumentError(
            f"boxes must be one of {', '.join(map(repr, FORMATS))}, or a mapping with `kind` and any of "
            f"{', '.join(allowed[1:])}; got {value!r}"
        )
    return BoxFormat(**value)  # type: ignore[arg-type]  # __post_init__ checks them


def iou(a: Box | None, b: Box | None) -> float:
    """Intersection over union of two boxes, in [0, 1]; 0 where one is missing, empty, inverted or not finite."""
    if a is None or b is None or not all(map(math.isfinite, (*a, *b))):
        return 0.0
    # Of an empty or inverted box the far edge lies before the near one, so nothing is in common.
    wide, high = min(a.x2, b.x2) - max(a.x1, b.x1), min(a.y2, b.y2) - max(a.y1, b.y1)
    if wide <= 0 or high <= 0:
        return 0.0
    inside = wide * high
    # The union is never smaller than the intersection; rounding and overflow must not say otherwise.
    union = max((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - inside, inside)
    return inside / union if 0 < union < math.inf else 0.0


def grounding_metrics(said: Box | None, gold: Box) -> dict[str, float]:
    """The benchmarks' measures of one answer: `iou`; `accuracy_0.5` and so on, 1 where the IoU is at least that; and
    `centre`, 1 where the centre of the said box lies in the gold box. No box, or an empty one, scores 0 in all."""
    overlap = iou(said, gold)
    metrics = {"iou": overlap} | {f"accuracy_{t:g}": float(overlap >= t) for t in THRESHOLDS}
    metrics["centre"] = 0.0
    if said is not None and not said.empty:
        x, y = said.x1 / 2 + said.x2 / 2, said.y1 / 2 + said.y2 / 2
        metrics["centre"] = float(gold.x1 <= x <= gold.x2 and gold.y1 <= y <= gold.y2)
    return metrics


def _whole_span(low: float, high: float, size: int, units: int) -> tuple[int, int]:
    """Two edges in pixels as whole units: inside 0..units, and at least one apart."""
    first, second = (min(max(round(edge * units / size), 0), units) for edge in (low, high))
    if second > first:
        return first, second
    first = min(first, units - 1)
    return first, first + 1


def _two(matches: Iterator[re.Match[str]]) -> list[re.Match[str]]:
    """The first two: more than one is as bad as many, and many cost memory."""
    return [match for match, _ in zip(matches, range(2), strict=False)]
