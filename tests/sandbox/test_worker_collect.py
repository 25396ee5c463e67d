"""Taking the files that a program left."""

import os
from pathlib import Path

import pytest

from sandbox.worker_collect import MAX_DEPTH, Known, collect


def take(folder: Path, **changed: object) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
    arguments = {"patterns": ["*"], "known": Known(), "files": 100, "total": 10_000} | changed
    return collect(str(folder), **arguments)  # type: ignore[arg-type]


def test_regular_files_are_taken_by_relative_path_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("z", "a", "sub/m"):
        (tmp_path / name).write_text(name)
    files, left_out = take(tmp_path)
    assert list(files.items()) == [("a", b"a"), ("sub/m", b"sub/m"), ("z", b"z")] and left_out == []


def test_links_pipes_and_hard_links_are_left(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "soft").symlink_to(tmp_path / "outside")
    (inside / "folder").symlink_to(tmp_path)
    os.link(tmp_path / "outside", inside / "hard")
    os.mkfifo(inside / "pipe")
    files, left_out = take(inside)
    assert files == {}
    assert dict(left_out) == {
        "folder": "a symbolic link",
        "hard": "a file with several names (hard links)",
        "pipe": "not a regular file",
        "soft": "a symbolic link",
    }


def test_a_folder_that_became_a_link_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("a")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files, left_out = take(tmp_path / "link")
    assert files == {} and [path for path, _ in left_out] == ["."]


def test_what_the_client_has_is_not_handed_out_again(tmp_path: Path) -> None:
    known = Known()
    for name in ("same", "changed", "touched"):
        (tmp_path / name).write_bytes(b"1")
        known.learn(name, (tmp_path / name).stat(), b"1")
    (tmp_path / "changed").write_bytes(b"2")
    (tmp_path / "touched").write_bytes(b"1")
    assert take(tmp_path, known=known)[0] == {"changed": b"2"}
    assert take(tmp_path, known=known)[0] == {}


def test_a_change_within_one_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    known, path = Known(), tmp_path / "a"
    for k in range(200):
        path.write_bytes(b"%03d" % k)
        assert take(tmp_path, known=known)[0] == {"a": b"%03d" % k}


def test_a_time_of_change_that_is_not_yet_past_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    info = path.stat()
    for after, trusted in ((0, False), (10**6, False), (10**9, True)):
        known = Known()
        monkeypatch.setattr("time.time_ns", lambda after=after: info.st_ctime_ns + after)
        known.learn("a", info, b"1")
        assert known.untouched("a", info) is trusted


def test_a_file_that_nobody_touched_for_a_while_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, path = Known(), tmp_path / "a"
    path.write_bytes(b"1")
    monkeypatch.setattr("time.time_ns", lambda: path.stat().st_ctime_ns + 10**9)
    known.learn("a", path.stat(), b"1")
    monkeypatch.setattr("sandbox.worker_collect._read", lambda *_: pytest.fail("it was read"))
    assert take(tmp_path, known=known) == ({}, [])


def test_count_and_bytes_are_capped_to_the_byte(tmp_path: Path) -> None:
    for name, size in (("a", 6), ("b", 5), ("c", 4), ("d", 0)):
        (tmp_path / name).write_bytes(bytes(size))
    files, left_out = take(tmp_path, files=2, total=10)
    assert {name: len(content) for name, content in files.items()} == {"a": 6, "c": 4}
    assert left_out == [("b", "too large: 5 bytes, and 4 are left"), ("d", "too many files")]


def test_folders_are_entered_to_a_depth(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(MAX_DEPTH + 1):
        (folder / "f").write_text("x")
        folder = folder / "d"
        folder.mkdir()
    files, left_out = take(tmp_path)
    assert len(files) == MAX_DEPTH + 1
    assert len(left_out) == 1 and "8 deep" in left_out[0][1]


def test_a_name_that_is_not_utf8_is_left_and_can_be_told(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))).write_text("x")
    files, left_out = take(tmp_path)
    assert files == {} and left_out == [("?", "its name is not UTF-8")]
