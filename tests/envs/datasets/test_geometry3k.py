"""Geometry3K: its forms, its splits, and its malformed files."""

import json
from pathlib import Path
from typing import Any

import pytest

from envs.core.errors import DatasetError
from envs.core.images import image_hash
from envs.datasets.geometry3k import SPLITS, load, write_sample
from envs.datasets.sample import image_cell, scene, write_json, write_picture, write_shards


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("geometry")
    write_sample(folder)
    return folder


def test_the_sample_is_read_in_the_published_order(sample: Path) -> None:
    items = load(str(sample), "validation")
    assert [(item.question, item.answer) for item in items[:4]] == [
        ("Find x.", "8"),
        ("Find the length of the diagonal.", "3 \\sqrt { 2 }"),
        ("Find y. Round to the nearest tenth.", "4.5"),
        ("Find the value of the ratio.", "\\frac { 5 } { 11 }"),
    ]
    assert [len(load(str(sample), split)) for split in SPLITS] == [24, 12, 12]


def test_the_splits_share_no_diagram(sample: Path) -> None:
    seen = [{image_hash(item.picture.pixels()) for item in load(str(sample), split)} for split in SPLITS]
    assert len(set.union(*seen)) == sum(map(len, seen)) == 48


def test_parquet_and_json_lines_give_equal_items(sample: Path, tmp_path: Path) -> None:
    items, rows = load(str(sample), "test"), []
    for item in items:
        write_picture(tmp_path / f"{item.position}.png", item.picture.pixels())
        rows.append({"images": [f"{item.position}.png"], "problem": f"<image>{item.question}", "answer": item.answer})
    write_json(tmp_path / "test.jsonl", rows)
    assert load(str(tmp_path), "test") == items


GOOD = {"problem": "<image>Find x.", "answer": "8", "images": ["a.png"]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        *(({k: v for k, v in GOOD.items() if k != name}, f"field {name!r}: it is missing") for name in GOOD),
        (GOOD | {"problem": " "}, "field 'problem': expected a text"),
        (GOOD | {"answer": 8}, "field 'answer': expected a text"),
        (GOOD | {"answer": "\udc00"}, "field 'answer': expected text that can be written as UTF-8"),
    ],
)
def test_a_malformed_row_is_named(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in (GOOD, row)))  # surrogates escaped
    with pytest.raises(DatasetError) as caught:
        load(str(tmp_path), "train")
    assert str(caught.value).startswith(f"{tmp_path}/train.jsonl, row 2, {message}")


def test_a_bad_picture_is_named_by_shard_row_and_field(sample: Path, tmp_path: Path) -> None:
    rows = [
        {"images": [image_cell(scene("x", 0, 2)[0])], "problem": "<image>Find x.", "answer": "8"},
        {"images": [{"bytes": b"no picture", "path": None}], "problem": "<image>Find x.", "answer": "8"},
    ]
    write_shards(tmp_path / "data", "test", rows, {"images": "images", "problem": "string", "answer": "string"})
    good, bad = load(str(tmp_path), "test")
    assert good.picture.pixels().shape == (64, 96, 3)
    shard = f"{tmp_path}/data/test-00000-of-00001.parquet"
    with pytest.raises(DatasetError, match=f"^{shard}, row 2, field 'images': expected a PNG, JPEG or WebP picture"):
        bad.picture.pixels()


def test_a_missing_set_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"hf download hiyouga/geometry3k .*columns images, problem, answer"):
        load(str(tmp_path), "train")
