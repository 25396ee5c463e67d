"""MAT-Coding: 200 questions about pictures that must be mended or cropped first (Visual-ARFT, arXiv 2505.14246)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..core.arguments import one_of
from .picture import Picture
from .rows import Row
from .sample import scene, write_json, write_picture
from .source import Published, Source, locate, note_size, open_rows

HINT = "MAT-Benchmark/MAT-Coding-image/ of the hub data set laolao77/MAT goes beside MAT-Coding.json"
PUBLISHED = Published(
    "MAT-Coding",
    "laolao77/MAT",
    {"test": 200},
    "FOLDER then holds MAT-Benchmark/MAT-Coding.json and MAT-Benchmark/MAT-Coding-image/.",
    {"test": ("MAT-Benchmark/MAT-Coding.json", "MAT-Coding.json", "test.json")},
    loose=("MAT-Benchmark/MAT-Coding.json", "MAT-Benchmark/MAT-Coding-image/*"),
)
SPLITS = ("test",)
KINDS = ("rotation90", "rotation180", "dark", "overexposure", "blur", "noise", "crop", "none")


@dataclass(frozen=True)
class MatCodingItem:
    """One question. `picture` is what the episode begins with: the original for a crop, else the processed one."""

    id: str
    question: str
    answers: tuple[str, ...]
    original: Picture
    processed: Picture
    kinds: tuple[str, ...]  # one or two of KINDS
    position: int  # from 0, in the published order
    difficulty: str  # "simple" or "hard"

    @property
    def picture(self) -> Picture:
        return self.original if self.kinds[0] == "crop" else self.processed


def load(data: str | None, split: str = "test") -> Sequence[MatCodingItem]:
    """The 200 items in the published order. The only split is "test".

    Raises:
        DatasetError: the data are missing or malformed.
    """
    one_of("split", split, SPLITS)
    return _read(locate(data, PUBLISHED, "test"))


@lru_cache(maxsize=4)
def _read(source: Source) -> tuple[MatCodingItem, ...]:
    pictures = source.files[0][0].parent / "MAT-Coding-image"
    text = ("id", "question", "answers", "ori_image_path", "processed_image_path", "type", "split")
    rows = open_rows(source, text, pictures_in=pictures)
    note_size(PUBLISHED, source.part, len(rows))
    return tuple(_item(row) for row in rows)


def _item(row: Row) -> MatCodingItem:
    kinds = row.texts("type")
    if len(set(kinds)) != len(kinds) or len(kinds) > 2 or not set(kinds) <= set(KINDS):
        raise row.wrong("type", f"one or two different ones of {', '.join(KINDS)}")
    return MatCodingItem(
        row.label("id"),
        row.text("question"),
        row.texts("answers"),
        row.picture("ori_image_path", HINT),
        row.picture("processed_image_path", HINT),
        kinds,
        row.index,
        row.one_of("split", ("simple", "hard")),
    )


def write_sample(folder: str | Path) -> None:
    """Write a small synthetic set in the published format: `MAT-Coding.json` and `MAT-Coding-image/`."""
    folder, rows = Path(folder), []
    kinds: list[tuple[str, ...]] = [
        ("rotation90",),
        ("rotation180",),
        ("dark",),
        ("overexposure",),
        ("blur",),
        ("noise",),
        ("none",),
    ]
    kinds += [("rotation90", "dark"), ("rotation180", "noise"), ("crop",), ("crop",), ("crop",)]
    for number, these in enumerate(kinds):
        things = 2 + number * 5 % 9
        picture, boxes = scene("mat coding", number, things)
        height, width = picture.shape[:2]
        spoilt = picture
        for kind in these:
            spoilt = _spoil(spoilt, kind)
        name = f"{'+'.join(these)}_{number}"
        write_picture(folder / "MAT-Coding-image" / f"{name}_ori.png", picture)
        write_picture(folder / "MAT-Coding-image" / f"{name}_proc.png", spoilt)
        question, answers = f"How many bars are in picture {number + 1}?", [str(things), f"{things} bars"]
        if these == ("crop",):
            region = [round(1000 * edge / (width, height)[k % 2]) for k, edge in enumerate(boxes[0])]
            question = (
                f"How many bars are within the {region} of the image? The coordinates have been normalized ranging "
                "from 0 to 1000 by the image width and height. "
            )
            answers = ["1"]
        rows.append(
            {
                "id": number + 1,
                "question": question,
                "answers": answers,
                "ori_image_path": f"{name}_ori.png",
                "processed_image_path": f"{name}_proc.png",
                "type": list(these),
                "split": "simple" if number < 7 else "hard",
            }
        )
    write_json(folder / "MAT-Coding.json", rows)


def _spoil(picture: np.ndarray, kind: str) -> np.ndarray:
    if kind.startswith("rotation"):
        return np.ascontiguousarray(np.rot90(picture, 1 if kind == "rotation90" else 2))
    if kind == "dark":
        return picture // 4
    if kind == "overexposure":
        return 255 - (255 - picture) // 4
    if kind == "noise":
        grain = np.arange(picture.size, dtype=np.int64).reshape(picture.shape) * 2_654_435_761 % 97 - 48
        return (picture.astype(np.int64) + grain).clip(0, 255).astype(np.uint8)
    if kind == "blur":
        wide = np.pad(picture.astype(np.int64), ((2, 2), (2, 2), (0, 0)), mode="edge")
        height, width = picture.shape[:2]
        total = sum(wide[y : y + height, x : x + width] for y in range(5) for x in range(5))
        return (np.asarray(total) // 25).astype(np.uint8)
    return picture
