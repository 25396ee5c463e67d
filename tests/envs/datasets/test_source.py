"""Where data are found: folders, files, hub names; and what is said where they are not."""

import logging
import sys
from pathlib import Path

import pytest

from envs.core.errors import DatasetError, MissingExtraError
from envs.datasets import source
from envs.datasets.sample import image_cell, scene, write_json, write_picture, write_shards
from envs.datasets.source import Published, Source, locate, note_size, open_rows

SET = Published("Fruit", "owner/fruit", {"train": 4, "test": 2}, "Put the fruit into FOLDER.")
ALONE = Published("Seeds", "owner/seeds", {"test": 2})
ROWS = [{"a": "x"}, {"a": "y"}]


def texts(data: str | None, part: str, published: Published = SET) -> list[str]:
    rows = open_rows(locate(data, published, part), ("a",))
    return [row.text("a") for row in rows]


@pytest.mark.parametrize("name", ["train.jsonl", "train.json", "data/train.jsonl", "data/train.json"])
def test_a_folder_holds_a_part_as_json(name: str, tmp_path: Path) -> None:
    write_json(tmp_path / name, ROWS)
    assert texts(str(tmp_path), "train") == ["x", "y"]


@pytest.mark.parametrize("folder", ["data", "."])
def test_a_folder_holds_a_part_as_shards_in_their_order(folder: str, tmp_path: Path) -> None:
    rows = [{"a": f"{k}"} for k in range(23)]
    write_shards(tmp_path / folder, "train", rows, {"a": "string"}, 12)
    assert texts(str(tmp_path), "train") == [row["a"] for row in rows]


