"""Programs: how one is taken from a model's text, what is laid around it, and what the expert writes."""

from __future__ import annotations

import re
from collections.abc import Sequence

INPUT, OUTPUT = "path_to_input_image.jpg", "path_to_output_image.jpg"
PROGRAMS = ("files", "variable")

# Laid around a program that is given the picture as a variable, and stored without loss.
_BEFORE, _AFTER = f"import cv2, numpy as np; image = cv2.imread('{INPUT}')", "cv2.imwrite('output.png', image)"
_FENCED = re.compile(r"```(?:python|py)?[ \t]*\r?\n(.*?)(?:```|\Z)", re.DOTALL)


def take_program(text: str) -> str:
    """The program in what stands between <code> and </code>: its first fenced block, or else all of it."""
    fenced = _FENCED.search(text)
    return (fenced[1] if fenced else text).strip("\r\n")


def output_of(program: str) -> str:
    """The file that holds the picture afterwards."""
    return OUTPUT if program == "files" else "output.png"


def wrap(code: str, program: str) -> str:
    """What is run: with "variable" the picture is in `image` before and taken from there afterwards."""
    return code if program == "files" else f"{_BEFORE}\n{code}\n{_AFTER}"


# In the order in which they are undone: the last one done first.
REMEDIES: dict[str, str] = {
    "crop": "height, width = image.shape[:2]\n"
    "image = image[{y1} * height // 1000 : {y2} * height // 1000, {x1} * width // 1000 : {x2} * width // 1000]",
    "noise": "low, high = image.min(axis=2), image.max(axis=2)\n"
    "spots = ((high == 0) | (low == 255)).astype('uint8')\n"
    "image = cv2.inpaint(image, spots, 2, cv2.INPAINT_TELEA)",
    "dark": "image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)",
    "overexposure": "image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)",
    "blur": "soft = image.astype('float32')\nsharp = soft\nfor _ in range({rounds}):\n"
    "    sharp = sharp + soft - cv2.blur(cv2.blur(sharp, ({side}, {side})), ({side}, {side}))\n"
    "image = sharp.clip(0, 255).astype('uint8')",
    "rotation180": "image = cv2.rotate(image, cv2.ROTATE_180)",
    "rotation90": "image = cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)",
}


# For a tiny picture in a variable, where noise is sparse.
SHORT: dict[str, str] = {
    "dark": "image = image * 10",
    "overexposure": "image = 255 - (255 - image) * 10",
    "noise": "image = cv2.medianBlur(image, 3)",
    "rotation180": "image = cv2.rotate(image, cv2.ROTATE_180)",
    "rotation90": "image = cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)",
}


def remedy(distortions: Sequence[str], box: Sequence[int] | None, reach: int, program: str) -> str:
    """The program that undoes these distortions.

    box: what to crop, (x1, y1, x2, y2) in thousandths. reach: how far a blur reached, in pixels.
    """
    if program == "variable":
        return "\n".join(code for name, code in SHORT.items() if name in distortions)
    numbers = dict(zip(("x1", "y1", "x2", "y2"), box or (), strict=False))
    # Sharpening brings out what rounding and noise left: only a clean picture bears much of it.
    clean = not {"dark", "overexposure", "noise"} & set(distortions)
    numbers |= {"side": 2 * reach + 1, "rounds": 20 if clean else 6}
    lines = ["import cv2", "", f"image = cv2.imread('{INPUT}')"]
    lines += [code.format(**numbers) for name, code in REMEDIES.items() if name in distortions]
    lines += [f"cv2.imwrite('{OUTPUT}', image, [cv2.IMWRITE_JPEG_QUALITY, 98])"]
    return "\n".join(lines)
