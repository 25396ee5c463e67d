"""MAT-Coding: its form, which picture an episode begins with, and its malformed files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.core.errors import DatasetError
from envs.datasets.mat_coding import KINDS, load, write_sample
from envs.datasets.sample import write_json


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mat_coding")
    write_sample(folder)
    return folder


def test_the_sample_has_every_kind_and_both_difficulties(sample: Path) -> None:
    items = load(str(sample))
    assert {kind for item in items for kind in item.kinds} == set(KINDS)
    assert [item.difficulty for item in items] == ["simple"] * 7 + ["hard"] * 5
    assert items[0].answers == ("2", "2 bars")


def test_a_crop_begins_with_the_original_picture_and_others_with_the_processed_one(sample: Path) -> None:
    for item in load(str(sample)):
        assert item.picture is (item.original if item.kinds == ("crop",) else item.processed)
        same = np.array_equal(item.original.pixels(), item.processed.pixels())
        assert same == (item.kinds in (("crop",), ("none",)))


def test_a_rotation_by_90_degrees_turns_the_picture_on_its_side(sample: Path) -> None:
    first = load(str(sample))[0]
    assert first.kinds == ("rotation90",)
    assert np.array_equal(np.rot90(first.original.pixels()), first.processed.pixels())


GOOD = {
    "id": 1,
    "question": "What is the serving size?",
    "answers": ["1 Can (473ml)"],
    "ori_image_path": "rotation180_1_ori.png",
    "processed_image_path": "rotation180_1_proc.png",
    "type": ["rotation180"],
    "split": "simple",
}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        *(({k: v for k, v in GOOD.items() if k != name}, f"field {name!r}: it is missing") for name in GOOD),
        (GOOD | {"answers": "1 Can"}, "field 'answers': expected a list of one or more texts"),
        (GOOD | {"answers": []}, "field 'answers': expected a list of one or more texts"),
        (GOOD | {"type": "rotation180"}, "field 'type': expected a list"),
        (GOOD | {"type": ["rotation45"]}, "field 'type': expected one or two different ones of rotation90"),
        (GOOD | {"type": ["dark", "dark"]}, "field 'type': expected one or two different ones"),
        (GOOD | {"type": ["dark", "blur", "crop"]}, "field 'type': expected one or two different ones"),
        (GOOD | {"split": "easy"}, "field 'split': expected one of simple, hard"),
    ],
)
def test_a_malformed_row_is_named(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_json(tmp_path / "MAT-Coding.json", [GOOD, row])
    with pytest.raises(DatasetError) as caught:
        load(str(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path}/MAT-Coding.json, row 2, {message}")


def test_a_missing_picture_says_where_it_goes(tmp_path: Path) -> None:
    write_json(tmp_path / "MAT-Coding.json", [GOOD])
    with pytest.raises(
        DatasetError, match=r"row 1, field 'processed_image_path'.*MAT-Coding-image/ of the hub data set"
    ):
        load(str(tmp_path))[0].picture.pixels()


def test_a_missing_set_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"hf download laolao77/MAT .*MAT-Benchmark/MAT-Coding-image/"):
        load(str(tmp_path))
