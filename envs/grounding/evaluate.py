"""Which object an expression denotes in a scene. Knows nothing of how expressions are made or worded.

Spatial words are vague near their border, and a vague expression must not be asked. So a condition is true, false or
unsettled of an object, and an expression with an unsettled object, or whose pick is too close to call, denotes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .expression import Beside, Condition, Is, Nearest, Not, Ordinal, Pick, Referring


@dataclass(frozen=True, slots=True)
class Thing:
    """An object as expressions see it: the values of its attributes, and its centre in pixels (y down)."""

    attributes: Mapping[str, str]
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Scene:
    """Objects, and from how many pixels on one of two counts as left of (or above) the other.

    Closer than `margin`, but not level, is unsettled. Something is nearest when the next is at least sqrt(1.5) = 1.22
    times as far away.
    """

    things: Sequence[Thing]
    margin: int


def denoted(expression: Referring, scene: Scene) -> int | None:
    """The index of the one object that the expression denotes, or None: there is none, several, or it is unsettled."""
    truths: list[list[bool | None]] = []
    for condition in expression.conditions:
        truth = _truth(condition, scene)
        if truth is None:
            return None
        truths.append(truth)
    met = [k for k in range(len(scene.things)) if all(truth[k] is not False for truth in truths)]
    if any(truth[k] is None for truth in truths for k in met):
        return None
    if expression.pick is not None:
        return _picked(expression.pick, met, scene)
    return met[0] if len(met) == 1 else None


def _truth(condition: Condition, scene: Scene) -> list[bool | None] | None:
    """Per object true, false or unsettled (None); None altogether where a phrase inside denotes nothing."""
    things = scene.things
    if isinstance(condition, Is):
        return [thing.attributes[condition.attribute] == condition.value for thing in things]
    if isinstance(condition, Not):
        truth = _truth(condition.condition, scene)
        return None if truth is None else [None if one is None else not one for one in truth]
    anchor = denoted(condition.anchor, scene)
    if anchor is None:
        return None
    if isinstance(condition, Beside):
        origin = _along(things[anchor], condition.side)
        gaps = [origin - _along(thing, condition.side) for thing in things]
        return [True if gap >= scene.margin else False if gap <= 0 else None for gap in gaps]
    value = things[anchor].attributes[condition.attribute]
    return [k != anchor and thing.attributes[condition.attribute] == value for k, thing in enumerate(things)]


def _picked(pick: Pick, among: list[int], scene: Scene) -> int | None:
    things = scene.things
    if isinstance(pick, Nearest):
        anchor = denoted(pick.anchor, scene)
        if anchor is None:
            return None
        far = sorted((_distance(things[k], things[anchor]), k) for k in among if k != anchor)
        return far[0][1] if far and (len(far) == 1 or 2 * far[1][0] >= 3 * far[0][0]) else None
    assert isinstance(pick, Ordinal)
    places = {k: _along(things[k], pick.side) for k in among}
    for k, place in places.items():
        others = [other for j, other in places.items() if j != k]
        before = sum(other <= place - scene.margin for other in others)
        after = sum(other >= place + scene.margin for other in others)
        if before == pick.place - 1 and before + after == len(others):
            return k
    return None


def _along(thing: Thing, side: str) -> int:
    """How far from this side of the picture, up to a constant: the smaller, the closer to it."""
    return {"left": thing.x, "right": -thing.x, "above": thing.y, "below": -thing.y}[side]


def _distance(a: Thing, b: Thing) -> int:
    return (a.x - b.x) ** 2 + (a.y - b.y) ** 2
