"""Referring expressions as trees.

A `Referring` is a noun phrase: objects that meet all conditions, and out of these, with a pick, one. "The second red
circle from the left" is Referring((Is("colour", "red"), Is("shape", "circle")), Ordinal(2, "left")). A phrase inside a
condition ("left of the blue square") is a `Referring` of its own and must denote one object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

SIDES = ("left", "right", "above", "below")
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}


@dataclass(frozen=True, slots=True)
class Is:
    """The object has this value of this attribute: "red"."""

    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class Not:
    """The object does not meet the condition: "not red"."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Beside:
    """The object lies on this side of the one that `anchor` denotes: "left of the blue square"."""

    side: str  # one of SIDES
    anchor: Referring


@dataclass(frozen=True, slots=True)
class Same:
    """Another object than the one that `anchor` denotes, equal to it in this attribute: "of the same colour as ..."."""

    attribute: str
    anchor: Referring


@dataclass(frozen=True, slots=True)
class Ordinal:
    """The object at this place (from 1), counted from this side: "second from the left"."""

    place: int
    side: str  # one of SIDES; above: from the top


@dataclass(frozen=True, slots=True)
class Nearest:
    """The object closest to the one that `anchor` denotes, other than that one itself."""

    anchor: Referring


Condition = Is | Not | Beside | Same
Pick = Ordinal | Nearest


@dataclass(frozen=True, slots=True)
class Referring:
    """All conditions hold; out of the objects that meet them, `pick` takes one. Without a pick there must be one."""

    conditions: tuple[Condition, ...]
    pick: Pick | None = None


def size(expression: Referring) -> int:
    """How many conditions and picks it has, those of phrases inside it included."""
    parts: tuple[Condition | Pick, ...] = expression.conditions
    if expression.pick is not None:
        parts = (*parts, expression.pick)
    return sum(1 + (size(_inner(part).anchor) if _has_anchor(part) else 0) for part in parts)


def weaker(expression: Referring) -> Iterator[Referring]:
    """Every expression that lacks exactly one condition or pick of this one, at any depth."""
    for k, condition in enumerate(expression.conditions):
        before, after = expression.conditions[:k], expression.conditions[k + 1 :]
        yield replace(expression, conditions=before + after)
        if _has_anchor(condition):
            for anchor in weaker(_inner(condition).anchor):
                yield replace(expression, conditions=(*before, _with_anchor(condition, anchor), *after))
    if expression.pick is not None:
        yield replace(expression, pick=None)
    if isinstance(expression.pick, Nearest):
        for anchor in weaker(expression.pick.anchor):
            yield replace(expression, pick=Nearest(anchor))


def _inner(part: Condition | Pick) -> Beside | Same | Nearest:
    while isinstance(part, Not):
        part = part.condition
    assert isinstance(part, Beside | Same | Nearest)
    return part


def _has_anchor(part: Condition | Pick) -> bool:
    while isinstance(part, Not):
        part = part.condition
    return isinstance(part, Beside | Same | Nearest)


def _with_anchor(condition: Condition, anchor: Referring) -> Condition:
    if isinstance(condition, Not):
        return Not(_with_anchor(condition.condition, anchor))
    assert isinstance(condition, Beside | Same)
    return replace(condition, anchor=anchor)
