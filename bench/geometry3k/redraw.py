"""Which problems of Geometry3K can be drawn again from their coordinates, and what ours look like beside the originals.

    python bench/geometry3k/redraw.py FOLDER

FOLDER is Inter-GPS's data/geometry3k in a layout that `envs/datasets/inter_gps.py` reads. Reads every problem with an
answer, draws those that pass the check, and writes bench/geometry3k/dropped.md (what was dropped, and why) and
originals_and_redrawn.png (the first ten problems that have a picture of their own: left the original, right ours).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from envs.datasets import inter_gps_check as check  # noqa: E402
from envs.datasets.inter_gps import SPLITS, Problem, read  # noqa: E402
from envs.render.redrawn import picture  # noqa: E402

SIZE = 336
TILE, COLUMNS, PAIRS = 260, 2, 10
NO_ANSWER = "no answer is known"


def original(folder: Path, number: int) -> Path | None:
    places = (folder / part / str(number) / "img_diagram.png" for part in ("", "train", "val", "test", "examples"))
    return next((place for place in places if place.is_file()), None)


def draw(problem: Problem) -> tuple[Image.Image, int]:
    drawing = picture(problem.figure, (SIZE, SIZE), problem.spoken, problem.numbered)
    return Image.fromarray(drawing.pixels), drawing.overlaps


def sheet(folder: Path, problems: list[Problem]) -> Image.Image:
    rows = -(-len(problems) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (2 * TILE + 12), rows * (TILE + 8)), (150, 150, 150))
    for k, problem in enumerate(problems):
        left, top = k % COLUMNS * (2 * TILE + 12) + 4, k // COLUMNS * (TILE + 8) + 4
        path = original(folder, problem.number)
        assert path is not None
        pair = (Image.open(path).convert("RGB"), draw(problem)[0])
        for side, image in enumerate(pair):
            image.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
            tile = Image.new("RGB", (TILE, TILE), "white")
            tile.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
            page.paste(tile, (left + side * (TILE + 2), top))
    return page.quantize(48)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    counts, listed, pictured = [], [], []
    for split in SPLITS:
        reading = read(str(folder), split)
        dropped = {number: why for number, why in reading.dropped.items() if why != NO_ANSWER}
        if not reading.problems and not dropped:
            continue
        overlapping = sum(draw(problem)[1] > 0 for problem in reading.problems)
        total = len(reading.problems) + len(dropped)
        counts.append(f"| {split} | {total} | {len(reading.problems)} | {len(dropped)} | {overlapping} |")
        listed += [f"| {number} | {split} | {why} |" for number, why in dropped.items()]
        pictured += [problem for problem in reading.problems if original(folder, problem.number)]
    rules = "\n".join(f"- {line.strip()}" for line in (check.__doc__ or "").splitlines() if line.startswith("    "))
    text = f"""# Geometry3K, drawn again

Written by `python bench/geometry3k/redraw.py FOLDER`. Data: Inter-GPS (Lu et al., arXiv 2105.04165;
<https://github.com/lupantech/InterGPS>, MIT licence). Counted are the problems that have an answer: `data.json`, or an
entry in `solved_test_answers.json`.

| split | with an answer | drawn | dropped | drawn with overlapping labels |
|---|---|---|---|---|
{chr(10).join(counts)}

## The check

A problem is dropped if a predicate cannot be read, if the runs of the solver that gave its answer differ by more than
1% of it, or if its coordinates disagree with its own predicates. With lengths measured against the longer side of the
figure, these must hold:

{rules}

Lengths are not compared with their labels: figures in school books are not to scale.

## What was dropped

| problem | split | why |
|---|---|---|
{chr(10).join(listed)}

## Ten originals and ours

![originals on the left, ours on the right](originals_and_redrawn.png)

Differences that come from the annotations and not from the drawing: every annotated point has its name, the originals
name fewer; problem 12 has two lines too many (AX and CB) and in 13 two labels name a longer line than the arrows of the
original point to; 14 has lost the fractions of its labels, and names other pieces of its lines. The pictures on the
left are the data set's own (MIT licence, as above).
"""
    (HERE / "dropped.md").write_text(text, encoding="utf-8")
    if pictured:
        sheet(folder, pictured[:PAIRS]).save(HERE / "originals_and_redrawn.png", optimize=True)
    print("\n".join(counts))


if __name__ == "__main__":
    main()
