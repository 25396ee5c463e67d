"""CLEVR-Count: 70,000 pictures of CLEVR and "how many?", as published after R1-V (`problem, answer, images`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..core.arguments import one_of
from ..core.errors import DatasetError
from .picture import Picture
from .rows import Row
from .sample import image_cell, scene, write_shards
from .source import Published, Source, locate, note_size, open_rows

PUBLISHED = Published(
    "CLEVR-Count",
    "BUAADreamer/clevr_count_70k",
    {"train": 70_000, "test": 200},
    "FOLDER then holds data/train-00000-of-00021.parquet and so on (10 GB), with the columns problem, answer, images.",
)
SPLITS = ("train", "validation", "test")
HELD_OUT = 1_000  # rows at the end of the published train part
PLACEHOLDER = "<image>"  # marks in the published text where the picture goes


@dataclass(frozen=True)
class CountItem:
    """One picture, the question about it, and the answer."""

    question: str
    answer: int
    picture: Picture
    position: int  # from 0, in the published order


def load(data: str | None, split: str = "test") -> Sequence[CountItem]:
    """The items of a split in the published order.

    The publisher has no validation part. Ours is the last tenth of the published train part, at most 1,000 rows; train
    is the rest. Every row of the publisher shows its own scene, so the splits share no picture.

    Raises:
        DatasetError: the data are missing or malformed.
    """
    one_of("split", split, SPLITS)
    items = _read(locate(data, PUBLISHED, "test" if split == "test" else "train"))
    if split == "test":
        return items
    held = min(HELD_OUT, len(items) // 10)
    if split == "validation" and not held:
        raise DatasetError(f"CLEVR-Count: a validation split needs 10 train rows; there are {len(items)}")
    return items[len(items) - held :] if split == "validation" else items[: len(items) - held]


def question_of(row: Row, name: str) -> str:
    """The text of the field, without the one mark that says where the picture goes."""
    text = row.text(name)
    question = text.replace(PLACEHOLDER, "").strip()
    if text.count(PLACEHOLDER) > 1 or not question:
        raise row.wrong(name, f"a question with at most one {PLACEHOLDER}")
    return question


@lru_cache(maxsize=4)
def _read(source: Source) -> tuple[CountItem, ...]:
    rows = open_rows(source, ("problem", "answer"), ("images",))
    note_size(PUBLISHED, source.part, len(rows))
    return tuple(
        CountItem(question_of(row, "problem"), row.count("answer"), row.picture("images"), row.index) for row in rows
    )


def write_sample(folder: str | Path) -> None:
    """Write a small synthetic set in the published format: two shards of train, one of test."""
    features = {"images": "images", "problem": "string", "answer": "string"}
    for part, rows, shards in (("train", 160, 2), ("test", 16, 1)):
        table = []
        for number in range(rows):
            objects = 3 + number * 7 % 8
            picture = image_cell(scene(f"clevr {part}", number, objects)[0])
            problem = f"{PLACEHOLDER}How many items are there in the image?"
            table.append({"images": [picture], "problem": problem, "answer": str(objects)})
        write_shards(Path(folder) / "data", part, table, features, shards)
