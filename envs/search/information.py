"""What is shown of search results: numbered passages between tags, and nothing in them that could pass for a tag."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sandbox.search import Hit

# What a chat template or this package reads as more than text begins with "<" and a letter, a slash or a bar.
_TAG = re.compile(r"<(?=[/|A-Za-z_\u4e00-\u9fff\uff5c])")
_SPECIAL = re.compile(r"<\|[^<>|]{0,64}\|>")
_BRACKETED = re.compile(r"\[(?=/?[A-Z_]{3,}\])")  # [INST], [/INST], [IMG]


def neutral(text: str) -> str:
    """`text` with no tag in it: a blank is put behind each bracket that could open one.

    One pass is enough, as nothing is taken away: no two halves can meet. Half surrogates, which have no UTF-8 form,
    become question marks.
    """
    return _BRACKETED.sub("[ ", _TAG.sub("< ", text)).encode("utf-8", "replace").decode()


def snippet(text: str, length: int) -> str:
    """The beginning of `text` on one line, at most `length` characters, cut between words where there are any."""
    text = " ".join(text[: 2 * length + 2].split())
    if len(text) <= length:
        return text
    cut = text[: length + 1].rsplit(" ", 1)[0] if " " in text[1 : length + 1] else text[:length]
    return cut.rstrip()


def information(hits: Sequence[Hit], length: int) -> str:
    """`<information> 1. Title: text 2. Title: text </information>`, each text cut to `length` characters."""
    if not hits:
        return "<information> Nothing was found. </information>"
    shown = [
        f"{number}. {neutral(snippet(hit.passage.title, 200))}: {neutral(snippet(hit.passage.text, length))}"
        for number, hit in enumerate(hits, 1)
    ]
    return f"<information> {' '.join(shown)} </information>"


def content(hits: Sequence[Hit], length: int) -> str:
    """`<information> 1. Content:text2. Content:text </information> `, as MAT-Search writes it: no blank before the next
    number, one behind the end, and no titles. Here a title stands before its text, since passages do not repeat it."""
    bodies = [neutral(snippet(f"{hit.passage.title}: {hit.passage.text}", length)) for hit in hits]
    return f"<information> {''.join(f'{n}. Content:{body}' for n, body in enumerate(bodies, 1))} </information> "


def spoken(text: str, length: int) -> str:
    """What a model said, to be shown to it again as text: without special tokens, at most `length` characters."""
    text = _SPECIAL.sub("", text[:length]).replace("<|", "< |")
    return text.encode("utf-8", "replace").decode()
