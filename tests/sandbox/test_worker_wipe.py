"""Deleting what somebody hostile left."""

import os
from pathlib import Path

from sandbox.worker_wipe import wipe


def test_deep_shut_and_crowded_folders_go_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    for k in range(1500):
        (folder / str(k)).touch()
    (folder / "shut").mkdir()
    (folder / "shut" / "in").touch()
    os.chmod(folder / "shut", 0)
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        for _ in range(300):  # far longer than any path may be
            os.mkdir("d" * 60)
            os.chdir("d" * 60)
    finally:
        os.fchdir(here)
        os.close(here)
    os.chmod(folder, 0)
    assert wipe(str(folder), 60.0)
    assert [p.name for p in tmp_path.iterdir()] == ["outside"] and (outside / "kept").exists()


def test_it_gives_up_when_its_time_is_over(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "a").touch()
    assert not wipe(str(folder), -1.0)


def test_a_folder_that_is_gone_is_wiped(tmp_path: Path) -> None:
    assert wipe(str(tmp_path / "none"), 1.0)
