"""The two spaces of this project: any text, and a few pictures of any size.

Both are ordinary `gymnasium.Space`s. `vector_memory` teaches Gymnasium's asynchronous vector environment to carry them
through shared memory, whose size the limits below bound.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from .errors import ArgumentError

Image = NDArray[np.uint8]  # (height, width, 3), RGB
Pictures = tuple[Image, ...]

# One character from each of these ranges, so that samples exercise one to four bytes of UTF-8.
_SAMPLE_RANGES = ((0x20, 0x7F), (0xA1, 0x250), (0x4E00, 0x9FA6), (0x1F300, 0x1F5F0))
_SAMPLE_LENGTH = 64
_SAMPLE_SIDE = 32


class UnicodeText(gymnasium.Space[str]):
    """Every string of at most `max_length` code points, the empty one and astral characters included.

    Lone surrogates are not members: they have no UTF-8 form, so such a string could not be stored or sent. Python's
    other strings all are. Gymnasium's own `Text` needs a list of its characters; this one needs none.
    """

    def __init__(self, max_length: int, seed: int | np.random.Generator | None = None) -> None:
        if isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 1:
            raise ArgumentError(f"max_length must be a whole number of characters, at least 1; got {max_length!r}")
        self.max_length = max_length
        super().__init__(shape=None, dtype=None, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: text of any length has no fixed vector form."""
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """A random string of 0 to min(64, max_length) characters from four scripts. Masks are refused."""
        if mask is not None or probability is not None:
            raise ArgumentError("UnicodeText.sample takes no mask and no probability; leave both None")
        length = int(self.np_random.integers(0, min(_SAMPLE_LENGTH, self.max_length) + 1))
        ranges = [_SAMPLE_RANGES[k] for k in self.np_random.integers(0, len(_SAMPLE_RANGES), size=length)]
        return "".join(chr(int(self.np_random.integers(low, high))) for low, high in ranges)

    def contains(self, x: Any) -> bool:
        """Whether `x` is a str of at most `max_length` code points without lone surrogates."""
        if not isinstance(x, str) or len(x) > self.max_length:
            return False
        try:
            x.encode("utf-8")
        except UnicodeEncodeError:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and self.max_length == other.max_length

    def __repr__(self) -> str:
        return f"UnicodeText(max_length={self.max_length})"


class Images(gymnasium.Space[Pictures]):
    """Tuples of 0 to `max_images` arrays uint8 (height, width, 3), sides 1 to `max_side` pixels, sizes free.

    `max_pixels` bounds the sum of height x width over the tuple, and with it the memory that one observation may need
    (3 bytes a pixel). Its default is what the other two limits allow, at most 16,777,216.
    """

    def __init__(
        self,
        max_images: int = 1,
        max_side: int = 1024,
        max_pixels: int | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        for name, value in (("max_images", max_images), ("max_side", max_side), ("max_pixels", max_pixels)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ArgumentError(f"{name} must be a whole number, at least 1; got {value!r}")
        self.max_images, self.max_side = max_images, max_side
        self.max_pixels = min(max_images * max_side * max_side, 1 << 24) if max_pixels is None else max_pixels
        super().__init__(shape=None, dtype=np.uint8, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: pictures of any size have no fixed vector form."""
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> Pictures:
        """Random noise: 0 to max_images pictures with sides of at most 32 pixels. Masks are refused."""
        if mask is not None or probability is not None:
            raise ArgumentError("Images.sample takes no mask and no probability; leave both None")
        pictures: list[Image] = []
        room = self.max_pixels
        for _ in range(int(self.np_random.integers(0, self.max_images + 1))):
            if room < 1:
                break
            side = min(self.max_side, _SAMPLE_SIDE)
            height = int(self.np_random.integers(1, min(side, room) + 1))
            width = int(self.np_random.integers(1, min(side, room // height) + 1))
            pictures.append(self.np_random.integers(0, 256, size=(height, width, 3), dtype=np.uint8))
            room -= height * width
        return tuple(pictures)

    def contains(self, x: Any) -> bool:
        """Whether `x` is a tuple of uint8 (H, W, 3) arrays within all three limits."""
        if not isinstance(x, tuple) or len(x) > self.max_images:
            return False
        pixels = 0
        for picture in x:
            if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.ndim != 3:
                return False
            height, width, channels = picture.shape
            if channels != 3 or not (1 <= height <= self.max_side and 1 <= width <= self.max_side):
                return False
            pixels += height * width
        return pixels <= self.max_pixels

    def to_jsonable(self, sample_n: Iterable[Pictures]) -> list[Any]:
        """Per sample a list of `{"shape": [H, W, 3], "base64": raw bytes}`."""
        return [
            [{"shape": list(p.shape), "base64": base64.b64encode(p.tobytes()).decode("ascii")} for p in pictures]
            for pictures in sample_n
        ]

    def from_jsonable(self, sample_n: list[Any]) -> list[Pictures]:
        """The inverse of `to_jsonable`."""
        return [
            tuple(
                np.frombuffer(base64.b64decode(p["base64"]), dtype=np.uint8).reshape(p["shape"]).copy()
                for p in pictures
            )
            for pictures in sample_n
        ]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Images) and (self.max_images, self.max_side, self.max_pixels) == (
            other.max_images,
            other.max_side,
            other.max_pixels,
        )

    def __repr__(self) -> str:
        return f"Images(max_images={self.max_images}, max_side={self.max_side}, max_pixels={self.max_pixels})"
