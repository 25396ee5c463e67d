"""Pictures inside the page: each once, as a data: URI, small enough that the page stays light."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from .budget import Budget
from .tokens import visible

LONGEST_SIDE = 512
AS_THEY_ARE = 40_000  # bytes of a PNG that is not worth encoding again
TINY = 168


@dataclass(frozen=True)
class Picture:
    """A picture as the page is told of it.

    Attributes:
        block: The number of its data block; None where it is not in the page, and `note` says why.
        width, height: As shown; `tiny` ones are enlarged, pixel by pixel.
        note: Its size, whether it was made smaller, or why it is not there.
    """

    block: int | None
    note: str
    width: int = 0
    height: int = 0
    tiny: bool = False


class Pictures:
    """Embeds pictures until a budget is spent. `uris`: what goes into the page, in the order of their blocks."""

    def __init__(self, budget: Budget) -> None:
        self.uris: list[str] = []
        self.left_out: set[str] = set()
        self._budget = budget
        self._known: dict[str, Picture] = {}

    def picture(self, folder: Path, sha256: str) -> Picture:
        """The picture with this hash, recorded under `folder`/images."""
        known = self._known.get(sha256)
        if known is None:
            known = self._made(folder, sha256)
            if known.block is not None:  # one that is missing here may lie in another folder
                self._known[sha256] = known
        return known

    def _made(self, folder: Path, sha256: str) -> Picture:
        # A hash is hexadecimal digits; anything else would be somebody's path.
        if not (sha256.isalnum() and sha256.isascii() and len(sha256) <= 128):
            return Picture(None, "cannot be shown: its name is not a hash")
        if self._budget.spent:  # so that nobody waits for pictures that nobody will see
            return self._without_room(sha256)
        try:
            source, (width, height) = _encoded(folder / "images" / f"{sha256}.png")
        except FileNotFoundError:
            return Picture(None, "cannot be shown: its file is not there")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return Picture(None, f"cannot be shown: {visible(type(error).__name__)}")
        if not self._budget.take(len(source)):
            return self._without_room(sha256)
        self.left_out.discard(sha256)
        self.uris.append(source)
        longest = max(width, height)
        scale = TINY // longest if longest < TINY else min(1.0, LONGEST_SIDE / longest)
        shown = (max(1, round(width * scale)), max(1, round(height * scale)))
        smaller = f", here {shown[0]} x {shown[1]}" if scale < 1 else ""
        return Picture(len(self.uris) - 1, f"{width} x {height} pixels{smaller}", *shown, tiny=scale > 1)

    def _without_room(self, sha256: str) -> Picture:
        self.left_out.add(sha256)
        return Picture(None, f"left out to keep this page small: images/{sha256}.png")


def _encoded(path: Path) -> tuple[str, tuple[int, int]]:
    """A data: URI of at most `LONGEST_SIDE` pixels a side, and the size of the original."""
    raw = path.read_bytes()
    with Image.open(BytesIO(raw), formats=["PNG"]) as image:
        size = image.size
        if max(size) <= LONGEST_SIDE and len(raw) <= AS_THEY_ARE:
            image.load()  # a broken file is found here, and not by the reader
            return _uri("png", raw), size
        smaller = image.convert("RGB")
    smaller.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    encodings = {}
    for name, options in (("png", {"optimize": True}), ("jpeg", {"quality": 85})):
        buffer = BytesIO()
        smaller.save(buffer, format=name, **options)
        encodings[name] = buffer.getvalue()
    best = min(encodings, key=lambda name: len(encodings[name]))
    return _uri(best, encodings[best]), size


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{b64encode(data).decode('ascii')}"
