"""Programs: how one is taken from a model's text, what it reads and writes, and what the expert writes."""

from __future__ import annotations

import re
from collections.abc import Sequence

# What a program reads and writes. It runs as it was written: nothing is laid around it.
FILES: dict[str, tuple[str, str]] = {
    "files": ("path_to_input_image.jpg", "path_to_output_image.jpg"),
    "short": ("in.png", "out.png"),
}
PROGRAMS = tuple(FILES)
_FENCED = re.compile(r"```(?:python|py)?[ \t]*\r?\n(.*?)(?:```|\Z)", re.DOTALL)


def take_program(text: str) -> str:
    """The program in what stands between <code> and </code>: its first fenced block, or else all of it."""
    fenced = _FENCED.search(text)
    return (fenced[1] if fenced else text).strip("\r\n")


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


# For a tiny picture, where noise is sparse.
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
    source, target = FILES[program]
    if program == "short":
        mending = [code for name, code in SHORT.items() if name in distortions]
        return "\n".join(["import cv2", f"image = cv2.imread('{source}')", *mending, f"cv2.imwrite('{target}', image)"])
    numbers = dict(zip(("x1", "y1", "x2", "y2"), box or (), strict=False))
    # Sharpening brings out what rounding and noise left: only a clean picture bears much of it.
    clean = not {"dark", "overexposure", "noise"} & set(distortions)
    numbers |= {"side": 2 * reach + 1, "rounds": 20 if clean else 6}
    lines = ["import cv2", "", f"image = cv2.imread('{source}')"]
    lines += [code.format(**numbers) for name, code in REMEDIES.items() if name in distortions]
    lines += [f"cv2.imwrite('{target}', image, [cv2.IMWRITE_JPEG_QUALITY, 98])"]
    return "\n".join(lines)
