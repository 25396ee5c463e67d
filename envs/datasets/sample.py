"""Writing small synthetic sets in the published formats, for tests and checks: pictures, parquet shards, JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.images import encode_png
from ..core.spaces import Image
from ..core.tasks import generator
from .tables import library

COLOURS = ((200, 40, 40), (40, 140, 60), (40, 70, 200), (230, 200, 40), (130, 60, 160), (40, 40, 40))
Box = tuple[int, int, int, int]


def scene(name: str, number: int, objects: int, size: tuple[int, int] = (96, 64)) -> tuple[Image, list[Box]]:
    """A picture of `objects` coloured rectangles that do not touch, and their boxes x1, y1, x2, y2 in pixels.

    The same name and number give the same picture, and other ones another. At most 24 objects.
    """
    rng = generator("sample", name, number)
    width, height = size
    columns, rows = 6, 4
    picture = np.full((height, width, 3), 220, np.uint8) - rng.integers(0, 12, (height, width, 3)).astype(np.uint8)
    boxes: list[Box] = []
    for cell in rng.permutation(columns * rows)[:objects].tolist():
        left, top = cell % columns * width // columns, cell // columns * height // rows
        x1, y1 = left + 1 + int(rng.integers(2)), top + 1 + int(rng.integers(2))
        x2, y2 = left + width // columns - 2 - int(rng.integers(2)), top + height // rows - 2 - int(rng.integers(2))
        picture[y1:y2, x1:x2] = COLOURS[int(rng.integers(len(COLOURS)))]
        boxes.append((x1, y1, x2, y2))
    return picture, boxes


def image_cell(picture: Image, name: str | None = None) -> dict[str, Any]:
    """A picture as `datasets` stores it in a table."""
    return {"bytes": encode_png(picture), "path": name}


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]], features: Mapping[str, Any]) -> None:
    """A parquet file with the metadata by which `datasets` knows its features ("image", "images" and plain types).

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    arrow, parquet = library("pyarrow"), library("pyarrow.parquet")
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    types = {
        "image": (image, {"_type": "Image"}),
        "images": (arrow.list_(image), {"feature": {"_type": "Image"}, "_type": "List"}),
        "string": (arrow.string(), {"dtype": "string", "_type": "Value"}),
        "int64": (arrow.int64(), {"dtype": "int64", "_type": "Value"}),
        "binary": (arrow.binary(), {"dtype": "binary", "_type": "Value"}),
        "strings": (arrow.list_(arrow.string()), {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"}),
        "int64s": (arrow.list_(arrow.int64()), {"feature": {"dtype": "int64", "_type": "Value"}, "_type": "List"}),
    }
    known = json.dumps({"info": {"features": {name: types[kind][1] for name, kind in features.items()}}})
    schema = arrow.schema([(name, types[kind][0]) for name, kind in features.items()], {"huggingface": known})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.Table.from_pylist(list(rows), schema), path, row_group_size=5)


def write_shards(
    folder: Path, part: str, rows: Sequence[Mapping[str, Any]], features: Mapping[str, Any], shards: int = 1
) -> None:
    """`PART-00000-of-00002.parquet` and so on, as the hub names them."""
    each = -(-len(rows) // shards)
    for k in range(shards):
        write_parquet(folder / f"{part}-{k:05d}-of-{shards:05d}.parquet", rows[k * each : (k + 1) * each], features)


def write_json(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A `.json` file (one list) or a `.jsonl` file (one object a line), in UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_picture(path: Path, picture: Image) -> None:
    """A PNG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(picture))
