"""Decoding, encoding and hashing."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from envs.core.errors import ImageError
from envs.core.images import decode_image, encode_png, image_hash, smart_resize

PICTURE = np.random.default_rng(0).integers(0, 256, size=(20, 30, 3), dtype=np.uint8)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12).map(lambda s: (*s, 3))))
def test_a_png_returns_every_pixel(pixels: np.ndarray) -> None:
    assert np.array_equal(decode_image(encode_png(pixels)), pixels)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_the_three_formats_are_read_as_rgb(form: str) -> None:
    pixels = decode_image(encoded(Image.fromarray(PICTURE), form))
    assert (pixels.dtype, pixels.shape) == (np.uint8, (20, 30, 3))


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "PPM"])
def test_other_formats_are_refused_with_those_allowed(form: str) -> None:
    with pytest.raises(ImageError, match="allowed: PNG, JPEG, WEBP"):
        decode_image(encoded(Image.fromarray(PICTURE), form))


def test_the_path_is_read_and_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encode_png(PICTURE))
    assert np.array_equal(decode_image(path), PICTURE)
    path.write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"picture\.png"):
        decode_image(str(path))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_an_error(form: str, share: float) -> None:
    data = encoded(Image.fromarray(PICTURE), form)
    with pytest.raises(ImageError):
        decode_image(data[: int(len(data) * share)])


def test_the_pixel_cap_holds_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_png(PICTURE)
    assert decode_image(data, max_pixels=600).shape == (20, 30, 3)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("pixels were decoded"))
    with pytest.raises(ImageError, match="600 pixels; at most 599"):
        decode_image(data, max_pixels=599)


def test_a_decompression_bomb_is_an_error() -> None:
    # 20,000 x 20,000 pixels in half a megabyte: only the header may be read.
    with pytest.raises(ImageError, match="at most"):
        decode_image(encoded(Image.new("1", (20_000, 20_000)), "PNG"))


def test_the_orientation_in_exif_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show the picture rotated clockwise
    pixels = decode_image(encoded(Image.fromarray(PICTURE), "PNG", exif=exif))
    assert np.array_equal(pixels, np.rot90(PICTURE, k=-1))


def test_transparency_is_laid_over_white() -> None:
    assert decode_image(encoded(Image.new("RGBA", (1, 1), (10, 20, 30, 0)), "PNG")).tolist() == [[[255, 255, 255]]]


def test_sixteen_bit_gray_keeps_its_upper_half() -> None:
    gray = Image.fromarray(np.array([[0, 0x80FF, 0xFFFF]], dtype=np.uint16))
    assert decode_image(encoded(gray, "PNG"))[0, :, 0].tolist() == [0, 0x80, 0xFF]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP"]), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=5)
)
def test_damaged_bytes_give_a_picture_or_an_image_error(form: str, damage: list[tuple[int, int]]) -> None:
    data = bytearray(encoded(Image.fromarray(PICTURE[:4, :4]), form))
    for where, value in damage:
        data[where % len(data)] = value
    with contextlib.suppress(ImageError):
        assert decode_image(bytes(data), max_pixels=10_000).dtype == np.uint8


def test_encoding_refuses_what_is_no_rgb_picture() -> None:
    with pytest.raises(ImageError, match="expected uint8"):
        encode_png(PICTURE.astype(np.float32))


def test_the_hash_sees_one_pixel_and_the_shape() -> None:
    changed = PICTURE.copy()
    changed[3, 4, 1] ^= 1
    assert len({image_hash(PICTURE), image_hash(changed), image_hash(PICTURE.reshape(30, 20, 3))}) == 3
    assert image_hash(PICTURE) == image_hash(np.asfortranarray(PICTURE))


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        ((224, 224), (224, 224)),
        # Rounded each by itself: 22.86 and 17.14 units of 28.
        ((640, 480), (644, 476)),
        # Half a unit goes to the even number: 1.5 -> 2 and 2.5 -> 2.
        ((42, 70), (56, 56)),
        # 28 x 28 is too small: scaled by sqrt(3136 / 400) = 2.8 to 56 x 56.
        ((20, 20), (56, 56)),
        # 100 x 1: scaled by sqrt(3136 / 100) = 5.6 to 560 x 5.6, each rounded up.
        ((100, 1), (560, 28)),
        # 5600 x 4200 is too large: divided by sqrt(23520000 / 1003520) = 4.841, 41.3 and 30.98 units, rounded down.
        ((5600, 4200), (1148, 840)),
    ],
)
def test_smart_resize_by_hand(size: tuple[int, int], resized: tuple[int, int]) -> None:
    assert smart_resize(*size, factor=28, min_pixels=3136, max_pixels=1003520) == resized


@pytest.mark.parametrize("size", [(1, 201), (201, 1), (0, 5), (5, -1)])
def test_smart_resize_refuses_what_the_processors_refuse(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="cannot be resized for the model"):
        smart_resize(*size, factor=28, min_pixels=3136, max_pixels=1003520)
