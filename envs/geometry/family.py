"""What a problem family is: constructions first, numbers second, picture third."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..render.diagram import Diagram, Label
from .values import Value

Case = tuple[int, ...]  # the given numbers of one problem, in the order that the family fixes
Side = tuple[str, str]
Corner = tuple[str, str, str]


@dataclass(frozen=True)
class Limits:
    """How large and how fine the given numbers may be.

    largest: the largest given length. angle_step: given angles are multiples of it, in degrees (1, 2, 5, 10 or 15).
    """

    largest: int = 12
    angle_step: int = 5

    def angles(self, low: int, high: int, few: bool = False) -> range:
        """Multiples of the angle step from `low` to `high` degrees; with `few`, at most every fifth degree."""
        step = self.angle_step * max(5 // self.angle_step, 1) if few else self.angle_step
        return range(-(-low // step) * step, high + 1, step)

    def lengths(self, low: int = 2, few: bool = False) -> range:
        """Lengths from `low` on; with `few` at most a dozen or so of them, for problems of many numbers."""
        return range(low, self.largest + 1, max(self.largest // 12, 1) if few else 1)


@dataclass(frozen=True)
class Figure:
    """A construction. Points carry the roles that the family gave them; letters come later.

    diagram: points, lines, marks and the labels of all given numbers; labels of points are left to `lettered`.
    lettered: the points that get a letter. unknown: what an "x" is written at, as (kind, names) of a label.
    """

    diagram: Diagram
    lettered: tuple[str, ...]
    unknown: tuple[str, tuple[str, ...]] | None = None


class Family:
    """One kind of problem. Subclasses say how its numbers, its answer, its picture and its words are made.

    topic: triangles, parallels, circles, polygons, similar or areas. asks: what is asked for, in one word, as the short
    question has it. steps: how many facts must be put together. wordings: questions with the points' letters in braces;
    one that asks for x writes an x into the picture. work: the computation in a few symbols, with the given numbers in
    braces. symmetric: whether the given numbers may change places in it.
    """

    topic: ClassVar[str]
    asks: ClassVar[str]
    steps: ClassVar[int] = 1
    symmetric: ClassVar[bool] = False
    wordings: ClassVar[tuple[str, ...]]
    work: ClassVar[str]

    def cases(self, limits: Limits) -> Iterator[Case]:
        """All sets of given numbers within the limits."""
        raise NotImplementedError

    def answer(self, *case: int) -> Value:
        """The answer in closed form."""
        raise NotImplementedError

    def thought(self, *case: int) -> str:
        """The computation in a few symbols."""
        return self.work.format(*case)

    def printed(self, *case: int) -> tuple[str, ...]:
        """The given numbers as the picture shows them, without degree signs. The case itself, unless overridden."""
        return tuple(map(str, case))

    def figure(self, case: Case, rng: np.random.Generator) -> Figure | None:
        """A construction that shows these numbers, true to scale; None if this trial gave no fair figure."""
        raise NotImplementedError


def lengths(*given: tuple[object, Side]) -> tuple[Label, ...]:
    """Labels of sides."""
    return tuple(Label(str(n), "segment", side) for n, side in given)


def angles(*given: tuple[object, Corner]) -> tuple[Label, ...]:
    """Labels of angles, in degrees."""
    return tuple(Label(f"{n}°", "angle", corner) for n, corner in given)


def fair(*lengths: float, ratio: float = 4) -> bool:
    """Whether lengths are near enough to each other to be drawn in one figure."""
    return max(lengths) <= ratio * min(lengths)


def luck(rng: np.random.Generator, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    return int(rng.integers(low, high + 1))
