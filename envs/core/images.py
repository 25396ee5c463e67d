"""Pictures in and out: decoding bytes that nobody vouches for, encoding, hashing, and the size a model sees."""

import hashlib
import io
import math
import os
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import ImageError

FORMATS = ("PNG", "JPEG", "WEBP")  # few decoders, few attacks: Pillow knows some forty
MAX_PIXELS = 1 << 24
MAX_ASPECT = 200  # longest side over shortest; the Qwen-VL processors refuse more


def decode_image(source: bytes | str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a PNG, JPEG or WebP, given as bytes or as a path, to uint8 (height, width, 3) RGB.

    The size is read from the header and checked before a pixel is decoded. EXIF orientation is applied, transparency is
    laid over white, 16-bit gray is shifted down to 8; of an animation the first frame is taken.

    Raises:
        ImageError: not such a picture, corrupt, truncated, or of more than `max_pixels`. The message names the path.
        FileNotFoundError, PermissionError: the path cannot be opened.
    """
    name = f"the image of {len(source)} bytes" if isinstance(source, bytes) else f"the image {os.fspath(source)!r}"
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), name, max_pixels)
    with open(source, "rb") as file:
        return _decode(file, name, max_pixels)


def _decode(file: IO[bytes], name: str, max_pixels: int) -> NDArray[np.uint8]:
    allowed = "allowed: " + ", ".join(FORMATS)
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError(f"{name} is in no known format, or its header is corrupt; {allowed}") from None
    # Pillow's own guard against huge pictures is a warning below its limit and an error above; ours is the cap below.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name} is too large: {error}; at most {max_pixels} pixels are allowed") from None
    except Exception as error:  # a decoder may raise anything on hostile bytes; all of it means: no picture
        raise ImageError(f"{name} cannot be read: {error}; {allowed}") from None
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(f"{name} has {width} x {height} = {width * height} pixels; at most {max_pixels} are allowed")
    try:
        image.load()
        return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:
        raise ImageError(f"{name} is corrupt or truncated: {error}") from None


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):
        gray = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return np.array(image.convert("RGB"), dtype=np.uint8)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of uint8 (height, width, 3) RGB, without loss.

    Raises:
        ImageError: another dtype or shape.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ImageError(
            f"expected uint8 (height, width, 3) with sides of at least 1; got {pixels.dtype} {pixels.shape}"
        )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def image_hash(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 over shape and bytes, 64 hexadecimal digits: equal exactly when the pixels are."""
    digest = hashlib.sha256(repr(tuple(int(n) for n in pixels.shape)).encode())
    digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.hexdigest()


def smart_resize(width: int, height: int, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """(width, height) to which the image processors of Qwen2-VL, Qwen2.5-VL and Qwen3-VL scale a picture.

    Both sides become multiples of `factor` (patch size x merge size), each rounded by itself; then, if the area lies
    outside [min_pixels, max_pixels], both are scaled by one number first. Absolute coordinates of Qwen2.5-VL are pixels
    of the result. Not symmetric: a side is at least one factor, so a very thin picture may keep more than max_pixels.

    Raises:
        ImageError: a side below 1, or one side more than 200 times the other, which the processors refuse.
    """
    if min(width, height) < 1 or max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"a picture of {width} x {height} pixels cannot be resized for the model; sides must be at least 1 and at "
            f"most {MAX_ASPECT} times each other: crop or pad it"
        )
    sides = (width, height)
    # round() takes halves to the even number; so do the processors.
    wide, high = (round(side / factor) * factor for side in sides)
    if wide * high > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        wide, high = (max(factor, math.floor(side / shrink / factor) * factor) for side in sides)
    elif wide * high < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        wide, high = (math.ceil(side * grow / factor) * factor for side in sides)
    return wide, high
