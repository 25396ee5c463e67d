"""2WikiMultihopQA, HotpotQA, MuSiQue, Bamboogle: their form, and their malformed files."""

import os
from pathlib import Path
from typing import Any

import pytest

from envs.core.errors import ArgumentError, DatasetError
from envs.datasets import source
from envs.datasets.multihop import DATASETS, FOLDERS, load, write_sample
from envs.datasets.sample import write_json


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("multihop")
    write_sample(folder)
    return folder


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_folder_of_all_the_folder_of_one_and_the_file_are_the_same(dataset: str, sample: Path) -> None:
    items = load(str(sample), "test", dataset)
    assert [item.position for item in items] == list(range(12))
    assert items[3].golden_answers == (f"River {dataset} 3", f"{dataset} 3")
    folder = sample / FOLDERS[dataset]
    assert load(str(folder), "test", dataset) == items
    assert load(str(folder / ("test.jsonl" if dataset == "bamboogle" else "dev.jsonl")), "test", dataset) == items


def test_the_train_part_is_another_one(sample: Path) -> None:
    train, test = load(str(sample), "train", "musique"), load(str(sample), "test", "musique")
    assert not {item.question for item in train} & {item.question for item in test}
    with pytest.raises(ArgumentError, match="bamboogle has no train part"):
        load(str(sample), "train", "bamboogle")


def test_a_folder_of_another_of_the_four_is_refused(sample: Path) -> None:
    for data in (sample / "hotpotqa", sample / "hotpotqa" / "dev.jsonl"):
        with pytest.raises(DatasetError, match="dataset='musique' is asked for, and by its name this is hotpotqa"):
            load(str(data), "test", "musique")


def test_the_hub_is_asked_for_the_configuration_of_the_set(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Hub:
        @staticmethod
        def load_dataset(*what: Any, **more: Any) -> None:
            asked.append((what, more))
            raise ConnectionError("no network")

    monkeypatch.setattr(source, "library", lambda name: Hub)
    with pytest.raises(DatasetError, match=r"hf download RUC-NLPIR/FlashRAG_datasets .*FOLDER/2wikimultihopqa"):
        load(None, "test", "2wiki")
    assert asked == [(("RUC-NLPIR/FlashRAG_datasets", "2wikimultihopqa"), {"split": "dev"})]


GOOD = {"id": "dev_0", "question": "Who?", "golden_answers": ["James Madison"]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        *(({k: v for k, v in GOOD.items() if k != name}, f"field {name!r}: it is missing") for name in GOOD),
        (GOOD | {"question": ""}, "field 'question': expected a text"),
        (GOOD | {"golden_answers": "James Madison"}, "field 'golden_answers': expected a list of one or more texts"),
        (GOOD | {"golden_answers": []}, "field 'golden_answers': expected a list of one or more texts"),
        (GOOD | {"golden_answers": [1809]}, "field 'golden_answers': expected texts that are not blank"),
    ],
)
def test_a_malformed_row_is_named(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_json(tmp_path / "dev.jsonl", [GOOD, row])
    with pytest.raises(DatasetError) as caught:
        load(str(tmp_path), "test", "hotpotqa")
    assert str(caught.value).startswith(f"{tmp_path}/dev.jsonl, row 2, {message}")


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "dev.jsonl").write_text('{"id": "a", "question": "b?", "golden_answers": ["c"]}\n{"id": "a", \n')
    with pytest.raises(DatasetError, match=r"dev\.jsonl, row 2: expected JSON"):
        load(str(tmp_path), "test", "hotpotqa")


BAMBOOGLE, PASSAGES = os.environ.get("RLLAVA_BAMBOOGLE"), os.environ.get("RLLAVA_WIKI_PASSAGES")


@pytest.mark.skipif(BAMBOOGLE is None, reason="RLLAVA_BAMBOOGLE names no file with the real questions")
def test_the_real_bamboogle_has_125_questions() -> None:
    items = load(BAMBOOGLE, "test", "bamboogle")
    assert len(items) == 125
    assert (items[0].id, items[0].golden_answers) == ("dev_0", ("james madison",))


@pytest.mark.skipif(PASSAGES is None, reason="RLLAVA_WIKI_PASSAGES names no folder with questions.jsonl")
def test_the_real_questions_about_passages_are_read() -> None:
    items = load(PASSAGES, "test", "2wiki")
    assert len(items) == 1286
    assert items[0].golden_answers == ("Bres R\u00ed", "Bres Ri")
