"""Pictures in and out: decoding bytes that nobody vouches for, encoding, hashing."""

import hashlib
import io
import os
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import ImageError

FORMATS = ("PNG", "JPEG", "WEBP")  # few decoders, few attacks: Pillow knows some forty
MAX_PIXELS = 1 << 24


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
