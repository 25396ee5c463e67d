"""MAT-Search: 150 questions about pictures that need a web search (Visual-ARFT, arXiv 2505.14246)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..core.arguments import one_of
from .picture import Picture
from .sample import scene, write_json, write_picture
from .source import Published, Source, locate, note_size, open_rows

HINT = "MAT-Benchmark/MAT-Search-image/ of the hub data set laolao77/MAT goes beside MAT-Search.json"
PUBLISHED = Published(
    "MAT-Search",
    "laolao77/MAT",
    {"test": 150},
    "FOLDER then holds MAT-Benchmark/MAT-Search.json and MAT-Benchmark/MAT-Search-image/.",
    {"test": ("MAT-Benchmark/MAT-Search.json", "MAT-Search.json", "test.json")},
    loose=("MAT-Benchmark/MAT-Search.json", "MAT-Benchmark/MAT-Search-image/*"),
)
SPLITS = ("test",)
SIMPLE = 75  # the first half by position is called simple, the rest hard


@dataclass(frozen=True)
class MatSearchItem:
    """One question. `picture.pixels()` decodes the picture; `position` counts from 0 in the published order. `answer`
    is blank where none was published: then nothing is right."""

    id: str
    question: str
    answer: str
    picture: Picture
    position: int
    difficulty: str  # "simple" or "hard"


def load(data: str | None, split: str = "test") -> Sequence[MatSearchItem]:
    """The 150 items in the published order. The only split is "test".

    Raises:
        DatasetError: the data are missing or malformed.
    """
    one_of("split", split, SPLITS)
    return _read(locate(data, PUBLISHED, "test"))


@lru_cache(maxsize=4)
def _read(source: Source) -> tuple[MatSearchItem, ...]:
    pictures = source.files[0][0].parent / "MAT-Search-image"
    rows = open_rows(source, ("id", "question", "answer", "image_path"), pictures_in=pictures)
    note_size(PUBLISHED, source.part, len(rows))
    return tuple(
        MatSearchItem(
            row.label("id"),
            row.text("question"),
            row.text("answer", blank=True),  # as that of the item at position 100
            row.picture("image_path", HINT),
            row.index,
            "simple" if row.index < SIMPLE else "hard",
        )
        for row in rows
    )


def write_sample(folder: str | Path) -> None:
    """Write a small synthetic set in the published format: `MAT-Search.json` and `MAT-Search-image/`.

    The questions ask about the coloured things of each picture, so the answers are in it; 80 rows, so that both
    difficulties occur.
    """
    rows = []
    for number in range(SIMPLE + 5):
        things = 1 + number * 5 % 9
        write_picture(Path(folder) / "MAT-Search-image" / f"{number + 1}.png", scene("mat search", number, things)[0])
        asked, answer = (
            (f"How many bars has the emblem of the city number {number + 1}?", str(things)),
            (f"Is the city of emblem number {number + 1} a harbour?", "Yes" if things % 2 else "No"),
            (f"Which river runs through the city of emblem number {number + 1}?", f"River {number + 1}"),
        )[number % 3]
        rows.append({"id": number + 1, "question": asked, "answer": answer, "image_path": f"{number + 1}.png"})
    write_json(Path(folder) / "MAT-Search.json", rows)
