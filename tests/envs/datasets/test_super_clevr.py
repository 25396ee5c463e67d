"""SuperCLEVR: its two forms, its malformed files, and the real questions."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from envs.core.errors import DatasetError
from envs.core.images import encode_png
from envs.datasets.picture import Picture
from envs.datasets.sample import scene, write_json, write_parquet
from envs.datasets.super_clevr import NAME, load, write_sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("super")
    write_sample(folder)
    return folder


def test_the_sample_is_read_in_the_published_order(sample: Path) -> None:
    items = load(str(sample))
    assert [item.answer for item in items] == [3 + number * 5 % 8 for number in range(16)]
    assert items[4].picture.pixels().tolist() == scene("super", 4, items[4].answer)[0].tolist()
    assert load(str(sample / f"{NAME}.jsonl")) == items


def test_the_hubs_parquet_with_pictures_inside_gives_equal_items(sample: Path, tmp_path: Path) -> None:
    rows = [
        {
            "image": encode_png(scene("super", number, 3 + number * 5 % 8)[0]),
            "question": "How many different items are there in the image?",
            "ground_truth": str(3 + number * 5 % 8),
        }
        for number in range(16)
    ]
    features = {"image": "binary", "question": "string", "ground_truth": "string"}
    write_parquet(tmp_path / "test.parquet", rows, features)
    assert load(str(tmp_path)) == load(str(sample))


GOOD = {"image_path": "./images/a.png", "question": "How many?", "ground_truth": 4}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        *(({k: v for k, v in GOOD.items() if k != name}, f"field {name!r}: it is missing") for name in GOOD),
        (GOOD | {"question": ""}, "field 'question': expected a text"),
        (GOOD | {"ground_truth": 4.5}, "field 'ground_truth': expected a whole number"),
        (GOOD | {"image_path": None}, "field 'image_path': expected a picture"),
    ],
)
def test_a_malformed_row_is_named(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_json(tmp_path / f"{NAME}.jsonl", [GOOD, row])
    with pytest.raises(DatasetError) as caught:
        load(str(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path}/{NAME}.jsonl, row 2, {message}")


def test_a_missing_picture_says_where_pictures_come_from_and_go(tmp_path: Path) -> None:
    write_json(tmp_path / f"{NAME}.jsonl", [GOOD])
    with pytest.raises(DatasetError) as caught:
        load(str(tmp_path))[0].picture.pixels()
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/{NAME}.jsonl, row 1, field 'image_path': expected the file of a picture")
    assert "images/a.png, which is not there" in said
    assert "Fetch images.zip of Super-CLEVR" in said


def test_a_missing_set_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"hf download jigsaw-r1/super_clevr .*{NAME}.jsonl into FOLDER"):
        load(str(tmp_path))


REAL = os.environ.get("RLLAVA_SUPERCLEVR")


@pytest.mark.skipif(REAL is None, reason="RLLAVA_SUPERCLEVR names no folder with the real questions")
def test_the_real_questions_are_200_with_counts_from_3_to_10() -> None:
    items = load(REAL)
    counts = Counter(item.answer for item in items)
    assert len(items) == 200
    assert (min(counts), max(counts), counts[3], counts[5], max(counts.values())) == (3, 10, 30, 30, 30)


@pytest.mark.skipif(REAL is None, reason="RLLAVA_SUPERCLEVR names no folder with the real questions")
def test_the_real_scenes_that_are_there_decode_and_a_missing_one_is_named() -> None:
    assert REAL is not None
    there = sorted((Path(REAL) / "images").glob("*.png"))
    for path in there:
        picture = Picture(lambda path=path: f"images/{path.name}", path.name, Path(REAL), Path(REAL))
        assert picture.pixels().shape == (480, 640, 3)
    for item in load(REAL):
        name = item.picture.read()
        if not (Path(REAL) / name).exists():
            with pytest.raises(DatasetError, match=r"row \d+, field 'image_path'.*which is not there\. Fetch images"):
                item.picture.pixels()
