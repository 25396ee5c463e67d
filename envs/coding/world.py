"""What an episode is: a document, a question, what was done to the picture, and where it stands among others."""

from __future__ import annotations

from dataclasses import dataclass

from ..render.document import Document
from .contents import Written

TABLE = 3  # documents a side, where one must be cropped


@dataclass(frozen=True)
class CodingPlan:
    """What is drawn before the document: what is done to its picture, its kind, and which of its questions is asked
    (a number that is divided by the number of questions)."""

    problems: tuple[str, ...]
    kind: str
    which: int


@dataclass(frozen=True)
class CodingWorld:
    """A document, what is asked, and what was done to its picture. table: the documents around it, in their places,
    where it must be cropped; place: its own. grain: what the noise is made from."""

    plan: CodingPlan
    written: Written
    question: str
    answer: str
    table: tuple[Document, ...]
    place: int
    grain: int


def box(place: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Where the document of this place stands on the table, (x1, y1, x2, y2) in thousandths of the table's width and
    height, rounded outwards. width, height: of a document, in pixels."""
    gap = width // 8
    wide, high = (TABLE * (side + gap) + gap for side in (width, height))
    x, y = gap + place % TABLE * (width + gap), gap + place // TABLE * (height + gap)
    return (
        1000 * x // wide,
        1000 * y // high,
        -(-1000 * (x + width) // wide),
        -(-1000 * (y + height) // high),
    )
