"""Figures are kept until they are measured again, and every row has what a reader of the file counts on."""

import json
from dataclasses import replace
from pathlib import Path


def test_a_row_that_is_not_measured_again_stays_with_its_commit(tmp_path: Path) -> None:
    from steps.rows import Results, Row, read

    old = Results("a machine", "old", (Row("one", 1.0, "s", commit="old"), Row("two", 2.0, "s", commit="old")))
    old.write(tmp_path / "results.json")
    new = replace(read(tmp_path / "results.json"), commit="new").with_rows(
        [Row("three", 3.0, "s", commit="new"), Row("two", 2.5, "s", 5.0, 2.0, spread=(1.9, 2.1), commit="new")]
    )
    new.write(tmp_path / "results.json")
    kept = json.loads((tmp_path / "results.json").read_text())
    assert kept["commit"] == "new"
    assert [(row["name"], row["value"], row["commit"]) for row in kept["rows"]] == [
        ("one", 1.0, "old"),
        ("two", 2.5, "new"),
        ("three", 3.0, "new"),
    ]
    assert list(read(tmp_path / "results.json").rows[1].spread) == [1.9, 2.1]


def test_every_row_has_the_five_fields_even_where_nothing_is_compared(tmp_path: Path) -> None:
    from steps.rows import Results, Row

    Results("a machine", "abc", (Row("alone", 1.0, "s"),)).write(tmp_path / "results.json")
    (row,) = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert row == {"name": "alone", "value": 1.0, "unit": "s", "baseline": None, "ratio": None, "kind": "step"}


def test_without_a_file_there_are_no_rows(tmp_path: Path) -> None:
    from steps.rows import read

    assert read(tmp_path / "results.json").rows == ()
