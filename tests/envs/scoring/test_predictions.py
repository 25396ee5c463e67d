"""Reading files of predictions."""

import json
from pathlib import Path

import pytest

from envs.core.errors import DatasetError
from envs.scoring.predictions import answer_of, golds, read, said


def write(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def test_a_list_an_object_with_rows_and_json_lines_are_read(tmp_path: Path) -> None:
    rows = [{"pred_answer": "a"}, {"pred_answer": None}]
    for path in (
        write(tmp_path, "list.json", rows),
        write(tmp_path, "results.json", {"accuracy": 1.0, "results": rows}),
        write(tmp_path, "details.json", {"dataset": "x", "details": rows}),
        write(tmp_path, "lines.jsonl", "".join(json.dumps(row) + "\n\n" for row in rows)),
    ):
        assert [said(row, "pred_answer") for row in read(path)] == ["a", None]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[{]", r"a\.json: expected JSON; .* at line 1, column 3"),
        ("a.json", '{"x": 1}\n{"x": 2}', r"a\.json: expected JSON; .*name the file \.jsonl"),
        ("a.jsonl", '{"x": 1}\n\n{"x": }', r"a\.jsonl, line 3: expected JSON"),
        ("a.json", [{"x": 1}, [2]], r"a\.json, row 2: expected an object with fields; got list"),
        ("a.json", {"x": []}, r"a\.json: expected a list of rows, or an object with one under 'results' or 'details'"),
        ("a.json", [], r"a\.json: expected at least one row"),
        ("a.json", "[" * 100_000, r"a\.json: expected JSON"),
    ],
)
def test_a_malformed_file_names_the_file_and_the_row(tmp_path: Path, name: str, content: object, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(write(tmp_path, name, content))


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'["\xff"]')
    with pytest.raises(DatasetError, match=r"a\.json: expected UTF-8; byte 3 is not"):
        read(tmp_path / "a.json")
    with pytest.raises(DatasetError, match="no such file"):
        read(tmp_path / "b.json")


def test_a_wrong_field_is_named_with_its_row(tmp_path: Path) -> None:
    first, second, third = read(
        write(tmp_path, "a.json", [{"gt": "x"}, {"pred_answer": 4, "gt": []}, {"gt": ["x", 3]}])
    )
    with pytest.raises(DatasetError, match=r"a\.json, row 1: the field 'pred_answer' is missing; the row has 'gt'"):
        said(first, "pred_answer")
    with pytest.raises(DatasetError, match=r"a\.json, row 2, field 'pred_answer': expected a text, or null"):
        said(second, "pred_answer")
    with pytest.raises(DatasetError, match=r"a\.json, row 2, field 'gt'"):
        golds(second, "gt")
    with pytest.raises(DatasetError, match=r"a\.json, row 3, field 'gt'"):
        golds(third, "gt")
    assert golds(first, "gt") == ("x",)


def test_the_answer_is_the_one_in_tags_or_all_of_a_text_without_tags() -> None:
    assert answer_of("<think>a</think> <answer> 4\n</answer>") == " 4\n"
    assert answer_of("It is 4.") == "It is 4."
    for text in ("<answer>3</answer><answer>4</answer>", "<answer>4", "4</answer>", "", " \n"):
        assert answer_of(text) is None
