"""What tokens say, as text that nothing can hide in.

Everything here may come from an environment or a model, so nothing is trusted: control characters and those that
reorder a line are made visible, what is too long is cut with a note. That none of it becomes markup is the business of
the page, which sets texts and never HTML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Decode = Callable[[tuple[int, ...]], str]

TOKEN_CHARACTERS = 80
# A character takes at most four bytes, a byte at most one token.
PIECES = 4

_INVISIBLE = [
    *range(0x20),
    *range(0x7F, 0xA0),
    0xAD,
    0x61C,
    0x180E,
    *range(0x200B, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    0xFEFF,
    *range(0xFFF9, 0xFFFC),
    *range(0xE0000, 0xE0080),
]
_SEEN = {code: f"⟨U+{code:04X}⟩" for code in [*_INVISIBLE, 0xFFFE, 0xFFFF]}
_IN_LINES = {code: text for code, text in _SEEN.items() if code not in (0x09, 0x0A)}
_ON_ONE_LINE = _SEEN | {0x09: "⇥", 0x0A: "⏎"}
_SURROGATES = re.compile("[\ud800-\udfff]")


def visible(value: object, limit: int = 200) -> str:
    """Text of any origin as one line that shows its control characters and cannot reorder what stands around it."""
    text = str(value)
    cut = f" … (shortened from {len(text):,} characters)" if len(text) > limit else ""
    return _SURROGATES.sub("\ufffd", text[:limit]).translate(_ON_ONE_LINE) + cut


def visible_lines(value: object, limit: int) -> str:
    """The same, with its lines and tabs; of a text that is too long, beginning and end."""
    text = str(value)
    if len(text) <= limit:
        return _lines(text)
    head = limit * 3 // 4
    left_out = len(text) - limit
    return f"{_lines(text[:head])}\n… {left_out:,} characters not shown …\n{_lines(text[len(text) - limit + head :])}"


def _lines(text: str) -> str:
    return _SURROGATES.sub("\ufffd", text.replace("\r\n", "\n")).translate(_IN_LINES)


@dataclass(frozen=True, slots=True)
class Spelled:
    """What a token says. Of tokens that make a character only together, the first says it; `piece` is the place among
    them, as in "1/2", and empty for every other token."""

    text: str
    piece: str = ""


class Speller:
    """Says what tokens say, each id once.

    Args:
        decode: The tokenizer's; None where there is none, and then tokens are named by their ids.
    """

    def __init__(self, decode: Decode | None) -> None:
        self.knows = decode is not None
        self._decode = decode
        self._alone: dict[int, Spelled | None] = {}

    def spell(self, ids: Sequence[int]) -> list[Spelled]:
        """One for each id, in order."""
        said: list[Spelled] = []
        while len(said) < len(ids):
            said += self._next(ids, len(said))
        return said

    def _next(self, ids: Sequence[int], here: int) -> list[Spelled]:
        token = ids[here]
        if token not in self._alone:
            self._alone[token] = self._said((token,))
        if (alone := self._alone[token]) is not None:
            return [alone]
        for count in range(2, min(PIECES, len(ids) - here) + 1):
            if (together := self._said(ids[here : here + count])) is not None:
                return [Spelled(together.text if i == 0 else "", f"{i + 1}/{count}") for i in range(count)]
        return [Spelled(f"⟨id {token}⟩")]

    def _said(self, ids: Sequence[int]) -> Spelled | None:
        text = self._decode(tuple(ids)) if self._decode else ""
        if not text or "\ufffd" in text:
            return None
        cut = f" … (shortened from {len(text):,} characters)" if len(text) > TOKEN_CHARACTERS else ""
        return Spelled(_lines(text[:TOKEN_CHARACTERS]) + cut)
