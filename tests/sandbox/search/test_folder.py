"""An index's folder: whole or not there, whatever happens while it is written."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tantivy")

from sandbox.search import Index, IndexFolderError, Passage, SearchArgumentError, build_index
from sandbox.search.folder import building

PASSAGES = [Passage(str(n), f"Title {n}", "some words of a text " * 20) for n in range(200)]
ROOT = Path(__file__).resolve().parents[3]


def process(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)


ENDLESS = """
import itertools, sys
from sandbox.search import Passage, build_index
def passages():
    for n in itertools.count():
        if n == 5000:
            print("under way", flush=True)
        yield Passage(str(n), f"Title {n}", "some words of a text " * 20)
build_index(sys.argv[1], passages())
"""
# Ends itself as kill -9 would, at the n-th call of the operating system's that begins with the given letters.
AT = """
import os, signal, sys
from sandbox.search import Passage, build_index
folder, event, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
def hook(name, arguments):
    global count
    if name == event:
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
build_index(folder, [Passage(str(n), f"Title {n}", "some words of a text " * 20) for n in range(200)])
"""


def test_a_build_killed_within_is_never_served_and_the_next_one_tidies_up(tmp_path: Path) -> None:
    target = tmp_path / "index"
    build = process(ENDLESS, target)
    assert build.stdout is not None and build.stdout.readline() == b"under way\n"
    build.send_signal(signal.SIGKILL)
    build.wait()
    build.stdout.close()
    (left,) = tmp_path.iterdir()
    for folder in (target, left):
        with pytest.raises(IndexFolderError, match="python -m sandbox search build"):
            Index.open(folder)
    build_index(target, PASSAGES)
    assert Index.open(target).manifest.count == 200
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("event", "count"), [("os.mkdir", 1), ("os.chmod", 1), ("os.chmod", 3), ("os.remove", 1), ("os.rename", 1)]
)
def test_killed_at_any_step_there_is_a_whole_index_or_none(tmp_path: Path, event: str, count: int) -> None:
    target = tmp_path / "index"
    build = process(AT, target, event, count)
    build.communicate()
    assert build.returncode == -signal.SIGKILL
    assert not target.exists()
    build_index(target, PASSAGES)
    assert Index.open(target).search(["title 7"], 1)[0][0].passage.id == "7"


def test_a_build_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "index"
    build = process(ENDLESS, target)
    assert build.stdout is not None and build.stdout.readline() == b"under way\n"
    build_index(target, PASSAGES)
    assert build.poll() is None
    assert len(list(tmp_path.iterdir())) == 2
    build.kill()
    build.wait()
    build.stdout.close()


def test_of_two_builds_of_one_index_the_second_to_end_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "index"
    second = building(target)
    (second.__enter__() / "file").write_text("second")
    build_index(target, PASSAGES)
    with pytest.raises(SearchArgumentError, match="exists already"):
        second.__exit__(None, None, None)
    assert Index.open(target).manifest.count == 200
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_of_a_like_name_is_not_tidied_away(tmp_path: Path) -> None:
    (tmp_path / ".index.mine").mkdir()
    (tmp_path / ".index.mine" / "note").write_text("keep")
    build_index(tmp_path / "index", PASSAGES[:1])
    assert (tmp_path / ".index.mine" / "note").read_text() == "keep"


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, done = tmp_path / "index", list[str]()
    fsync, rename = os.fsync, Path.rename

    def told(handle: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    def named(self: Path, other: Path) -> Path:
        done.append("rename")
        return rename(self, other)

    monkeypatch.setattr(os, "fsync", told)
    monkeypatch.setattr(Path, "rename", named)
    build_index(target, PASSAGES)
    before = done[: done.index("rename")]
    assert {path.name for path in target.iterdir()} <= {*before, ".tantivy-meta.lock", ".tantivy-writer.lock"}
    assert done[-1] == tmp_path.name


@pytest.mark.parametrize("verify", [True, False])
def test_a_file_that_lost_its_end_is_found_at_once(tmp_path: Path, verify: bool) -> None:
    build_index(tmp_path / "index", PASSAGES)
    file = max((tmp_path / "index").iterdir(), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(IndexFolderError, match=rf"'{tmp_path}/index' holds a damaged index: {file.name} has .* bytes"):
        Index.open(tmp_path / "index", verify=verify)


def test_one_bit_that_turned_is_found(tmp_path: Path) -> None:
    build_index(tmp_path / "index", PASSAGES)
    for file in (tmp_path / "index").iterdir():
        if file.suffix == ".json" or file.name.endswith(".lock"):
            continue
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(IndexFolderError, match=rf"damaged index: {file.name} is not what was written; delete"):
            Index.open(tmp_path / "index")
        file.write_bytes(whole)
    assert Index.open(tmp_path / "index").manifest.count == 200


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    build_index(tmp_path / "index", PASSAGES)
    (tmp_path / "index" / "meta.json").unlink()
    with pytest.raises(IndexFolderError, match=r"damaged index: meta\.json is missing"):
        Index.open(tmp_path / "index")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        build_index(tmp_path / "index", PASSAGES)
    assert list(tmp_path.iterdir()) == []
