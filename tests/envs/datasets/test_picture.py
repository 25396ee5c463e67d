"""A picture of a data set: its forms, its errors, and what it may not reach."""

import base64
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.core.errors import DatasetError
from envs.core.images import encode_png
from envs.datasets.picture import Picture
from envs.datasets.sample import scene

PIXELS, _ = scene("picture", 0, 3)
PNG = encode_png(PIXELS)
WHERE = "FILE, row 12, field 'images'"


def picture(value: Any, folder: Path | None = None, root: Path | None = None, hint: str = "") -> Picture:
    return Picture(lambda: value, WHERE, folder, root or folder, hint)


@pytest.mark.parametrize(
    "value",
    [
        PNG,
        bytearray(PNG),
        {"bytes": PNG, "path": None},
        {"bytes": PNG, "path": "elsewhere/a.png"},
        [{"bytes": PNG, "path": None}],
        "data:image/png;base64," + base64.b64encode(PNG).decode(),
        "a.png",
        "./a.png",
        {"bytes": None, "path": "a.png"},
        ["a.png"],
    ],
)
def test_every_published_form_gives_the_same_pixels(value: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    assert np.array_equal(picture(value, tmp_path).pixels(), PIXELS)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "nothing"),
        ("", "''"),
        (7, "expected a picture"),
        ({}, "nothing"),
        ({"bytes": None, "path": None}, "nothing"),
        ([], "a list of 0"),
        ([PNG, PNG], "exactly one picture; got a list of 2"),
        (b"GIF89a", "expected a PNG, JPEG or WebP picture"),
        (PNG[:60], "corrupt or truncated"),
        ("data:image/png;base64,!!", "expected base64"),
        ("data:image/png," + "x", "expected 'data:image/png;base64,'"),
        ("b.png", "which is not there"),
        ("../a.png", "without '..'"),
        ("x/../a.png", "without '..'"),
        ("/etc/hostname", "without '..'"),
        ("a\0.png", "without '..'"),
        ("..\\a.png", "without '..'"),
    ],
)
def test_what_is_no_picture_is_named_by_file_row_and_field(value: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    with pytest.raises(DatasetError) as caught:
        picture(value, tmp_path).pixels()
    assert str(caught.value).startswith(WHERE)
    assert message in str(caught.value)


def test_a_link_may_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.png").symlink_to(tmp_path / "secret.png")
    (folder / "deep").symlink_to(tmp_path)
    for name in ("a.png", "deep/secret.png"):
        with pytest.raises(DatasetError, match="expected a path that stays in the data's folder"):
            picture(name, folder).pixels()
    assert np.array_equal(picture("a.png", folder, root=tmp_path).pixels(), PIXELS)


def test_a_table_without_a_folder_holds_its_pictures_itself() -> None:
    with pytest.raises(DatasetError, match=r"a picture inside the table.*pass data=FOLDER"):
        picture("a.png").pixels()


def test_a_missing_file_says_what_to_fetch(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"b\.png, which is not there\. Fetch images\.zip$"):
        picture("b.png", tmp_path, hint="Fetch images.zip").pixels()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(DatasetError, match="expected a picture that can be read"):
        picture("a.png", tmp_path).pixels()


def test_a_picture_that_is_too_large_says_how_large_it_may_be() -> None:
    assert picture(PNG).pixels(max_side=96).shape == (64, 96, 3)
    with pytest.raises(DatasetError, match="sides of at most 95 pixels; got 96 x 64"):
        picture(PNG).pixels(max_side=95)


def test_pictures_are_equal_when_their_bytes_are(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    other = encode_png(scene("picture", 1, 3)[0])
    assert picture(PNG) == picture("a.png", tmp_path) != picture(other)
    assert hash(picture(PNG)) == hash(picture("a.png", tmp_path))
