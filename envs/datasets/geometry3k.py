"""Geometry3K: 3,002 problems with diagrams (Lu et al., Inter-GPS, arXiv 2105.04165), as `problem, answer, images`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..core.arguments import one_of
from .clevr_count import PLACEHOLDER, question_of
from .picture import Picture
from .sample import image_cell, scene, write_shards
from .source import Published, Source, locate, note_size, open_rows

PUBLISHED = Published(
    "Geometry3K",
    "hiyouga/geometry3k",
    {"train": 2_101, "validation": 300, "test": 601},
    "FOLDER then holds data/train-00000-of-00001.parquet and so on, with the columns images, problem, answer.",
)
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class GeometryItem:
    """One problem. `answer` is written in LaTeX or as a number, as published: "2 \\\\sqrt { 221 }", "32.9"."""

    question: str
    answer: str
    picture: Picture
    position: int  # from 0, in the published order


def load(data: str | None, split: str = "test") -> Sequence[GeometryItem]:
    """The items of a split in the published order; the splits are the published ones.

    Raises:
        DatasetError: the data are missing or malformed.
    """
    one_of("split", split, SPLITS)
    return _read(locate(data, PUBLISHED, split))


@lru_cache(maxsize=6)
def _read(source: Source) -> tuple[GeometryItem, ...]:
    rows = open_rows(source, ("problem", "answer"), ("images",))
    note_size(PUBLISHED, source.part, len(rows))
    return tuple(
        GeometryItem(question_of(row, "problem"), row.text("answer").strip(), row.picture("images"), row.index)
        for row in rows
    )


def write_sample(folder: str | Path) -> None:
    """Write a small synthetic set in the published format: one shard each of train, validation and test."""
    features = {
        "images": "images",
        "problem": "string",
        "answer": "string",
        "id": "int64",
        "choices": "strings",
        "ground_truth": "string",
    }
    for part, rows in (("train", 24), ("validation", 12), ("test", 12)):
        table = []
        for number in range(rows):
            side = 2 + number % 7
            asked, answer = (
                ("Find x.", str(4 * side)),
                ("Find the length of the diagonal.", f"{side} \\sqrt {{ 2 }}"),
                ("Find y. Round to the nearest tenth.", f"{side}.5"),
                ("Find the value of the ratio.", f"\\frac {{ {side} }} {{ 11 }}"),
            )[number % 4]
            table.append(
                {
                    "images": [image_cell(scene(f"geometry {part}", number, 2 + number % 5)[0])],
                    "problem": f"{PLACEHOLDER}{asked}",
                    "answer": answer,
                    "id": number,
                    "choices": [answer, "1", "2", "3"],
                    "ground_truth": "A",
                }
            )
        write_shards(Path(folder) / "data", part, table, features)
