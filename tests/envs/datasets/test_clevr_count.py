"""CLEVR-Count: its forms, its splits, and its malformed files."""

from pathlib import Path
from typing import Any

import pytest

from envs.core.errors import ArgumentError, DatasetError
from envs.core.images import image_hash
from envs.datasets import clevr_count
from envs.datasets.clevr_count import SPLITS, load, write_sample
from envs.datasets.sample import scene, write_json, write_picture


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clevr")
    write_sample(folder)
    return folder


def test_the_sample_is_read_in_the_published_order(sample: Path) -> None:
    items = load(str(sample), "test")
    assert [item.answer for item in items] == [3 + number * 7 % 8 for number in range(16)]
    assert {item.question for item in items} == {"How many items are there in the image?"}
    assert items[5].picture.pixels().tolist() == scene("clevr test", 5, items[5].answer)[0].tolist()


def test_validation_is_the_last_tenth_of_the_published_train_part(sample: Path) -> None:
    train, validation = load(str(sample), "train"), load(str(sample), "validation")
    assert (len(train), len(validation)) == (144, 16)
    assert [item.position for item in [*train, *validation]] == list(range(160))


def test_no_more_than_a_thousand_rows_are_held_out(tmp_path: Path) -> None:
    rows = [{"problem": "How many?", "answer": "4", "images": ["a.png"]}] * 10_500
    write_json(tmp_path / "train.jsonl", rows)
    assert (len(load(str(tmp_path), "train")), len(load(str(tmp_path), "validation"))) == (9_500, 1_000)


def test_the_splits_share_no_picture(sample: Path) -> None:
    seen = [{image_hash(item.picture.pixels()) for item in load(str(sample), split)} for split in SPLITS]
    assert [len(s) for s in seen] == [144, 16, 16]
    assert len(set.union(*seen)) == 176


def test_parquet_and_json_lines_give_equal_items(sample: Path, tmp_path: Path) -> None:
    rows = []
    for number in range(16):
        write_picture(tmp_path / "images" / f"{number}.png", scene("clevr test", number, 3 + number * 7 % 8)[0])
        problem = "<image>How many items are there in the image?"
        rows.append({"images": [f"images/{number}.png"], "problem": problem, "answer": 3 + number * 7 % 8})
    write_json(tmp_path / "test.jsonl", rows)
    assert load(str(tmp_path), "test") == load(str(sample), "test")


GOOD = {"problem": "<image>How many?", "answer": "4", "images": ["a.png"]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({k: v for k, v in GOOD.items() if k != "problem"}, "field 'problem': it is missing"),
        ({k: v for k, v in GOOD.items() if k != "answer"}, "field 'answer': it is missing"),
        ({k: v for k, v in GOOD.items() if k != "images"}, "field 'images': it is missing"),
        (GOOD | {"problem": "<image>"}, "field 'problem': expected a question with at most one <image>"),
        (GOOD | {"problem": "<image>a<image>"}, "field 'problem': expected a question with at most one <image>"),
        (GOOD | {"problem": 3}, "field 'problem': expected a text"),
        (GOOD | {"answer": "many"}, "field 'answer': expected a whole number"),
        (GOOD | {"answer": None}, "field 'answer': expected a whole number"),
        (GOOD | {"images": None}, "field 'images': expected a picture"),
    ],
)
def test_a_malformed_row_is_named_when_the_file_is_read(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_json(tmp_path / "test.jsonl", [GOOD, row])
    with pytest.raises(DatasetError) as caught:
        load(str(tmp_path), "test")
    assert str(caught.value).startswith(f"{tmp_path}/test.jsonl, row 2, {message}")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (["gone.png"], "which is not there"),
        (["../out.png"], "without '..'"),
        (["a.png", "a.png"], "exactly one picture"),
        ([], "exactly one picture"),
        (["bad.png"], "a PNG, JPEG or WebP picture"),
        ([3], "expected a picture"),
    ],
)
def test_a_malformed_picture_is_named_when_it_is_decoded(images: list[Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    write_picture(tmp_path / "a.png", scene("a", 0, 3)[0])
    write_json(tmp_path / "test.jsonl", [GOOD, GOOD | {"images": images}])
    good, bad = load(str(tmp_path), "test")
    assert good.picture.pixels().shape == (64, 96, 3)
    with pytest.raises(DatasetError) as caught:
        bad.picture.pixels()
    assert str(caught.value).startswith(f"{tmp_path}/test.jsonl, row 2, field 'images': expected ")
    assert message in str(caught.value)


def test_a_missing_set_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        load(str(tmp_path), "train")
    assert "hf download BUAADreamer/clevr_count_70k" in str(caught.value)
    assert "data/train-00000-of-00021.parquet" in str(caught.value)


def test_too_few_rows_have_no_validation_split(tmp_path: Path) -> None:
    write_json(tmp_path / "train.jsonl", [GOOD] * 9)
    assert len(load(str(tmp_path), "train")) == 9
    with pytest.raises(DatasetError, match="needs 10 train rows; there are 9"):
        load(str(tmp_path), "validation")


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ArgumentError, match="'train', 'validation', 'test'"):
        load(None, "dev")


def test_environments_of_one_process_share_what_was_read(sample: Path) -> None:
    assert load(str(sample), "test") is load(str(sample), "test")
    assert clevr_count.PUBLISHED.parts == {"train": 70_000, "test": 200}
