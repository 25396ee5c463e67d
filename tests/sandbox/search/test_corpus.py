"""Reading corpora: the two shapes, and what a mistake in them says."""

import json
from pathlib import Path

import pytest

from sandbox.search import CorpusError, Passage, read_corpus


def test_a_list_of_titles_and_texts_is_numbered_by_its_rows(tmp_path: Path) -> None:
    file = tmp_path / "corpus.json"
    file.write_text(json.dumps([{"title": "A", "text": "one"}, {"id": "x", "title": "", "text": "two"}]))
    assert list(read_corpus(file)) == [Passage("1", "A", "one"), Passage("x", "", "two")]


def test_lines_may_have_contents_that_begin_with_the_title(tmp_path: Path) -> None:
    file = tmp_path / "corpus.jsonl"
    lines = [
        {"id": 7, "contents": '"Aaron"\nAaron is a name.\nIt is old.'},
        {"id": "8", "contents": "Bare\ntext"},
        {"id": "9", "contents": '"'},
        {"title": "T", "text": "plain"},
    ]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert list(read_corpus(str(file))) == [
        Passage("7", "Aaron", "Aaron is a name.\nIt is old."),
        Passage("8", "Bare", "text"),
        Passage("9", '"', ""),
        Passage("4", "T", "plain"),
    ]


def test_half_a_surrogate_pair_becomes_a_question_mark(tmp_path: Path) -> None:
    file = tmp_path / "corpus.json"
    file.write_text('[{"title": "a", "text": "b \\ud800 c"}]')
    assert next(read_corpus(file)).text == "b ? c"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.json", "{", r"c\.json is not JSON"),
        ("c.json", "{}", r"c\.json must hold a list of passages; it holds a dict"),
        ("c.json", '[{"title": "a", "text": "b"}, 3]', r"c\.json, row 2 must be an object"),
        ("c.json", '[{"title": "a"}]', r"c\.json, row 1: the field 'text' is missing; it has title"),
        ("c.json", '[{"title": "a", "text": null}]', r"row 1: the field 'text' must be a string; it is a NoneType"),
        ("c.json", '[{"id": true, "title": "a", "text": "b"}]', r"row 1: the field 'id' must be"),
        ("c.jsonl", '{"id": 1, "contents": 2}', r"c\.jsonl, row 1: the field 'contents' must be a string"),
        ("c.jsonl", '{"title": "a", "text": "b"}\nnope', r"c\.jsonl, row 2 is not JSON"),
        ("c.csv", "title,text", r"must end in \.json or \.jsonl"),
    ],
)
def test_a_mistake_is_named_by_file_row_and_field(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(CorpusError, match=message):
        list(read_corpus(tmp_path / name))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"there is no corpus .*none\.json"):
        list(read_corpus(tmp_path / "none.json"))
