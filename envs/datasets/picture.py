"""A picture of a data set, read and decoded when it is asked for."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import DatasetError, ImageError
from ..core.images import decode_image
from ..core.spaces import Image

_URI = "data:image/"


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture (PNG, JPEG or WebP) and where it is named. Two are equal when their encoded bytes are.

    read: gives what the data set holds: the encoded bytes, a `{"bytes": .., "path": ..}` struct as `datasets` writes
        it, a path, a `data:image/png;base64,` address, or a list of exactly one of these.
    where: "FILE, row 12, field 'images'", for messages.
    folder: what a relative path starts from, or None where pictures must be inside the table.
    root: no path may lead out of it, by whatever links.
    hint: what to do when a picture's file is not there.
    """

    read: Callable[[], Any] = field(repr=False)
    where: str
    folder: Path | None = None
    root: Path | None = None
    hint: str = ""

    def source(self) -> bytes | Path:
        """The encoded bytes, or the file that holds them.

        Raises:
            DatasetError: the field holds no picture, or a path that is missing or leads out of the data's folder.
        """
        value = self.read()
        if isinstance(value, (list, tuple)):
            if len(value) != 1:
                raise self._wrong("exactly one picture", f"a list of {len(value)}")
            value = value[0]
        if isinstance(value, dict):
            value = value["bytes"] if value.get("bytes") is not None else value.get("path")
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        if not isinstance(value, str) or not value.strip():
            expected = "a picture: bytes, a path, {bytes, path} or a list of one of these"
            raise self._wrong(expected, "nothing" if value is None else repr(value)[:80])
        return self._uri(value) if value.startswith(_URI) else self._file(value)

    def encoded(self) -> bytes:
        """The encoded bytes. Raises as `source` does."""
        source = self.source()
        if isinstance(source, bytes):
            return source
        try:
            return source.read_bytes()
        except OSError as error:
            raise self._wrong("a picture that can be read", f"{source}: {error.strerror or error}") from None

    def pixels(self, max_side: int | None = None) -> Image:
        """The decoded picture, uint8 (height, width, 3) RGB.

        Raises:
            DatasetError: as `source`; or the bytes are no picture, or a side is longer than `max_side` pixels.
        """
        encoded = self.encoded()
        try:
            pixels = decode_image(encoded)
        except ImageError as error:
            raise self._wrong("a PNG, JPEG or WebP picture", str(error)) from None
        height, width = pixels.shape[:2]
        if max_side is not None and max(height, width) > max_side:
            raise self._wrong(f"sides of at most {max_side} pixels", f"{width} x {height}; make the picture smaller")
        return pixels

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Picture) and self.encoded() == other.encoded()

    def __hash__(self) -> int:
        return hash(self.encoded())

    def _file(self, name: str) -> Path:
        if self.folder is None or self.root is None:
            raise self._wrong(
                "a picture inside the table",
                f"the path {name!r}; fetch the data set with its pictures into a folder and pass data=FOLDER",
            )
        relative = Path(name)
        if relative.is_absolute() or ".." in relative.parts or "\0" in name or "\\" in name:
            raise self._wrong("a path below the data's folder, without '..'", repr(name))
        path = self.folder / relative
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise self._wrong("a path that stays in the data's folder", f"{name!r}, a link to {path.resolve()}")
        if not path.is_file():
            missing = f"{path}, which is not there"
            raise self._wrong("the file of a picture", f"{missing}. {self.hint}" if self.hint else missing)
        return path

    def _uri(self, value: str) -> bytes:
        head, comma, body = value.partition(",")
        if not comma or not head.endswith(";base64"):
            raise self._wrong("'data:image/png;base64,' and the picture", repr(value[:40]))
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError) as error:
            raise self._wrong("base64", f"text that is not: {error}") from None

    def _wrong(self, expected: str, got: str) -> DatasetError:
        return DatasetError(f"{self.where}: expected {expected}; got {got}")
