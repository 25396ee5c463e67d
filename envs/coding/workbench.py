"""Running a program on the current picture: from text to a new picture, or to what the model is told.

Only what the program did comes back as text. What the sandbox did wrong is an exception of the sandbox, and passes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from ..core.errors import ArgumentError, ImageError
from ..core.images import decode_image, encode_png
from ..core.spaces import Image
from .programs import FILES, take_program

MAX_SIDE = 8192  # pixels, of a picture that a program writes
MAX_PIXELS = 1 << 24
MIN_SIDE, MAX_ASPECT = 4, 100  # thinner pictures cannot be shown to a model
SAID = 600  # characters of what a program printed that are shown

# What differs from run to run for no reason that matters: addresses, and the name of the program's folder.
_ADDRESS = re.compile(r"0x[0-9a-f]{6,16}\b")
_FOLDER = re.compile(r"(?:/[\w.-]+)*/rllava-sandbox-\w+/run\b|/work/run\b")  # local, and in containers


@dataclass(frozen=True)
class Ran:
    """What came of a program. picture: the new current picture, or None. text: what the model is told. status: that of
    the sandbox, or "no picture"."""

    picture: Image | None
    text: str
    status: str


@dataclass
class Workbench:
    """A sandbox by its name, or "none": programs are not run. `seconds`: what one may take, wall-clock, 0.1 to 600."""

    name: str
    seconds: float = 10.0
    program: str = "files"
    _sandbox: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        try:
            from sandbox.contract import MIB, Limits
            from sandbox.errors import RequestError, Unavailable
            from sandbox.opening import open_sandbox
        except ModuleNotFoundError as error:  # pragma: no cover - the packages come together
            raise ArgumentError(f"programs need the package 'sandbox', which comes with this one: {error}") from None
        try:
            self._sandbox = None if self.name == "none" else open_sandbox(self.name)
        except (RequestError, Unavailable) as error:
            raise ArgumentError(f"{error} Or take tools=False: no programs.") from None
        self.limits = Limits(
            wall_seconds=self.seconds,
            cpu_seconds=max(1, round(self.seconds)),
            memory_bytes=1024 * MIB,
            processes=16,
            output_bytes=64 * 1024,
            file_bytes=64 * MIB,
            files=1,
            files_bytes=64 * MIB,
        )

    def run(self, text: str, picture: Image) -> Ran:
        """Run what stands between <code> and </code> on the picture.

        Raises:
            sandbox.errors.InfrastructureError: the sandbox failed; nothing is known of the program.
        """
        if self._sandbox is None:
            return Ran(None, "Programs are not run here.", "not run")
        source, output = FILES[self.program]
        result = self._sandbox.exec(take_program(text), {source: encode_png(picture)}, self.limits, outputs=[output])
        if not result.ok:
            return Ran(None, _join(result.reason, _clip(result.stderr)), result.status)
        if output not in result.files:
            why = dict(result.files_left_out).get(output)
            what = f"{output} is not a picture that can be taken: {why}." if why else f"It wrote no {output}."
            return Ran(None, _join(f"The program ran. {what}", _clip(result.stdout)), "no picture")
        try:
            new = decode_image(result.files[output], MAX_PIXELS)
            _check_shape(new)
        except ImageError as error:
            return Ran(None, f"The program ran, but {output} cannot be shown: {error}.", "no picture")
        return Ran(new, _join("The program ran.", _clip(result.stdout)), "ok")


def _check_shape(picture: Image) -> None:
    height, width = picture.shape[:2]
    if min(width, height) < MIN_SIDE or max(width, height) > min(MAX_SIDE, MAX_ASPECT * min(width, height)):
        raise ImageError(
            f"it is {width} x {height} pixels; sides must be from {MIN_SIDE} to {MAX_SIDE}, "
            f"and one at most {MAX_ASPECT} times the other"
        )


def _join(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


def _clip(text: str) -> str:
    """The end of what a program said: there a traceback says what went wrong."""
    text = _FOLDER.sub(".", _ADDRESS.sub("0x...", text)).replace("\0", "").strip()
    return text if len(text) <= SAID else "..." + text[-SAID:]


def fit(picture: Image, width: int, height: int) -> Image:
    """A copy of the picture, made smaller if it is larger than this, its shape kept; pixels become means over areas."""
    high, wide = picture.shape[:2]
    if wide <= width and high <= height:
        return picture.copy()
    if wide * height >= high * width:
        size = (width, max(high * width // wide, 1))
    else:
        size = (max(wide * height // high, 1), height)
    return np.asarray(PillowImage.fromarray(picture).resize(size, PillowImage.Resampling.BOX)).copy()
