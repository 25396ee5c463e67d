"""Where a program lives."""

import os
from pathlib import Path

import pytest

from sandbox.worker_place import FOLDER, OwnPlace, Place, children, empty


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path), None)


def test_inputs_are_laid_out_and_not_handed_back(place: Place) -> None:
    place.lay_out({"a": b"1"})
    assert Path(place.folder, "a").read_bytes() == b"1"
    assert place.collect(["*"], 10, 100) == ({}, [])


def test_nothing_is_written_through_a_link_that_a_program_left(place: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("kept")
    Path(place.folder, "a").symlink_to(outside)
    place.lay_out({"a": b"1"})
    assert outside.read_text() == "kept" and not Path(place.folder, "a").is_symlink()


def test_a_folder_in_an_inputs_place_gives_way(place: Place) -> None:
    Path(place.folder, "a").mkdir()
    Path(place.folder, "a", "b").write_text("x")
    place.lay_out({"a": b"1"})
    assert Path(place.folder, "a").read_bytes() == b"1"


@pytest.mark.parametrize("how", ["gone", "moved", "link", "file", "shut"])
def test_a_program_may_do_what_it_likes_to_its_folder(place: Place, tmp_path: Path, how: str) -> None:
    folder = Path(place.folder)
    if how == "shut":
        folder.chmod(0)
    elif how == "moved":
        folder.rename(tmp_path / "elsewhere")
    else:
        folder.rmdir()
    if how == "link":
        folder.symlink_to("/")
    elif how == "file":
        folder.write_text("x")
    place.lay_out({"a": b"1"})
    assert not folder.is_symlink() and (folder / "a").read_bytes() == b"1"


def test_everything_goes_in_the_end_wherever_it_lies(tmp_path: Path) -> None:
    scratch, also = tmp_path / "scratch", tmp_path / "also"
    scratch.mkdir()
    also.mkdir()
    place = Place(str(scratch), None, [str(also)])
    (scratch / FOLDER / "deep").mkdir()
    for path in (scratch / FOLDER / "deep" / "a", scratch / "beside", also / "b"):
        path.write_text("x")
    (also / "link").symlink_to("/etc")
    os.mkfifo(also / "pipe")
    (scratch / FOLDER / "deep").chmod(0)
    assert place.clear(10.0)
    assert list(scratch.iterdir()) == [] and list(also.iterdir()) == []


def test_what_cannot_be_emptied_is_told(tmp_path: Path) -> None:
    assert not empty(str(tmp_path / "none"), 1.0)


def test_its_own_place_kills_what_a_process_started(tmp_path: Path) -> None:
    place = OwnPlace(str(tmp_path), None)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.execvp("sleep", ["sleep", "60"])
    assert pid in children()
    place.kill(pid)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == 9
