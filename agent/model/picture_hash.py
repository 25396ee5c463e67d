"""A picture's name: equal pictures have the same one, wherever they come from."""

from __future__ import annotations

import hashlib

import numpy as np

from ..errors import ObservationError

# Decoding a hostile picture is the loaders' business; this bound keeps one observation from eating the machine.
MAX_IMAGE_PIXELS = 64_000_000


def image_sha256(image: np.ndarray) -> str:
    """Hash of a picture's shape and bytes.

    Raises:
        ObservationError: not a uint8 (height, width, 3) array with at least one pixel, or too large.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        came = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ObservationError(f"an image must be a uint8 array of shape (height, width, 3), got {came}")
    if not 0 < image.shape[0] * image.shape[1] <= MAX_IMAGE_PIXELS:
        raise ObservationError(f"an image must have 1 to {MAX_IMAGE_PIXELS:,} pixels, got shape {image.shape}")
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image))
    return digest.hexdigest()
