"""Text that a stranger wrote, made fit to be shown to a model: one pure function.

What a web page says may be wrong, and may be written to be read by a model. Nothing here judges that. It takes away
what could pass for more than text: signs that are not seen, and the tokens by which a chat, a thought or a tool call
begins or ends.
"""

from __future__ import annotations

import html
import re
import unicodedata

# Nobody sees these, though their categories say otherwise: fillers and selectors of shapes, blank by design.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(
    chr(code) for low, high in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF)) for code in range(low, high + 1)
)
_GONE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})  # control, format (bidi, zero width, tags), surrogate, private, none
_BLANKS = re.compile(r"[^\S\n]+")
_BREAKS = re.compile(r" ?\n[\n ]*")

# A sign behind which a token could begin, and what must follow for it: a name, a bar or a slash as in <|im_start|>,
# </s>, <think>, <<SYS>>, <0x0A>, the same with full-width bars, ◁think▷, and names in brackets: [INST], [gMASK].
# The small and the full-width "<" count too: some tokenisers turn them into the plain one.
_TOKEN = re.compile(
    r"[<\uff1c\ufe64](?=[/|\uff5c\\<_!?]|0x|[^\W\d_])"
    r"|\u25c1(?=/?\w)"
    r"|\[(?=/?(?:[A-Z][A-Z_]{2,}|gMASK|sMASK|unused\d+)\])"
)


def clean(text: str, limit: int) -> str:
    """`text` without unseen signs and with no token of a chat or a tool in it, at most `limit` characters.

    Control, format, bidirectional, private and unassigned characters are dropped; runs of blanks become one blank, of
    lines one line break; a blank is put behind every bracket that could begin a special token, so that "<|im_end|>"
    reads "< |im_end|>". Nothing else changes. Cleaning twice is cleaning once, and no part of the result can be joined
    to a token by cutting it.
    """
    # Only a beginning is looked at, so that a page of a hundred megabytes costs no more than one of a few lines.
    seen = "".join(map(_seen, text[: 8 * limit + 64].encode("utf-8", "replace").decode()))
    seen = _BREAKS.sub("\n", _BLANKS.sub(" ", seen)).strip()
    return _TOKEN.sub(lambda found: found[0] + " ", seen)[:limit].rstrip()


def unescaped(text: str) -> str:
    """HTML entities as the signs they stand for. Comes before `clean`, never behind it."""
    return html.unescape(text)


def _seen(sign: str) -> str:
    if sign.isascii():
        return sign if sign.isprintable() else " " if sign in "\t\v\f" else "\n" if sign in "\r\n" else ""
    category = unicodedata.category(sign)
    if category in ("Zl", "Zp") or sign == "\u0085":
        return "\n"
    if category == "Zs":
        return " "
    return "" if category in _GONE or sign in _INVISIBLE else sign
