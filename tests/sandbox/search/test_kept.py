"""An index that is kept as its corpus is."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("tantivy")

from sandbox.search import CorpusError, Index, IndexFolderError, Passage, SearchArgumentError, build_index, kept
from sandbox.search.kept import fingerprint, keep_index

ROOT = Path(__file__).resolve().parents[3]


def write(corpus: Path, texts: list[str]) -> Path:
    rows = [{"id": str(n), "title": f"Town {n}", "text": text} for n, text in enumerate(texts)]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write(tmp_path / "passages.jsonl", ["old"] * 3)


@pytest.fixture
def keep(tmp_path: Path, corpus: Path) -> Callable[[], list[str]]:
    """Keeps the index in DIR/index; what was said."""

    def run() -> list[str]:
        said: list[str] = []
        keep_index(str(tmp_path / "index"), str(corpus), said.append)
        return said

    return run


def texts(folder: Path) -> set[str]:
    return {hit.passage.text for hit in Index.open(folder).search(["town"], 10)[0]}


def test_an_index_is_built_where_there_is_none_and_then_left(tmp_path: Path, keep: Callable[[], list[str]]) -> None:
    assert [line.partition(":")[0] for line in keep()] == [
        f"there is no {tmp_path}/index",
        f"3 passages in {tmp_path}/index",
    ]
    before = (tmp_path / "index").stat().st_ino
    assert keep() == []
    assert (tmp_path / "index").stat().st_ino == before


def test_another_corpus_has_it_built_anew_and_nothing_is_left_of_the_old(
    tmp_path: Path, corpus: Path, keep: Callable[[], list[str]]
) -> None:
    keep()
    found = corpus.stat()
    write(corpus, ["new"] * 3)
    os.utime(corpus, ns=(found.st_atime_ns, found.st_mtime_ns))  # as long and as old as the other, as in an image
    assert "another corpus" in keep()[0]
    assert texts(tmp_path / "index") == {"new"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "passages.jsonl"]
    assert not (tmp_path / "index" / "building.lock").exists()


def test_a_copy_of_the_corpus_is_the_same_corpus(tmp_path: Path, corpus: Path, keep: Callable[[], list[str]]) -> None:
    keep()
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(corpus.read_bytes())
    said: list[str] = []
    keep_index(str(tmp_path / "index"), str(copy), said.append)
    assert said == []


def test_a_large_corpus_is_known_by_its_size_and_time(
    corpus: Path, keep: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "HASHED", 10)
    keep()
    assert keep() == []
    os.utime(corpus, ns=(1, 1))
    assert "another corpus" in keep()[0]


def test_an_index_of_unknown_origin_is_built_anew(tmp_path: Path, keep: Callable[[], list[str]]) -> None:
    build_index(tmp_path / "index", [Passage("1", "Town", "unknown")])
    assert "another corpus" in keep()[0]
    assert texts(tmp_path / "index") == {"old"}


@pytest.mark.parametrize("harm", ["cut", "flip", "version"])
def test_a_damaged_index_is_built_anew(tmp_path: Path, keep: Callable[[], list[str]], harm: str) -> None:
    keep()
    manifest = tmp_path / "index" / "manifest.json"
    values = json.loads(manifest.read_text())
    name = max(values["files"], key=lambda file: values["files"][file]["bytes"])
    content = (tmp_path / "index" / name).read_bytes()
    if harm == "version":
        manifest.write_text(json.dumps(values | {"version": 1}))
    else:
        changed = content[:-1] if harm == "cut" else content[:-1] + bytes([content[-1] ^ 1])
        (tmp_path / "index" / name).write_bytes(changed)
    assert len(keep()) == 2
    assert texts(tmp_path / "index") == {"old"}


def test_an_empty_folder_is_taken(tmp_path: Path, keep: Callable[[], list[str]]) -> None:
    (tmp_path / "index").mkdir()
    keep()
    assert texts(tmp_path / "index") == {"old"}


@pytest.mark.parametrize("manifest", [None, "[]", "{}", "no JSON", '{"files": ["thesis.tex"]}'])
def test_a_folder_with_something_else_is_refused_and_left(
    tmp_path: Path, keep: Callable[[], list[str]], manifest: str | None
) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "thesis.tex").write_text("years of work")
    if manifest is not None:
        (tmp_path / "index" / "manifest.json").write_text(manifest)
    with pytest.raises(IndexFolderError, match="which is of no index: it is left as it is"):
        keep()
    assert (tmp_path / "index" / "thesis.tex").read_text() == "years of work"


def test_a_file_beside_an_index_of_another_corpus_is_not_lost_with_it(
    tmp_path: Path, corpus: Path, keep: Callable[[], list[str]]
) -> None:
    keep()
    (tmp_path / "index" / "thesis.tex").write_text("years of work")
    write(corpus, ["new"])
    with pytest.raises(IndexFolderError, match=r"thesis\.tex"):
        keep()
    assert (tmp_path / "index" / "thesis.tex").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, keep: Callable[[], list[str]]) -> None:
    (tmp_path / "index").write_text("years of work")
    with pytest.raises(IndexFolderError, match="is no folder"):
        keep()


def test_a_corpus_that_is_not_there_is_told_and_the_index_is_left(
    tmp_path: Path, corpus: Path, keep: Callable[[], list[str]]
) -> None:
    keep()
    corpus.unlink()
    with pytest.raises(CorpusError, match="there is no corpus"):
        keep()
    with pytest.raises(CorpusError, match="there is no corpus"):
        fingerprint(tmp_path)
    assert texts(tmp_path / "index") == {"old"}


def test_a_malformed_corpus_leaves_the_index_that_was_there(
    tmp_path: Path, corpus: Path, keep: Callable[[], list[str]]
) -> None:
    keep()
    corpus.write_text('{"title": "A", "text": "b"}\n{"title": "A"}\n')
    with pytest.raises(CorpusError, match="row 2"):
        keep()
    assert texts(tmp_path / "index") == {"old"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "passages.jsonl"]


def test_a_mounted_disk_cannot_be_replaced_and_is_told(
    keep: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(self: Path, target: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "rename", busy)
    with pytest.raises(SearchArgumentError, match="is a mounted disk"):
        keep()


# Ends itself as kill -9 would, at the n-th call of the operating system's that begins with the given letters.
AT = """
import os, signal, sys
from sandbox.search.kept import keep_index
folder, corpus, event, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
def hook(name, arguments):
    global count
    if name == event:
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
keep_index(folder, corpus, print)
"""


@pytest.mark.parametrize(
    ("event", "count"), [("os.mkdir", 1), ("os.chmod", 3), ("os.rename", 1), ("os.rename", 2), ("os.rmdir", 1)]
)
def test_killed_at_any_step_the_next_start_puts_it_right(
    tmp_path: Path, corpus: Path, keep: Callable[[], list[str]], event: str, count: int
) -> None:
    keep()
    write(corpus, ["new"] * 3)
    killed = subprocess.run(
        [sys.executable, "-c", AT, str(tmp_path / "index"), str(corpus), event, str(count)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    keep()
    assert texts(tmp_path / "index") == {"new"}
