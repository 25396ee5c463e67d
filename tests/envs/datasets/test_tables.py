"""The forms of tables: JSON lines, JSON, parquet, Arrow; and how broken ones are named."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from envs.core.errors import DatasetError, MissingExtraError
from envs.datasets import tables
from envs.datasets.sample import image_cell, scene, write_json, write_parquet
from envs.datasets.tables import ArrowRows, JsonRows, ParquetRows

WANTED = frozenset({"a", "picture"})


def test_json_lines_and_a_json_list_give_the_same_rows(tmp_path: Path) -> None:
    rows = [{"a": "ä", "b": 1}, {"a": "z"}]
    write_json(tmp_path / "x.jsonl", rows)
    write_json(tmp_path / "x.json", rows)
    read = [[(dict(r.values(i)), list(r.names(i))) for i in range(2)] for r in both(tmp_path)]
    assert read[0] == read[1] == [({"a": "ä"}, ["a", "b"]), ({"a": "z"}, ["a"])]


def both(folder: Path) -> list[JsonRows]:
    return [JsonRows(folder / "x.jsonl", WANTED), JsonRows(folder / "x.json", WANTED)]


def test_the_row_of_json_lines_is_the_number_of_the_line(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n\n  \n{"a": 2}\n')
    rows = JsonRows(tmp_path / "x.jsonl", WANTED)
    assert [rows.where(i) for i in range(len(rows))] == [f"{tmp_path}/x.jsonl, row 1", f"{tmp_path}/x.jsonl, row 4"]


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf[{"a": 1}]')
    assert JsonRows(tmp_path / "x.json", WANTED).values(0) == {"a": 1}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", b'{"a": 1}\n{"a": }\n', "x.jsonl, row 2: expected JSON; Expecting value at column 7"),
        ("x.jsonl", b'{"a": 1}\n[1]\n', "x.jsonl, row 2: expected an object with fields; got list"),
        ("x.jsonl", b'{"a": 1}\n{"a": NaN}\n', "x.jsonl, row 2: expected JSON; NaN is no JSON"),
        ("x.jsonl", b'{"a": "\xff"}\n', "x.jsonl, row 1: expected UTF-8; byte 8 is not"),
        ("x.jsonl", b"[" * 100_000, "x.jsonl, row 1: expected JSON"),
        ("x.json", b'[{"a": 1},\n {"a": }]', "x.json: expected JSON; Expecting value at line 2, column 8"),
        ("x.json", b'{"a": 1}\n{"a": 2}\n', "Is this one object a line? Then name the file .jsonl"),
        ("x.json", b'{"a": 1}', "x.json: expected a list of objects, one a row; got dict"),
        ("x.json", b'[{"a": 1}, 2]', "x.json, row 2: expected an object with fields; got int"),
        ("x.json", b"", "x.json: expected JSON"),
    ],
)
def test_broken_json_is_named_by_file_and_place(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        JsonRows(tmp_path / name, WANTED)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert message in str(caught.value)


def parquet(path: Path, first: int, rows: int) -> list[dict[str, Any]]:
    table = [{"a": f"row {first + k}", "picture": image_cell(scene("tables", first + k, 3)[0])} for k in range(rows)]
    write_parquet(path, table, {"a": "string", "picture": "image"})
    return table


def test_parquet_shards_are_one_table_with_rows_counted_in_each_file(tmp_path: Path) -> None:
    paths = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    written = parquet(paths[0], 0, 12) + parquet(paths[1], 12, 7)
    rows = ParquetRows(paths, WANTED, frozenset({"picture"}))
    assert len(rows) == 19
    assert [dict(rows.values(i)) for i in range(19)] == [{"a": row["a"]} for row in written]
    # In an order that leaves and enters row groups of five and both files.
    for i in (18, 0, 4, 5, 11, 12, 17, 6):
        assert rows.heavy(i, "picture") == written[i]["picture"]
    assert rows.where(11) == f"{paths[0]}, row 12"
    assert rows.where(12) == f"{paths[1]}, row 1"
    assert rows.names(0) == ("a", "picture")


def test_what_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DatasetError, match=r"x\.parquet: expected a parquet file"):
        ParquetRows([tmp_path / "x.parquet"], WANTED, frozenset())


def test_a_parquet_file_that_ends_early_is_named_by_row_and_field(tmp_path: Path) -> None:
    parquet(tmp_path / "x.parquet", 0, 12)
    whole = bytearray((tmp_path / "x.parquet").read_bytes())
    at = whole.index(b"\x89PNG")
    whole[at - 200 : at + 2000] = bytes(2200)  # the first pages of the pictures
    (tmp_path / "x.parquet").write_bytes(whole)
    with pytest.raises(DatasetError, match=r"x\.parquet"):
        ParquetRows([tmp_path / "x.parquet"], WANTED, frozenset({"picture"})).heavy(0, "picture")


def test_datasets_reads_the_samples_as_pictures_and_gives_us_their_bytes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    written = parquet(tmp_path / "x.parquet", 0, 6)
    table = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "x.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert table[2]["picture"].size == (96, 64)
    rows = ArrowRows(table, "owner/name (train)", WANTED, frozenset({"picture"}))
    assert [dict(rows.values(i)) for i in range(6)] == [{"a": row["a"]} for row in written]
    assert rows.heavy(2, "picture") == written[2]["picture"]
    assert rows.where(2) == "owner/name (train), row 3"


def test_a_missing_library_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"needs pyarrow.*pip install 'rllava-gym\[data\]'"):
        tables.library("pyarrow.parquet")


def test_json_is_written_as_it_is_published(tmp_path: Path) -> None:
    write_json(tmp_path / "x.jsonl", [{"a": "发票"}])
    assert (tmp_path / "x.jsonl").read_text(encoding="utf-8") == '{"a": "发票"}\n'
    write_json(tmp_path / "x.json", [{"a": 1}])
    assert json.loads((tmp_path / "x.json").read_text()) == [{"a": 1}]
