"""Pictures inside the page: each as a data: URI, small enough that the page stays light."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from .tokens import visible

LONGEST_SIDE = 448
AS_THEY_ARE = 40_000  # bytes of a PNG that is not worth encoding again
TINY = 168


@dataclass(frozen=True)
class Picture:
    """A picture of a task. `source` is empty where it is not embedded, and `note` says why. `link`: its file,
    relative to the page. `width`, `height`: as shown; `tiny` ones are enlarged, pixel by pixel.
    """

    number: int
    link: str
    source: str = ""
    width: int = 0
    height: int = 0
    tiny: bool = False
    note: str = ""


class Pictures:
    """Embeds pictures of a run until a budget is spent.

    Args:
        run: The run directory.
        budget: Bytes that all pictures may take in the page.
    """

    def __init__(self, run: Path, budget: int) -> None:
        self._run, self._left = run, budget

    def picture(self, folder: str, sha256: str, number: int) -> Picture:
        """The picture with this hash, recorded in `folder`."""
        # A hash is 64 hexadecimal digits; anything else would be somebody's path.
        name = sha256 if sha256.isalnum() and sha256.isascii() else "unnamed"
        link = f"{folder}/images/{name}.png"
        try:
            source, (width, height) = _encoded(self._run / link)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            return Picture(number, link, note=f"cannot be shown: {visible(type(error).__name__)}")
        if len(source) > self._left:
            return Picture(number, link, note="left out to keep this page small")
        self._left -= len(source)
        note = f"{width} x {height} pixels"
        longest = max(width, height)
        scale = TINY // longest if longest < TINY else min(1.0, LONGEST_SIDE / longest)
        shown = (max(1, round(width * scale)), max(1, round(height * scale)))
        return Picture(number, link, source, *shown, tiny=scale > 1, note=note)


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
