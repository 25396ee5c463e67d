"""What pretends to be a picture is not opened, here nor where environments open what programs made."""

import io
import pickle
from pathlib import Path

import pytest
from PIL import Image

from envs.core.errors import ImageError
from envs.core.images import decode_image
from sandbox.contract import ExecResult
from sandbox.hostile import ATTACKS, Seen
from sandbox.hostile.attack import LIMITS
from sandbox.hostile.pictures import NoPictureError, open_picture
from sandbox.hostile.prelude import DONE, TARGET
from sandbox.local import LocalSandbox


def encoded(kind: str, size: tuple[int, int] = (5, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_three_formats_are_opened(kind: str) -> None:
    assert open_picture(encoded(kind)) == (5, 4)


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "BMP", "PPM", "ICO", "EPS", "PDF"])
def test_no_other_is_whatever_its_name(kind: str) -> None:
    with pytest.raises(NoPictureError):
        open_picture(encoded(kind))


def test_the_cap_counts_pixels() -> None:
    assert open_picture(encoded("PNG"), max_pixels=20) == (5, 4)
    with pytest.raises(NoPictureError, match="5 x 4 pixels; at most 19"):
        open_picture(encoded("PNG"), max_pixels=19)


def test_an_object_is_never_loaded(tmp_path: Path) -> None:
    class Act:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.mkdir, (tmp_path / "acted",))

    for content in (pickle.dumps(Act()), b"\x93NUMPY\x01\x00" + pickle.dumps(Act())):
        with pytest.raises(NoPictureError):
            open_picture(content)
    assert not (tmp_path / "acted").exists()


def test_a_true_picture_counts_as_getting_through() -> None:
    judge = ATTACKS["images.bomb"].held
    ended = {"status": "ok", "stdout": f"{DONE}\n"}
    assert judge(Seen(ExecResult(**ended, files={"a.png": b"x"}))) == ""
    assert "was opened" in judge(Seen(ExecResult(**ended, files={"a.png": encoded("PNG")})))
    assert "nothing was handed out" in judge(Seen(ExecResult(**ended)))


MADE = ["images.bomb", "images.claims", "images.confusion", "images.pickle", "images.broken"]


@pytest.fixture(scope="module")
def made() -> dict[str, ExecResult]:
    with LocalSandbox(lanes=1) as sandbox:
        target = {TARGET: b'{"pickled": "/nonexistent/pickled"}'}
        return {name: sandbox.exec(ATTACKS[name].program, target, LIMITS) for name in MADE}


@pytest.mark.parametrize("name", MADE)
def test_no_environment_opens_what_the_attacks_make(name: str, made: dict[str, ExecResult]) -> None:
    assert ATTACKS[name].held(Seen(made[name])) == ""
    assert made[name].files
    for content in made[name].files.values():
        with pytest.raises(ImageError):
            decode_image(content)
