"""What an expert thinks on the way to the object that a phrase denotes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..counting.looks import FlatLook
from .expression import Is, Referring
from .places import centre
from .wording import FLAT, Terms, short

THOUGHTS = ("query", "place", "scan", "rule_out")
_WORDS = ("size", "colour", "material", "shape")  # in the order in which `short` says them


def think(thought: str, item: Any, world: Any, look: Any, names: list[str], terms: Terms = FLAT) -> str:
    """A thought that ends at `item`. names: of the objects in reading order, "none" for an empty cell."""
    if thought == "query":
        return short(world.expression, terms)
    if thought == "place":
        return place_of(item, world, look)
    order = look.reading_order(world.scene)
    if thought == "rule_out":
        names = ["none" if other is None else looked_at(other, world.expression) for other in order]
    until = next(k for k, other in enumerate(order) if other is item) + 1
    if isinstance(look, FlatLook) and look.layout == "grid":
        names = [f"{chr(ord('a') + k // look.cells)}{k % look.cells + 1} {name}" for k, name in enumerate(names)]
    return ", ".join(names[:until])


def looked_at(item: Any, expression: Referring) -> str:
    """What of an object has to be looked at: the attributes that the phrase names, up to the first that differs.

    For phrases that name values of attributes and nothing else.
    """
    seen: list[str] = []
    for condition in _attributes(expression):
        seen.append(getattr(item, condition.attribute))
        if seen[-1] != condition.value:
            break
    return " ".join(seen)


def first_word(expression: Referring) -> Referring:
    """What is left of a phrase for somebody who reads no further than its first value of an attribute, if it has one:
    of "second red circle from the left" it is "red"."""
    return Referring(tuple(_attributes(expression)[:1]))


def first_fitting(expression: Referring, items: Sequence[Any]) -> Any:
    """The first of these objects that has the values which the phrase names. One of them must."""
    wanted = _attributes(expression)
    return next(item for item in items if all(getattr(item, c.attribute) == c.value for c in wanted))


def _attributes(expression: Referring) -> list[Is]:
    """The values of attributes that a phrase names, in the order of its words."""
    named = [c for c in expression.conditions if isinstance(c, Is)]
    return sorted(named, key=lambda c: _WORDS.index(c.attribute))


def place_of(item: Any, world: Any, look: Any) -> str:
    """Where it is, in words: its cell, or which ninth of the picture holds its centre."""
    x, y = centre(item, world.scene)
    if isinstance(look, FlatLook) and look.layout == "grid":
        return f"row {int(y) // look.cell_px + 1} column {int(x) // look.cell_px + 1}"
    row, column = int(y * 3 / look.height), int(x * 3 / look.width)
    return f"{('top', 'middle', 'bottom')[row]} {('left', 'centre', 'right')[column]}"
