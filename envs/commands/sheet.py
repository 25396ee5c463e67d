"""Contact sheets: a few episodes of an environment side by side, with the question and its answer beneath."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from PIL import Image, ImageDraw, ImageFont

TILE = 190  # pixels, width of a tile and largest side of its picture
TILES = 4
MARGIN = 8
LINE = 13
FONT = 11
LINES = 5  # of the question
COLUMNS = 33  # characters a line
COLOURS = 128  # of the palette
INK, FAINT, PAPER = (20, 20, 20), (110, 110, 110), (255, 255, 255)


def draw(env_id: str, kwargs: Mapping[str, Any]) -> Image.Image:
    """The first episodes of the test split as one picture, in a palette of 128 colours."""
    env = gymnasium.make(env_id, disable_env_checker=True, **{"split": "test", **kwargs})
    base: Any = env.unwrapped
    try:
        tiles = []
        for task in range(min(TILES, base.num_tasks(base.split))):
            observation, _ = env.reset(options={"task": task})
            answer = _answer(base.solve()[-1]) if hasattr(base, "solve") else ""
            tiles.append(_tile(observation, answer))
    finally:
        env.close()
    height = max(tile.height for tile in tiles)
    sheet = Image.new("RGB", (len(tiles) * (TILE + MARGIN) + MARGIN, height + 2 * MARGIN), PAPER)
    for k, tile in enumerate(tiles):
        sheet.paste(tile, (MARGIN + k * (TILE + MARGIN), MARGIN))
    # Without the refinement median cut mixes the colours of small things.
    return sheet.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE)


def question_of(text: str) -> str:
    """The question in a first observation: what `<query>` holds, else its first paragraph, without what comes behind
    the first question mark (how to answer)."""
    found = re.findall(r"<query>(.*?)</?query>", text, re.DOTALL)
    text = " ".join((found[-1] if found else text.strip().split("\n\n")[0]).split())
    asked, mark, _ = text.partition("?")
    return asked + mark


def _answer(text: str) -> str:
    found = re.findall(r"<answer>(.*?)</answer>", text, re.DOTALL)
    return " ".join((found[-1] if found else re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL)).split())


def _tile(observation: Mapping[str, Any], answer: str) -> Image.Image:
    font = ImageFont.load_default(FONT)
    asked = textwrap.wrap(question_of(_plain(observation["text"])), COLUMNS, max_lines=LINES, placeholder=" ...")
    told = textwrap.wrap(_plain(answer), COLUMNS, max_lines=2, placeholder=" ...")
    pictures = observation["images"]
    picture = _fitted(pictures[0]) if pictures else None
    top = picture.height + MARGIN if picture else 0
    tile = Image.new("RGB", (TILE, top + LINE * (len(asked) + len(told)) + 4), PAPER)
    if picture:
        tile.paste(picture, (0, 0))
    pen = ImageDraw.Draw(tile)
    for k, line in enumerate([*asked, *told]):
        pen.text((0, top + k * LINE), line, fill=INK if k < len(asked) else FAINT, font=font)
    return tile


def _fitted(pixels: np.ndarray[Any, Any]) -> Image.Image:
    """Within the tile: smaller by averaging, larger (of tiny pictures) by whole steps."""
    picture = Image.fromarray(pixels)
    side = max(picture.size)
    if side > TILE:
        return picture.resize(
            (max(1, picture.width * TILE // side), max(1, picture.height * TILE // side)), Image.Resampling.LANCZOS
        )
    factor = TILE // side
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _plain(text: str) -> str:
    """What the built-in font has; the rest as question marks."""
    return text.encode("latin-1", "replace").decode("latin-1")
