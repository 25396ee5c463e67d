"""RefCOCO, RefCOCO+ and RefCOCOg: expressions that refer to one object of a COCO photograph, and its box.

Two published layouts are read. VLM-R1's `refcoco_val.json` and so on: `image, problem, solution` (x1, y1, x2, y2 in
pixels) and `normalized_solution` (the same from 0 to 1000), pictures apart. And the hub's parquet, with the picture
inside: `question` (the expression alone), `bbox` (x1, y1, x2, y2 in pixels, as text), `image`, `image_size` (w, h).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..core.arguments import one_of
from .clevr_count import question_of
from .picture import Picture
from .rows import Row
from .sample import image_cell, scene, write_json, write_picture, write_shards
from .source import Published, Source, locate, note_size, open_rows

DATASETS = ("refcoco", "refcoco+", "refcocog")
STEMS = {"refcoco": "refcoco", "refcoco+": "refcocop", "refcocog": "refcocog"}  # in names of files and of hub sets
PARTS: dict[str, dict[str, int | None]] = {
    "refcoco": {"train": None, "val": 10_834, "testA": 5_657, "testB": 5_095},
    "refcoco+": {"train": None, "val": 10_758, "testA": 5_726, "testB": 4_889},
    "refcocog": {"train": None, "val": 4_896, "test": 9_602},
}
ASK = "Please provide the bounding box coordinate of the region this sentence describes: "
HINT = (
    "Fetch train2014.zip of COCO (http://images.cocodataset.org/zips/train2014.zip) and unzip it so that this path is "
    "below the folder given as data"
)


@dataclass(frozen=True)
class ReferItem:
    """One expression and the box of what it refers to.

    question: the whole request, as published. box: x1, y1, x2, y2 in pixels of the picture. normalized: the same from 0
    to 1000 over its width and height. part: "val", "testA" and so on. position: from 0, in the published order.
    """

    question: str
    box: tuple[float, float, float, float]
    normalized: tuple[float, float, float, float]
    picture: Picture
    part: str
    position: int


def published(dataset: str) -> Published:
    """How `dataset`, one of DATASETS, is published."""
    stem = STEMS[one_of("dataset", dataset, DATASETS)]
    places = {
        part: (
            f"{stem}_{part}.json",
            f"rec_jsons_processed/{stem}_{part}.json",
            f"{stem}_{part}.jsonl",
            f"{stem}/data/{part}-*.parquet",
            f"{stem}/{part}-*.parquet",
        )
        for part in PARTS[dataset]
    }
    return Published(
        {"refcoco": "RefCOCO", "refcoco+": "RefCOCO+", "refcocog": "RefCOCOg"}[dataset],
        f"Kangheng/{stem}",
        PARTS[dataset],
        f"Take --local-dir FOLDER/{stem} for it. Or unzip rec_jsons_processed.zip and train2014.zip of omlab/VLM-R1 "
        f"(on the hub) into FOLDER: {stem}_val.json and so on, and the pictures where their paths say.",
        places,
    )


def load(data: str | None, part: str, dataset: str = "refcoco") -> Sequence[ReferItem]:
    """The items of a published part ("train", "val", "testA", "testB"; RefCOCOg: "train", "val", "test").

    Raises:
        ArgumentError: an unknown data set, or a part that it does not have.
        DatasetError: the data are missing or malformed.
    """
    one_of("part", part, tuple(published(dataset).parts))
    return _read(locate(data, published(dataset), part), dataset)


@lru_cache(maxsize=8)
def _read(source: Source, dataset: str) -> tuple[ReferItem, ...]:
    text = ("problem", "solution", "normalized_solution", "question", "bbox", "image_size")
    rows = open_rows(source, text, ("image",), source.base)
    note_size(published(dataset), source.part, len(rows))
    return tuple(_item(row, source.part) for row in rows)


def _item(row: Row, part: str) -> ReferItem:
    picture = row.picture("image", HINT)
    if row.has("problem") or not row.has("bbox"):
        question, box, normalized = question_of(row, "problem"), row.box("solution"), row.box("normalized_solution")
        if max(normalized) > 1000.5 or min(normalized) < -0.5:
            raise row.wrong("normalized_solution", "four numbers from 0 to 1000")
        return ReferItem(question, box, normalized, picture, part, row.index)
    box, (width, height) = row.box("bbox"), row.numbers("image_size", 2)
    if width < 1 or height < 1:
        raise row.wrong("image_size", "a width and a height of at least 1 pixel")
    if box[2] > width + 1 or box[3] > height + 1:
        raise row.wrong("bbox", f"x1, y1, x2, y2 inside the picture, which is {width:g} x {height:g}")
    x1, x2, y1, y2 = (
        round(1000 * edge / side) for edge, side in zip(box[::2] + box[1::2], (width,) * 2 + (height,) * 2, strict=True)
    )
    normalized = (float(x1), float(y1), float(max(x2, x1 + 1)), float(max(y2, y1 + 1)))
    return ReferItem(ASK + question_of(row, "question"), box, normalized, picture, part, row.index)


def write_sample(folder: str | Path) -> None:
    """Write small synthetic sets in the published formats: RefCOCO and RefCOCOg as JSON, RefCOCO+ as parquet."""
    folder = Path(folder)
    for dataset, stem in STEMS.items():
        for part in PARTS[dataset]:
            rows, table = [], []
            for number in range(8):
                size = (96, 64)
                picture, boxes = scene(f"{stem} {part}", number, 3 + number % 3, size)
                name = f"train2014/COCO_train2014_{stem}_{part}_{number:04d}.png"
                if dataset != "refcoco+":
                    write_picture(folder / name, picture)
                for which in range(2):
                    box = boxes[which]
                    side = "left" if box[0] + box[2] < size[0] else "right"
                    said = f"thing on the {side}, number {which}"
                    scaled = [round(1000 * edge / size[k % 2]) for k, edge in enumerate(box)]
                    rows.append(
                        {"image": name, "problem": ASK + said, "solution": list(box), "normalized_solution": scaled}
                    )
                    table.append(
                        {
                            "question": said,
                            "bbox": str([float(edge) for edge in box]),
                            "image": image_cell(picture),
                            "image_size": list(size),
                        }
                    )
            if dataset == "refcoco+":
                features = {"question": "string", "bbox": "string", "image": "image", "image_size": "int64s"}
                write_shards(folder / stem / "data", part, table, features, 2)
            else:
                write_json(folder / f"{stem}_{part}.json", rows)
