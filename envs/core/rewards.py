"""Pure scorers: from an action and the gold answer to a number in [0, 1]. They never raise on a model's text."""

import re
from collections.abc import Sequence

from .actions import Action, Malformed

# At most 18 digits: int() refuses very long strings, and no count needs more. ASCII only, as the benchmarks read it.
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


def exact_integer(said: str, gold: int) -> float:
    """1.0 if `said` is the integer `gold` in ASCII digits (blanks around it and leading zeros allowed), else 0.0."""
    said = said.strip()
    return float(_INTEGER.fullmatch(said) is not None and int(said) == gold)


def share_right(said: str, gold: Sequence[str]) -> float:
    """The share of positions at which a comma-separated list names what `gold` names: 1.0 only if all are right.

    Case and repeated blanks do not count. Entries too many make the share smaller, so that a longer list cannot pay.
    """
    entries = [" ".join(entry.lower().split()) for entry in said.split(",")]
    right = sum(a == b for a, b in zip(entries, gold, strict=False))
    return right / max(len(entries), len(gold), 1)


def format_score(action: Action | Malformed) -> float:
    """1.0 for the strict form, otherwise 0.0."""
    return float(action.well_formed)


def weighted(accuracy: float, form: float, format_weight: float) -> float:
    """(1 - w) accuracy + w form, written so that (1, 1) gives exactly 1.0 and (0, 0) exactly 0.0."""
    return accuracy + format_weight * (form - accuracy)
