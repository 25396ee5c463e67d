"""Looks of a scene's objects, such that the target has near misses and does not stand out by them.

For every condition on the target's attributes the scene holds a near miss: an object that meets the others and fails
this one. Were there no more to it, the target would be the one object that is like many others, and could be told
without the phrase. So the looks are a whole block: all combinations of a few values of these attributes, each of whose
cells would be as good a target. Objects beyond the block fail the conditions of every cell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product

import numpy as np

from .expression import Condition, Is, Not
from .template import Template

OUTSIDE = 0.5  # where places count: share of the objects beyond block and members that belong to no cell

SEARCH = 16  # looks tried for an object beyond the block

Look = tuple[str, ...]  # one value per varying attribute


class Looks:
    """Draws the looks of a scene's objects.

    Args:
        looks: all that objects may have, one value per attribute.
        values: the values of each attribute.
    """

    def __init__(self, looks: Sequence[Look], values: Mapping[str, Sequence[str]]) -> None:
        self.looks, self.values, self.names = looks, values, tuple(values)
        self._allowed = frozenset(looks)
        self._alike: dict[tuple[str | None, ...], list[Look]] = {}

    def draw(
        self,
        template: Template,
        conditions: Sequence[Condition],
        compared: str,
        target: Look,
        objects: int,
        rng: np.random.Generator,
    ) -> list[Look] | None:
        """Looks of `objects` objects, the target's first; `template.members` of them or more meet the conditions,
        exactly one where places do not count. None where this draw came upon a look that is not allowed."""
        members = 1 if compared else template.members
        axes = self._axes(conditions, compared, target, objects - members + 1, members > 1, rng)
        if axes is None:
            return None
        cells = [self._changed(target, axes, chosen) for chosen in product(*axes.values())]
        if not self._allowed.issuperset(cells):
            return None
        rest = objects - len(cells)
        denied = {c.condition.attribute for c in conditions if isinstance(c, Not) and isinstance(c.condition, Is)}
        block = [(self.names.index(name), frozenset(axis)) for name, axis in axes.items() if name not in denied]
        if members == 1:
            if compared:
                cells = [target, *(self._like(cell, axes, rng) for cell in cells[1:])]
            others = [self._outside(block, rng) for _ in range(rest)]
            return None if None in others else cells + [look for look in others if look is not None]
        # The target's cell has its members, and every cell a share of the rest, so that no cell stands out.
        owners = rng.permutation(len(cells)).tolist() * (1 + rest // len(cells))
        chosen = [target, *(self._like(cell, axes, rng) for cell in cells[1:] + cells[:1] * (members - 1))]
        for owner in owners[: objects - len(chosen)]:
            look = self._outside(block, rng) if rng.random() < OUTSIDE else None
            chosen.append(self._like(cells[owner], axes, rng) if look is None else look)
        return chosen

    def _axes(
        self,
        conditions: Sequence[Condition],
        compared: str,
        target: Look,
        room: int,
        partial: bool,
        rng: np.random.Generator,
    ) -> dict[str, list[str]] | None:
        """Per attribute that the conditions name, the values of the block, the target's first; None: no block fits.

        A compared attribute is an axis too, of two values. The others then have three: the target, its anchor and a
        near miss share one of the two.
        """
        denied: dict[str, list[str]] = {}
        free: dict[str, list[str]] = {}
        pairs = (Is(compared, target[self.names.index(compared)]),) if compared else ()
        for condition in (*conditions, *pairs):
            if isinstance(condition, Is):
                others = [v for v in self.values[condition.attribute] if v != condition.value]
                free[condition.attribute] = [others[k] for k in rng.permutation(len(others)).tolist()]
            elif isinstance(condition, Not) and isinstance(condition.condition, Is):
                denied.setdefault(condition.condition.attribute, []).append(condition.condition.value)
        fixed = 1 + sum(map(len, denied.values()))
        ranges = tuple(
            (2, 2) if name == compared else (3 if compared else 2, 1 + len(others)) for name, others in free.items()
        )
        widths = _widths(ranges, room, fixed, partial)
        if not widths:
            return None
        width = widths[int(rng.integers(len(widths)))]
        axes = {name: others[: n - 1] for (name, others), n in zip(free.items(), width, strict=True)} | denied
        return {name: [target[self.names.index(name)], *others] for name, others in axes.items()}

    def _changed(self, target: Look, axes: Mapping[str, Sequence[str]], chosen: Sequence[str]) -> Look:
        changed = dict(zip(axes, chosen, strict=True))
        return tuple(changed.get(name, value) for name, value in zip(self.names, target, strict=True))

    def _like(self, cell: Look, axes: Mapping[str, Sequence[str]], rng: np.random.Generator) -> Look:
        """Any look that agrees with the cell in the attributes that the conditions name."""
        key = tuple(value if name in axes else None for name, value in zip(self.names, cell, strict=True))
        if key not in self._alike:
            self._alike[key] = [
                look for look in self.looks if all(b in (a, None) for a, b in zip(look, key, strict=True))
            ]
        pool = self._alike[key]
        return pool[int(rng.integers(len(pool)))]

    def _outside(self, block: Sequence[tuple[int, frozenset[str]]], rng: np.random.Generator) -> Look | None:
        """Any look that fails the conditions of every cell, or None where there is hardly one."""
        tried = (self.looks[int(k)] for k in rng.integers(len(self.looks), size=SEARCH))
        return next((look for look in tried if not all(look[at] in axis for at, axis in block)), None)


@lru_cache(maxsize=1024)
def _widths(ranges: tuple[tuple[int, int], ...], room: int, fixed: int, partial: bool) -> list[tuple[int, ...]]:
    """How many values of each attribute a block may have, each within its range, so that `fixed` blocks fit the room.

    Large ones, as their cells are the objects that a guess without the phrase has to choose from. Unless `partial`, a
    block that leaves room leaves a value too, for the objects that belong to no cell.
    """
    fitting = [w for w in product(*(range(low, high + 1) for low, high in ranges)) if math.prod(w) * fixed <= room]
    if not partial:
        fitting = [
            w
            for w in fitting
            if math.prod(w) * fixed == room or any(n < high for n, (_, high) in zip(w, ranges, strict=True))
        ]
    return [w for w in fitting if 2 * math.prod(w) * fixed > room] or fitting
