"""Tokens as chips: what each says, and how likely the policy thought it.

Everything here may come from an environment or a model, so nothing is trusted: control characters are made visible,
what is too long is cut with a note, and escaping is left to the template, which does it to every value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, isqrt

from ..types import ImageSpan, Segment

Decode = Callable[[tuple[int, ...]], str]

TOKEN_CHARACTERS = 80
# Least probability of each shade; the last one is for everything below.
SHADES = (0.9, 0.5, 0.2, 0.05)
# A character takes at most four bytes, a byte at most one token.
PIECES = 4

_INVISIBLE = [
    *range(0x20),
    *range(0x7F, 0xA0),
    0xAD,
    *range(0x200B, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    0xFEFF,
]
_VISIBLE = {code: f"⟨U+{code:04X}⟩" for code in [*_INVISIBLE, 0xFFFE, 0xFFFF]} | {0x09: "⇥", 0x0A: "⏎"}
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Chip:
    """One token, or one run of image placeholders.

    Attributes:
        text: What is shown.
        title: What a pointer sees: the token's id, and how likely it was.
        style: "" for what the policy read; "p0" (nearly certain) to "p4" (unlikely) or "given" (written by somebody
            else) for what it wrote; "image"; "cut" for tokens left out.
        number: The log-probability.
        breaks: Whether a line ends here.
    """

    text: str
    title: str
    style: str = ""
    number: str = ""
    breaks: bool = False


def visible(value: object, limit: int = 200) -> str:
    """Text of any origin as one line that shows its control characters and cannot reorder what stands around it."""
    text = str(value)
    cut = f" … (shortened from {len(text):,} characters)" if len(text) > limit else ""
    return _SURROGATES.sub("\ufffd", text[:limit]).translate(_VISIBLE) + cut


def chips(segment: Segment, decode: Decode, limit: int, numbers: dict[str, int]) -> tuple[Chip, ...]:
    """The segment, at most about `limit` chips of it: from the middle of a long one, tokens are left out.

    Args:
        numbers: The number of each picture (by its hash) on the page.
    """
    units = _units(segment)
    if len(units) <= limit:
        return _made(segment, units, decode, numbers)
    head = limit * 3 // 4
    tail = limit - head
    left_out = sum(length for _, length, _ in units[head:-tail])
    cut = Chip(f"… {left_out:,} tokens not shown …", "the record has them all", "cut", breaks=True)
    before, after = (_made(segment, part, decode, numbers) for part in (units[:head], units[-tail:]))
    return (*before, cut, *after)


def _units(segment: Segment) -> list[tuple[int, int, ImageSpan | None]]:
    """(start, length, picture) of what becomes one chip each: single tokens, and whole runs of image placeholders."""
    units: list[tuple[int, int, ImageSpan | None]] = []
    position = 0
    for span in segment.images:
        units += [(i, 1, None) for i in range(position, span.start)]
        units.append((span.start, span.length, span))
        position = span.start + span.length
    return units + [(i, 1, None) for i in range(position, len(segment.token_ids))]


def _made(
    segment: Segment, units: Sequence[tuple[int, int, ImageSpan | None]], decode: Decode, numbers: dict[str, int]
) -> tuple[Chip, ...]:
    made: list[Chip] = []
    ids: list[int] = []
    first = 0
    for start, _, span in units:
        if span is None:
            first = first if ids else start
            ids.append(segment.token_ids[start])
            continue
        made += _tokens(segment, first, ids, decode)
        ids = []
        made.append(_image(span, numbers))
    return (*made, *_tokens(segment, first, ids, decode))


def _tokens(segment: Segment, first: int, ids: Sequence[int], decode: Decode) -> list[Chip]:
    made = []
    for index, (token, text) in enumerate(zip(ids, token_texts(ids, decode), strict=True)):
        shown = visible(text, TOKEN_CHARACTERS)
        shown = "␣" * len(shown) if shown.isspace() else shown
        title, style, number = f"id {token}", "", ""
        if segment.kind == "action":
            style = "given"
            if segment.logprobs is not None:
                logprob = segment.logprobs[first + index]
                probability = exp(min(logprob, 0.0))
                number, style = f"{logprob:.2f}", f"p{shade(probability)}"
                title += f", log-probability {logprob:.4f}, probability {100 * probability:.3g}%"
        made.append(Chip(shown, title, style, number, "\n" in text))
    return made


def shade(probability: float) -> int:
    """0 for a token that was nearly certain to 4 for an unlikely one."""
    return next((i for i, least in enumerate(SHADES) if probability >= least), len(SHADES))


def token_texts(ids: Sequence[int], decode: Decode) -> list[str]:
    """What each token says. Tokens of bytes that make a character only together are named by it and their place."""
    texts: list[str] = []
    while len(texts) < len(ids):
        here = len(texts)
        for count in range(1, min(PIECES, len(ids) - here) + 1):
            text = decode(tuple(ids[here : here + count]))
            if text and "\ufffd" not in text:
                texts += [text] if count == 1 else [f"{text} {i + 1}/{count}" for i in range(count)]
                break
        else:
            texts.append(f"⟨id {ids[here]}⟩")
    return texts


def _image(span: ImageSpan, numbers: dict[str, int]) -> Chip:
    frames, rows, columns = span.grid
    merge = isqrt(max(1, frames * rows * columns // span.length))
    sides = [*([frames] if frames > 1 else []), rows // merge, columns // merge]
    exact = frames * (rows // merge) * (columns // merge) == span.length
    size = "x".join(map(str, sides)) + " = " if exact else ""
    name = f"image {numbers[span.sha256]}" if span.sha256 in numbers else "image"
    return Chip(f"{name}: {size}{span.length} tokens", f"sha256 {visible(span.sha256[:16])}…", "image")
