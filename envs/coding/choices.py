"""Which problems a picture may have together, with which kinds of documents, and which of the pairs are held out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations as subsets

from ..core.errors import ArgumentError
from ..core.held_out import unseen
from .episode import PROBLEMS

# By how many problems there are: every choice of them with a kind of document.
Choices = dict[int, list[tuple[tuple[str, ...], str]]]


def all_choices(
    counts: tuple[int, int],
    faults: Sequence[str],
    kinds: Sequence[str],
    combinations: str,
    every_kind: Sequence[str],
) -> Choices:
    """What may be drawn. counts: the fewest and the most problems; every_kind: all kinds of documents of the style, by
    whose order pairs are held out.

    Raises:
        ArgumentError: nothing is left.
    """
    found: Choices = {}
    for count in range(counts[0], counts[1] + 1):
        some = [s for s in subsets([p for p in PROBLEMS if p in faults], count) if _compatible(s)]
        pairs = [(s, kind) for s in some for kind in kinds]
        if combinations != "all":
            pairs = [pair for pair in pairs if held_out(*pair, every_kind) == (combinations == "unseen")]
        if pairs:
            found[count] = pairs
    if not found:
        raise ArgumentError(
            f"no picture is left with problems={counts!r}, faults={tuple(faults)!r}, kinds={tuple(kinds)!r} and "
            f"combinations={combinations!r}: allow more of them"
        )
    return found


def held_out(problems: Sequence[str], kind: str, every_kind: Sequence[str]) -> bool:
    """Whether one of the problems is held out for this kind of document."""
    row = tuple(every_kind).index(kind)
    return any(unseen(PROBLEMS.index(problem), row) for problem in problems)


def _compatible(problems: tuple[str, ...]) -> bool:
    turned = {"rotation90", "rotation180"} & set(problems)
    lit = {"dark", "overexposure"} & set(problems)
    return len(turned) < 2 and len(lit) < 2 and not (turned and "crop" in problems)
