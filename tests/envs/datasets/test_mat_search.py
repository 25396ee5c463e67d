"""MAT-Search: its form, its difficulties, and its malformed files."""

from pathlib import Path
from typing import Any

import pytest

from envs.core.errors import DatasetError
from envs.datasets.mat_search import load, write_sample
from envs.datasets.sample import write_json


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mat_search")
    write_sample(folder)
    return folder


def test_the_first_75_items_are_simple_and_the_rest_hard(sample: Path) -> None:
    items = load(str(sample))
    assert [item.difficulty for item in items] == ["simple"] * 75 + ["hard"] * 5
    assert [item.id for item in items] == [str(number + 1) for number in range(80)]
    assert (items[0].answer, items[1].answer, items[2].answer) == ("1", "No", "River 3")
    assert items[79].picture.pixels().shape == (64, 96, 3)


def test_the_folder_as_fetched_the_benchmark_folder_and_the_file_are_the_same(tmp_path: Path) -> None:
    write_sample(tmp_path / "MAT-Benchmark")
    items = load(str(tmp_path))
    assert load(str(tmp_path / "MAT-Benchmark")) == items
    assert load(str(tmp_path / "MAT-Benchmark" / "MAT-Search.json")) == items


GOOD = {"id": 1, "question": "Which river?", "answer": "The Elbe", "image_path": "1.png"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        *(({k: v for k, v in GOOD.items() if k != name}, f"field {name!r}: it is missing") for name in GOOD),
        (GOOD | {"id": None}, "field 'id': expected a text"),
        (GOOD | {"question": 3}, "field 'question': expected a text"),
        (GOOD | {"answer": ["The Elbe"]}, "field 'answer': expected a text"),
        (GOOD | {"image_path": None}, "field 'image_path': expected a picture"),
    ],
)
def test_a_malformed_row_is_named(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_json(tmp_path / "MAT-Search.json", [GOOD, row])
    with pytest.raises(DatasetError) as caught:
        load(str(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path}/MAT-Search.json, row 2, {message}")


def test_an_item_that_was_published_without_an_answer_keeps_its_place(tmp_path: Path) -> None:
    write_json(tmp_path / "MAT-Search.json", [GOOD, GOOD | {"id": 2, "answer": ""}, GOOD | {"id": 3}])
    assert [item.answer for item in load(str(tmp_path))] == ["The Elbe", "", "The Elbe"]


@pytest.mark.parametrize(("name", "message"), [("1.png", "laolao77/MAT"), ("../1.png", "without '..'")])
def test_a_missing_picture_says_where_it_goes(name: str, message: str, tmp_path: Path) -> None:
    write_json(tmp_path / "MAT-Search.json", [GOOD | {"image_path": name}])
    with pytest.raises(DatasetError) as caught:
        load(str(tmp_path))[0].picture.pixels()
    assert str(caught.value).startswith(f"{tmp_path}/MAT-Search.json, row 1, field 'image_path': expected ")
    assert message in str(caught.value)


def test_a_missing_set_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"hf download laolao77/MAT .*MAT-Benchmark/MAT-Search-image/"):
        load(str(tmp_path))
