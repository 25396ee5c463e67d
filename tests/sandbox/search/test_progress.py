"""How far reading has come, where there is no terminal: a line now and then."""

import itertools
from pathlib import Path

import pytest

from sandbox.search import Passage
from sandbox.search.progress import LINE_SECONDS, rows, told

PASSAGES = [Passage(str(n), "a", "b") for n in range(5000)]


def test_every_few_seconds_a_log_says_how_many_were_read(capsys: pytest.CaptureFixture[str]) -> None:
    clock = itertools.count(0, LINE_SECONDS / 2)
    assert list(told(PASSAGES, 5000, lambda: next(clock))) == PASSAGES
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("2,000 of 5,000 passages read in ") and 1 < len(lines) <= 4


def test_what_is_quickly_read_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(told(PASSAGES, None)) == PASSAGES
    assert capsys.readouterr().err == ""


def test_passages_are_counted_where_that_is_cheap(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n{}\n")
    (tmp_path / "a.json").write_text("[{}, {}]")
    assert [rows(tmp_path / name) for name in ("a.jsonl", "a.json", "none.jsonl")] == [2, None, None]