def test_a_folder_may_be_what_save_to_disk_wrote(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    cells = [image_cell(scene("saved", k, 2)[0]) for k in range(2)]
    table = datasets.Dataset.from_dict(
        {"a": ["x", "y"], "p": cells}, features=datasets.Features(a=datasets.Value("string"), p=datasets.Image())
    )
    table.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict(train=table, test=table.select([1])).save_to_disk(str(tmp_path / "several"))
    assert texts(str(tmp_path / "one"), "test", ALONE) == ["x", "y"]
    assert texts(str(tmp_path / "several"), "train") == ["x", "y"]
    assert texts(str(tmp_path / "several"), "test") == ["y"]
    rows = open_rows(locate(str(tmp_path / "several"), SET, "train"), ("a",), ("p",))
    assert [row.picture("p").encoded() for row in rows] == [cell["bytes"] for cell in cells]
    with pytest.raises(DatasetError, match="has no part 'train'"):
        locate(str(tmp_path / "one"), SET, "train")


def test_a_file_is_the_part_that_its_name_says(tmp_path: Path) -> None:
    write_json(tmp_path / "test.jsonl", ROWS)
    write_shards(tmp_path, "train", ROWS, {"a": "string"}, 2)
    assert texts(str(tmp_path / "test.jsonl"), "test") == ["x", "y"]
    assert texts(str(tmp_path / "train-00001-of-00002.parquet"), "train") == ["y"]
    with pytest.raises(DatasetError, match=r"test\.jsonl: by its name this file holds 'test' of Fruit, and 'train' is"):
        locate(str(tmp_path / "test.jsonl"), SET, "train")


def test_a_file_whose_name_says_nothing_is_refused_unless_there_is_one_part(tmp_path: Path) -> None:
    write_json(tmp_path / "x.jsonl", ROWS)
    assert texts(str(tmp_path / "x.jsonl"), "test", ALONE) == ["x", "y"]
    with pytest.raises(DatasetError, match=r"does not tell which part of Fruit it holds. Name it train\.jsonl"):
        locate(str(tmp_path / "x.jsonl"), SET, "train")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a\n")
    with pytest.raises(DatasetError, match=r"\.parquet, \.jsonl or \.json; got 'train\.csv'"):
        locate(str(tmp_path / "train.csv"), SET, "train")


def test_a_missing_shard_is_an_error_as_items_would_get_other_numbers(tmp_path: Path) -> None:
    write_shards(tmp_path / "data", "train", ROWS * 4, {"a": "string"}, 4)
    (tmp_path / "data" / "train-00002-of-00004.parquet").unlink()
    with pytest.raises(DatasetError, match="1 of 4 shards of 'train' are missing, the first is number 00002"):
        locate(str(tmp_path), SET, "train")


def test_an_empty_folder_says_what_was_looked_for_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        locate(str(tmp_path), SET, "train")
    said = str(caught.value)
    for part in ("Fruit", str(tmp_path), "'train'", "data/train-*.parquet", "train.jsonl", "hf download owner/fruit"):
        assert part in said
    assert said.endswith("Put the fruit into FOLDER.")


@pytest.mark.parametrize(
    "name", ["nowhere", "/no/such/folder", "./a/b", "no.jsonl", "a/b/c", "owner/fr uit", "~/no/such"]
)
def test_what_is_neither_there_nor_a_hub_name_is_refused(name: str) -> None:
    with pytest.raises(DatasetError, match=r"is no folder, no file and no hub name\. To have Fruit: `hf download"):
        locate(name, SET, "train")


def test_nothing_is_fetched_before_rows_are_asked_for() -> None:
    found = locate(None, SET, "train")
    assert (found.hub, found.part, found.files) == ("owner/fruit", "train", ())
    assert locate("mine/fruit", SET, "train").hub == "mine/fruit"


class Hub:
    """Stands for the library `datasets`."""

    def __init__(self, answer: object) -> None:
        self.asked: list[tuple[object, ...]] = []
        self._answer = answer

    def load_dataset(self, name: str, config: str | None, split: str) -> object:
        self.asked.append((name, config, split))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_a_hub_name_is_read_through_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    hub = Hub(datasets.Dataset.from_list(ROWS))
    monkeypatch.setattr(source, "library", lambda name: hub)
    configured = Published("Fruit", "owner/fruit", {"train": 2}, config="apples")
    rows = open_rows(locate(None, configured, "train"), ("a",))
    assert [row.text("a") for row in rows] == ["x", "y"]
    assert rows.where(1) == "owner/fruit (train), row 2"
    assert hub.asked == [("owner/fruit", "apples", "train")]


@pytest.mark.parametrize(
    "error", [ConnectionError("no route\nto the hub"), FileNotFoundError("no such set"), ValueError("Unknown split")]
)
def test_a_hub_that_fails_says_why_what_to_fetch_and_where_to_put_it(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "library", lambda name: Hub(error))
    with pytest.raises(DatasetError) as caught:
        open_rows(locate(None, SET, "train"), ("a",))
    said = str(caught.value)
    assert f"Fruit: 'owner/fruit' could not be read ({type(error).__name__}: {str(error).splitlines()[0]})" in said
    assert "hf download owner/fruit --repo-type dataset --local-dir FOLDER" in said
    assert caught.value.__suppress_context__


def test_without_network_the_real_library_gives_the_same_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    nowhere = Published("Fruit", "rllava-gym/there-is-no-such-set", {"train": 2})
    with pytest.raises(DatasetError, match="Fruit: 'rllava-gym/there-is-no-such-set' could not be read"):
        open_rows(locate(None, nowhere, "train"), ("a",))


def test_without_datasets_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rllava-gym\[data\]'"):
        open_rows(Source("Fruit", "train", hub="owner/fruit"), ("a",))


def test_loose_files_of_the_hub_are_fetched_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "datasets--owner--fruit" / "snapshots" / "abc"
    blobs = tmp_path / "datasets--owner--fruit" / "blobs"
    write_picture(blobs / "0f", scene("loose", 0, 2)[0])
    write_json(snapshot / "list.json", [{"a": "x", "p": "1.png"}])
    (snapshot / "1.png").symlink_to(blobs / "0f")

    class Files:
        @staticmethod
        def snapshot_download(name: str, repo_type: str, allow_patterns: list[str]) -> str:
            assert (name, repo_type, allow_patterns) == ("owner/fruit", "dataset", ["list.json", "*.png"])
            return str(snapshot)

    monkeypatch.setattr(source, "library", lambda name: Files)
    loose = Published("Fruit", "owner/fruit", {"test": 1}, "", {"test": ("list.json",)}, loose=("list.json", "*.png"))
    rows = open_rows(locate(None, loose, "test"), ("a", "p"))
    # The hub's cache keeps files as links into its blobs; these, and no others, may be followed out of the snapshot.
    assert next(iter(rows)).picture("p").pixels().shape == (64, 96, 3)


def test_a_changed_file_is_another_source(tmp_path: Path) -> None:
    write_json(tmp_path / "train.jsonl", ROWS)
    before = locate(str(tmp_path), SET, "train")
    assert locate(str(tmp_path), SET, "train") == before
    write_json(tmp_path / "train.jsonl", [*ROWS, {"a": "z"}])
    assert locate(str(tmp_path), SET, "train") != before


def test_another_number_of_rows_than_published_is_told_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        note_size(SET, "train", 4)
        assert not caplog.records
        note_size(SET, "train", 3)
    assert caplog.messages == ["Fruit, train: 3 rows; the published set has 4"]
