"""What happens to pictures of documents: turned, darkened, overexposed, blurred, noisy, far away.

Whole numbers only, so that the same picture is spoilt in the same way on every processor. Each of them hides what is
written and can be undone, wholly or well enough to read, by a few lines of a program.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# In the order in which they are applied, and named.
DISTORTIONS = ("rotation90", "rotation180", "blur", "dark", "overexposure", "noise")
Pixels = NDArray[np.uint8]

_KEPT = 10  # what is left of the contrast in a dark or overexposed picture: one part in so many


def distort(pixels: Pixels, names: Sequence[str], reach: int, rng: np.random.Generator, noisy: int = 40) -> Pixels:
    """uint8 (H, W, 3) with every named distortion applied, in the order of DISTORTIONS; others are ignored.

    reach: how far a blur reaches, in pixels; about the width of a stroke. rng: where the noise comes from. noisy: how
    many pixels of a hundred it spoils.
    """
    for name in DISTORTIONS:
        if name not in names:
            continue
        if name == "rotation90":
            pixels = np.ascontiguousarray(np.rot90(pixels, 1))
        elif name == "rotation180":
            pixels = np.ascontiguousarray(np.rot90(pixels, 2))
        elif name == "blur":
            pixels = blur(pixels, reach)
        elif name == "noise":
            pixels = noise(pixels, rng, noisy)
        elif name == "dark":
            pixels = pixels // np.uint8(_KEPT)
        else:
            pixels = np.uint8(255) - (np.uint8(255) - pixels) // np.uint8(_KEPT)
    return pixels


def blur(pixels: Pixels, reach: int) -> Pixels:
    """Two means over squares of 2 x reach + 1 pixels a side; the edge is repeated outwards. Rounded once each."""
    for _ in range(2):
        side = 2 * reach + 1
        wide = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="edge").astype(np.int64)
        sums = np.pad(wide, ((1, 0), (1, 0), (0, 0))).cumsum(axis=0).cumsum(axis=1)
        total = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
        pixels = ((2 * total + side * side) // (2 * side * side)).astype(np.uint8)
    return pixels


def noise(pixels: Pixels, rng: np.random.Generator, share: int) -> Pixels:
    """`share` pixels of a hundred become black or white, half of them each, as from a failing sensor."""
    luck = rng.integers(0, 100, size=pixels.shape[:2])
    spoilt = pixels.copy()
    spoilt[luck < share // 2] = 0
    spoilt[luck >= 100 - share // 2] = 255
    return spoilt
