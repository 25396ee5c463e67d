"""RefCOCO, RefCOCO+, RefCOCOg: both published layouts, and their malformed files."""

from pathlib import Path
from typing import Any

import pytest

from envs.core.errors import ArgumentError, DatasetError
from envs.core.images import image_hash
from envs.datasets.refcoco import ASK, DATASETS, PARTS, STEMS, load, write_sample
from envs.datasets.sample import image_cell, scene, write_json, write_picture, write_shards

FEATURES = {"question": "string", "bbox": "string", "image": "image", "image_size": "int64s"}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refcoco")
    write_sample(folder)
    return folder


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_part_is_read_in_the_published_order(dataset: str, sample: Path) -> None:
    for part in PARTS[dataset]:
        items = load(str(sample), part, dataset)
        assert [item.position for item in items] == list(range(16))
        assert {item.part for item in items} == {part}
        for item in items[:4]:
            picture, boxes = scene(f"{STEMS[dataset]} {part}", item.position // 2, 3 + item.position // 2 % 3)
            assert item.box == boxes[item.position % 2]
            assert item.picture.pixels().tolist() == picture.tolist()
            assert item.question.startswith(ASK + "thing on the ")


@pytest.mark.parametrize("dataset", DATASETS)
def test_parts_share_no_picture(dataset: str, sample: Path) -> None:
    seen = [{image_hash(i.picture.pixels()) for i in load(str(sample), part, dataset)} for part in PARTS[dataset]]
    assert len(set.union(*seen)) == 8 * len(PARTS[dataset])


def test_the_two_layouts_give_equal_items(tmp_path: Path) -> None:
    picture, boxes = scene("both", 0, 3)
    write_picture(tmp_path / "coco" / "a.png", picture)
    box = list(boxes[0])
    scaled = [round(1000 * edge / (96, 64)[k % 2]) for k, edge in enumerate(box)]
    row = {"image": "coco/a.png", "problem": ASK + "it", "solution": box, "normalized_solution": scaled}
    write_json(tmp_path / "rec_jsons_processed" / "refcoco_val.json", [row])
    hub = {"question": "it", "bbox": str(box), "image": image_cell(picture), "image_size": [96, 64]}
    write_shards(tmp_path / "hub" / "refcoco" / "data", "val", [hub], FEATURES)
    assert load(str(tmp_path), "val") == load(str(tmp_path / "hub"), "val")


def test_edges_from_0_to_1000_are_rounded_and_never_empty(tmp_path: Path) -> None:
    picture = image_cell(scene("thin", 0, 1)[0])
    row = {"question": "it", "bbox": "[10.0, 20.0, 10.4, 21.0]", "image": picture, "image_size": [2000, 3000]}
    write_shards(tmp_path / "refcoco" / "data", "val", [row], FEATURES)
    assert load(str(tmp_path), "val")[0].normalized == (5.0, 7.0, 6.0, 8.0)


def test_the_data_sets_are_not_taken_for_each_other(sample: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "refcoco_val.json", [])
    with pytest.raises(DatasetError, match=r"^RefCOCO\+: .*has no part 'val'; looked for refcocop_val\.json"):
        load(str(tmp_path), "val", "refcoco+")
    with pytest.raises(DatasetError, match="by its name this file holds 'val' of RefCOCO, and 'testA' is asked for"):
        load(str(sample / "refcoco_val.json"), "testA")
    with pytest.raises(DatasetError, match="does not tell which part of RefCOCOg it holds"):
        load(str(sample / "refcoco_val.json"), "val", "refcocog")


GOOD = {"image": "a.png", "problem": "Where?", "solution": [1, 2, 30, 40], "normalized_solution": [10, 31, 312, 625]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        *(({k: v for k, v in GOOD.items() if k != name}, f"field {name!r}: it is missing") for name in GOOD),
        (GOOD | {"problem": None}, "field 'problem': expected a text"),
        (GOOD | {"solution": [1, 2, 30]}, "field 'solution': expected a list of 4 finite numbers"),
        (GOOD | {"solution": [30, 2, 1, 40]}, "field 'solution': expected x1, y1, x2, y2 with x1 < x2"),
        (GOOD | {"solution": "1 2 30 40"}, "field 'solution': expected a list of 4 numbers"),
        (GOOD | {"normalized_solution": [10, 31, 312, 6250]}, "field 'normalized_solution': expected four numbers"),
        (GOOD | {"image": None}, "field 'image': expected a picture"),
    ],
)
def test_a_malformed_row_is_named(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_json(tmp_path / "refcoco_val.json", [GOOD, row])
    with pytest.raises(DatasetError) as caught:
        load(str(tmp_path), "val")
    assert str(caught.value).startswith(f"{tmp_path}/refcoco_val.json, row 2, {message}")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bbox": "[1, 2, 300, 40]"}, "field 'bbox': expected x1, y1, x2, y2 inside the picture, which is 96 x 64"),
        ({"bbox": "here"}, "field 'bbox': expected a list of 4 numbers"),
        ({"image_size": [96]}, "field 'image_size': expected a list of 2 finite numbers"),
        ({"image_size": [0, 64]}, "field 'image_size': expected a width and a height"),
        ({"question": ""}, "field 'question': expected a text"),
    ],
)
def test_a_malformed_row_of_the_hubs_layout_is_named(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    picture = image_cell(scene("a", 0, 3)[0])
    good = {"question": "it", "bbox": "[1, 2, 30, 40]", "image": picture, "image_size": [96, 64]}
    write_shards(tmp_path / "refcoco" / "data", "val", [good, good | changed], FEATURES)
    with pytest.raises(DatasetError) as caught:
        load(str(tmp_path), "val")
    assert str(caught.value).startswith(f"{tmp_path}/refcoco/data/val-00000-of-00001.parquet, row 2, {message}")


@pytest.mark.parametrize(("image", "message"), [("gone.jpg", "Fetch train2014.zip"), ("../a.png", "without '..'")])
def test_a_missing_photograph_says_what_to_fetch(image: str, message: str, tmp_path: Path) -> None:
    write_json(tmp_path / "refcoco_val.json", [GOOD | {"image": image}])
    with pytest.raises(DatasetError) as caught:
        load(str(tmp_path), "val")[0].picture.pixels()
    assert str(caught.value).startswith(f"{tmp_path}/refcoco_val.json, row 1, field 'image': expected ")
    assert message in str(caught.value)


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_missing_set_says_what_to_fetch_and_where_to_put_it(dataset: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        load(str(tmp_path), "val", dataset)
    said = str(caught.value)
    assert f"hf download Kangheng/{STEMS[dataset]} " in said
    assert f"FOLDER/{STEMS[dataset]}" in said
    assert "omlab/VLM-R1" in said


def test_a_part_that_a_data_set_does_not_have_is_refused() -> None:
    with pytest.raises(ArgumentError, match="'train', 'val', 'test'; got 'testA'"):
        load(None, "testA", "refcocog")
    with pytest.raises(ArgumentError, match="dataset must be one of 'refcoco', 'refcoco\\+', 'refcocog'"):
        load(None, "val", "refclef")
