"""Expressions of a form that may denote a given object of a scene, enumerated.

Sets of objects are bit masks, which makes a look at every anchor and every side cheap. What comes out is only proposed:
whether it denotes the target and needs all its parts is for `evaluate` to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from .evaluate import Scene
from .expression import SIDES, Beside, Condition, Is, Nearest, Not, Ordinal, Pick, Referring, Same
from .template import Template

ORDINALS = 3  # "third from the left" is the last that is not tedious to count


class Candidates:
    """Expressions that begin with `conditions` (on attributes alone) and point to object `target` of the scene."""

    def __init__(self, conditions: tuple[Condition, ...], target: int, scene: Scene, names: Sequence[str]) -> None:
        self.conditions, self.target, self.scene, self.names = conditions, target, scene, names
        self.count = len(scene.things)
        self.everything = (1 << self.count) - 1
        self._values: dict[tuple[str, str], int] = {}
        for k, thing in enumerate(scene.things):
            for name in names:
                key = (name, thing.attributes[name])
                self._values[key] = self._values.get(key, 0) | 1 << k
        self._sides: dict[tuple[str, int], tuple[int, int, int]] = {}
        self.members = self._met(conditions)

    def of(self, template: Template, compared: str) -> list[Referring]:
        """Candidates of this form; compared: the attribute of the relation "same"."""
        if template.relation == "nearest":
            return [
                Referring(self.conditions, Nearest(anchor))
                for at in self._others()
                if self._first(at)
                for anchor in self._anchors(at, template)
            ]
        if template.relation == "same":
            # "Of the same colour as the red square" would only be another word for "red".
            return [
                Referring((*self.conditions, Same(compared, anchor)))
                for at in self._others()
                if self._alike(compared, at) & self.members & ~(1 << at) == 1 << self.target
                for anchor in self._anchors(at, template)
                if all(not isinstance(c, Is) or c.attribute != compared for c in anchor.conditions)
            ]
        if template.relation == "side":
            return [
                Referring((*self.conditions, Beside(side, anchor)), pick)
                for at in self._others()
                for side in SIDES
                for pick in self._picks(self._beside(side, at), template.ordinal)
                for anchor in self._anchors(at, template)
            ]
        return [Referring(self.conditions, pick) for pick in self._picks(self.members, template.ordinal)]

    def _others(self) -> list[int]:
        return [k for k in range(self.count) if k != self.target]

    def _picks(self, among: int, ordinal: bool) -> list[Pick | None]:
        """What makes the target the one out of this set: nothing where it is alone, else its place from each side."""
        bit = 1 << self.target
        if not among & bit:
            return []
        if not ordinal:
            return [None] if among == bit else []
        found: list[Pick | None] = []
        for side in SIDES:
            before, level, short = self._side(side, self.target)
            place = (among & before).bit_count() + 1
            if among != bit and place <= ORDINALS and not among & (level | short) & ~bit:
                found.append(Ordinal(place, side))
        return found

    def _first(self, at: int) -> bool:
        """Whether the target is the member closest to object `at`, by some distance."""
        a = self.scene.things[at]
        far = sorted(
            ((thing.x - a.x) ** 2 + (thing.y - a.y) ** 2, k)
            for k, thing in enumerate(self.scene.things)
            if k != at and self.members >> k & 1
        )
        return far[0][1] == self.target and len(far) > 1 and 2 * far[1][0] >= 3 * far[0][0]

    def _beside(self, side: str, at: int) -> int:
        """The members on this side of object `at`; none where a member is unsettled."""
        on, _, short = self._side(side, at)
        return 0 if self.members & short else self.members & on

    def _anchors(self, at: int, template: Template) -> list[Referring]:
        """Phrases for object `at`."""
        bit = 1 << at
        plain = [c for c in self._described(at, template.anchor) if template.hop or self._met(c) == bit]
        if not template.hop:
            return [Referring(c) for c in plain]
        return [
            Referring((*c, Beside(side, Referring(third))))
            for other in range(self.count)
            if other not in (at, self.target)
            for third in self._described(other, 1)
            if self._met(third) == 1 << other
            for side in SIDES
            if self._side(side, other)[0] & bit
            for c in plain
            if self._met(c) & self._side(side, other)[0] == bit
        ]

    def _described(self, at: int, count: int) -> list[tuple[Condition, ...]]:
        attributes = self.scene.things[at].attributes
        return [tuple(Is(a, attributes[a]) for a in chosen) for chosen in combinations(self.names, count)]

    def _met(self, conditions: Sequence[Condition]) -> int:
        met = self.everything
        for condition in conditions:
            if isinstance(condition, Is):
                met &= self._values.get((condition.attribute, condition.value), 0)
            elif isinstance(condition, Not) and isinstance(condition.condition, Is):
                met &= ~self._values.get((condition.condition.attribute, condition.condition.value), 0)
        return met

    def _alike(self, name: str, at: int) -> int:
        return self._values[name, self.scene.things[at].attributes[name]]

    def _side(self, side: str, at: int) -> tuple[int, int, int]:
        """Three sets of objects: clearly on this side of object `at`; level with it, or less than the margin beyond it;
        less than the margin on this side of it."""
        if (side, at) not in self._sides:
            things, sign, margin = self.scene.things, 1 if side in ("left", "above") else -1, self.scene.margin
            origin = self.scene.things[at]
            across = side in ("left", "right")
            on = level = short = 0
            for k, thing in enumerate(things):
                gap = sign * (origin.x - thing.x if across else origin.y - thing.y)
                if gap >= margin:
                    on |= 1 << k
                elif gap > 0:
                    short |= 1 << k
                elif gap > -margin:
                    level |= 1 << k
            self._sides[side, at] = on, level, short
        return self._sides[side, at]
