"""Opening a picture that somebody hostile made: three formats, a cap on the pixels, and nothing else is tried.

What a file is called says nothing. Pillow knows some forty formats, one of which starts a PostScript interpreter;
NumPy's and PyTorch's files may hold objects, and loading one runs code. None of these is ever a picture here.
"""

from __future__ import annotations

import io
import warnings

from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 1 << 24


class NoPictureError(Exception):
    """These bytes are not a picture that may be opened; says why."""


def open_picture(content: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Decode a picture wholly and return its width and height in pixels. The size is checked before decoding.

    Raises:
        NoPictureError: not PNG, JPEG or WebP, corrupt, or of more than `max_pixels`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own cap is lower
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise NoPictureError(f"{width} x {height} pixels; at most {max_pixels} in all are opened")
                image.load()
    except NoPictureError:
        raise
    except Exception as error:  # a decoder may raise anything on hostile bytes
        raise NoPictureError(f"not a {', '.join(FORMATS)} that can be read: {type(error).__name__}: {error}") from None
    return width, height
