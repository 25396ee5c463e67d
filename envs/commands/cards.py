"""Cards: an environment's class docstring, read by its headings and written as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .. import CATALOGUE, Entry

# In this order; where several are named, any of them.
REQUIRED: tuple[tuple[str, ...], ...] = (
    ("Observation",),
    ("Action",),
    ("Reward",),
    ("Episode end",),
    ("Tasks",),
    ("Held out",),
    ("Why guessing fails", "What guessing reaches"),
    ("Source",),
    ("Against ",),
    ("Keyword arguments",),
)
# Their lines are aligned in columns.
_ALIGNED = ("Keyword arguments",)
_CODE = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)  # as CommonMark finds code spans
_LAST = ("Keyword arguments",)  # what follows it are named sizes, aligned too


@dataclass(frozen=True)
class Card:
    """summary: the first paragraph. sections: heading -> text, in order, without the indentation."""

    summary: str
    sections: Mapping[str, str]


def read(docstring: str) -> Card:
    """The card in a class docstring: a summary, then headings at the margin with indented text beneath."""
    lines = inspect.cleandoc(docstring).splitlines()
    summary: list[str] = []
    sections: dict[str, list[str]] = {}
    heading = ""
    for k, line in enumerate(lines):
        follows = next((other for other in lines[k + 1 :] if other.strip()), "")
        if line and not line[0].isspace() and follows[:1].isspace():
            heading = line.strip().rstrip(":")
            sections[heading] = []
        elif heading:
            sections[heading].append(line)
        else:
            summary.append(line)
    return Card(
        " ".join(" ".join(summary).split()),
        {heading: inspect.cleandoc("\n" + "\n".join(body)) for heading, body in sections.items()},
    )


def missing(card: Card) -> list[str]:
    """What a card lacks, in words; an empty list for a whole one. Headings must come in the order of `REQUIRED`."""
    headings, wrong, before = list(card.sections), [], -1
    if not re.search(r"`RLLaVA/[\w-]+-v\d+`", card.summary):
        wrong.append("the id `RLLaVA/...-v0` in the first line")
    for names in REQUIRED:
        wanted = " or ".join(name.strip() + (" ..." if name.endswith(" ") else "") for name in names)
        at = next((k for k, heading in enumerate(headings) if heading.startswith(names)), None)
        if at is None:
            wrong.append(f"the heading {wanted!r}")
        elif not card.sections[headings[at]].strip():
            wrong.append(f"text under {wanted!r}")
        elif at < before:
            wrong.append(f"the heading {wanted!r} at its place: it comes too early")
        before = before if at is None else max(before, at)
    return wrong


def class_of(entry: Entry) -> type[Any]:
    """The environment's class, imported now."""
    module, name = entry.entry_point.split(":")
    found: type[Any] = getattr(import_module(module), name)
    return found


def card_of(env_id: str) -> Card:
    """The card of an environment of the catalogue."""
    return read(class_of(CATALOGUE[env_id]).__doc__ or "")


def markdown(card: Card) -> str:
    """The sections as Markdown: a bold heading and its text; aligned ones as they are, in a block."""
    parts, aligned = [], False
    for heading, body in card.sections.items():
        aligned = aligned or heading.startswith(_LAST)
        if aligned or heading.startswith(_ALIGNED):
            parts.append(f"**{_escaped(heading)}**\n\n```text\n{body}\n```")
        else:
            parts.append(f"**{_escaped(heading)}**\\\n{_escaped(body)}")
    return "\n\n".join(parts)


def _escaped(text: str) -> str:
    """Tags and asterisks as they are; what stands between backticks already is."""
    pieces, behind = [], 0
    for code in _CODE.finditer(text):
        pieces += [_plain(text[behind : code.start()]), code[0]]
        behind = code.end()
    return "".join([*pieces, _plain(text[behind:])])


def _plain(text: str) -> str:
    return re.sub("<(?=[A-Za-z/!?|])", "&lt;", text).replace("*", r"\*")
