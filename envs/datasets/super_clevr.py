"""SuperCLEVR counting: the out-of-distribution test of CLEVR-Count (`image_path, question, ground_truth`).

Super-CLEVR (Li et al., arXiv 2212.00259) has vehicles instead of solids; R1-V chose 200 of its test pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ..core.arguments import one_of
from .clevr_count import CountItem, question_of
from .sample import scene, write_json, write_picture
from .source import Published, Source, locate, note_size, open_rows

NAME = "superclevr_test200_counting_problems"
HINT = (
    "Fetch images.zip of Super-CLEVR (https://github.com/Lizw14/Super-CLEVR) and put superCLEVR_new_025000.png to "
    "superCLEVR_new_025199.png into the folder images/ beside the questions"
)
PUBLISHED = Published(
    "SuperCLEVR",
    "jigsaw-r1/super_clevr",
    {"test": 200},
    f"Or put R1-V's {NAME}.jsonl into FOLDER. {HINT}.",
    {"test": (f"{NAME}.jsonl", f"{NAME}.json", "test.jsonl", "test.json", "test.parquet", "data/test-*.parquet")},
)
SPLITS = ("test",)


def load(data: str | None, split: str = "test") -> Sequence[CountItem]:
    """The 200 items in the published order. The only split is "test".

    JSON has `image_path`, relative to its own folder; the hub's parquet has the picture itself in `image`.

    Raises:
        DatasetError: the data are missing or malformed.
    """
    one_of("split", split, SPLITS)
    return _read(locate(data, PUBLISHED, "test"))


@lru_cache(maxsize=4)
def _read(source: Source) -> tuple[CountItem, ...]:
    rows = open_rows(source, ("image_path", "question", "ground_truth"), ("image",))
    note_size(PUBLISHED, source.part, len(rows))
    return tuple(
        CountItem(
            question_of(row, "question"),
            row.count("ground_truth"),
            row.picture("image" if row.has("image") else "image_path", HINT),
            row.index,
        )
        for row in rows
    )


def write_sample(folder: str | Path) -> None:
    """Write a small synthetic set in the published format: the JSON lines and the folder `images`."""
    rows = []
    for number in range(16):
        objects = 3 + number * 5 % 8
        name = f"superCLEVR_new_{25000 + number:06d}.png"
        write_picture(Path(folder) / "images" / name, scene("super", number, objects)[0])
        question = "How many different items are there in the image?"
        rows.append({"image_path": f"./images/{name}", "question": question, "ground_truth": objects})
    write_json(Path(folder) / f"{NAME}.jsonl", rows)
