"""Where rows are cut into micro-batches: each filled to the budget, or as many as all processes make, of equal work.

Rows are never reordered: a micro-batch is a run of neighbours. What may not be cut is a unit: a row, or the rows of a
trajectory that must stay whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TypeAlias

import numpy as np

Prompt: TypeAlias = tuple[bytes, tuple[str, ...]]


@dataclass(frozen=True)
class Units:
    """What is to be cut.

    Attributes:
        lengths: Tokens of each row.
        ends: The first row of each unit, then the number of rows.
        prompts: What rows of one prompt have in common, and its tokens; None: rows are padded, and nothing is shared.
    """

    lengths: Sequence[int]
    ends: Sequence[int]
    prompts: Sequence[tuple[Prompt, int]] | None = None

    def __len__(self) -> int:
        return len(self.ends) - 1

    def held(self, first: int) -> Iterator[int]:
        """Tokens that a micro-batch holds which begins with this unit, as one unit after the other joins it."""
        seen: set[Prompt] = set()
        longest = distinct = 0
        for start, stop in pairwise(self.ends[first:]):
            for row in range(start, stop):
                longest = max(longest, self.lengths[row])
                distinct += self.lengths[row]
                if self.prompts is not None:
                    prompt, length = self.prompts[row]
                    distinct -= length if prompt in seen else 0
                    seen.add(prompt)
            yield longest * (stop - self.ends[first]) if self.prompts is None else distinct

    def together(self, most: int) -> Units:
        """Siblings as one unit, where they hold no more than `most` tokens."""
        if self.prompts is None:
            return self
        last = {prompt: row for row, (prompt, _) in enumerate(self.prompts)}
        reach, between = -1, []  # units that no prompt reaches over
        for unit, (start, stop) in enumerate(pairwise(self.ends)):
            if start > reach:
                between.append(unit)
            reach = max(reach, *(last[self.prompts[row][0]] for row in range(start, stop)))
        ends: list[int] = []
        for first, after in pairwise([*between, len(self)]):
            held = next(islice(self.held(first), after - first - 1, None))
            ends += [self.ends[first]] if held <= most else self.ends[first:after]
        return Units(self.lengths, [*ends, self.ends[-1]], self.prompts)


def filled(units: Units, most: int) -> list[int]:
    """The first row of each micro-batch, then the number of rows, where each takes what it can hold. What is longer by
    itself stands alone."""
    starts, first = [], 0
    while first < len(units):
        starts.append(units.ends[first])
        taken = 0
        for held in units.held(first):
            if taken and held > most:
                break
            taken += 1
        first += taken
    return [*starts, units.ends[-1]]


def balanced(units: Units, most: int, count: int) -> list[int]:
    """As `filled`, but in `count` micro-batches of about equal tokens, or as many as there are units: two of them
    differ by at most one unit where units share nothing. Siblings are parted only where `count` or the budget asks for
    it.

    Args:
        units: What is to be cut.
        most: Tokens of a micro-batch; only a unit alone may have more.
        count: At least as many as `filled` makes.
    """
    return _cut(units.together(most), most, count) or _cut(units, most, min(count, len(units))) or [0]


def _cut(units: Units, most: int, count: int) -> list[int] | None:
    """The cut into `count` parts with the least sum of squares; None: there is none within the budget."""
    total = len(units)
    if not 0 < count <= total:
        return None
    costs: list[np.ndarray] = []  # squares, by number of units (less 1) and first unit
    for first in range(total):
        for extra, held in enumerate(units.held(first)):
            if extra and held > most:
                break
            if extra == len(costs):
                costs.append(np.full(total, np.inf))
            costs[extra][first] = float(held) ** 2
    least = np.full(total + 1, np.inf)  # of the units before each place, in as many parts as so far
    least[0] = 0.0
    lasts = []
    for _ in range(count):
        better, last = np.full(total + 1, np.inf), np.zeros(total + 1, dtype=int)
        for extra, cost in enumerate(costs):
            ends = slice(extra + 1, total + 1)
            found = least[: total - extra] + cost[: total - extra]
            last[ends] = np.where(found < better[ends], extra + 1, last[ends])
            better[ends] = np.minimum(better[ends], found)
        least = better
        lasts.append(last)
    if not np.isfinite(least[total]):
        return None
    places = [total]
    for last in reversed(lasts):
        places.append(places[-1] - int(last[places[-1]]))
    return [units.ends[place] for place in reversed(places)]
