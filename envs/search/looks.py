"""What things look like, as few words as it takes: arms and logos, ships, buildings.

A picture shows a look, a passage describes it, and the words in common lead from one to the other. So looks of a world
differ in words, not in their order: a search counts words and cannot tell a red star on blue from a blue star on red.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..render.heraldry import CHARGES, DIVISIONS
from ..render.shapes import COLOURS

TINCTURES = (*(name for name in COLOURS if name not in ("cyan", "brown")), "white", "black")
NUMBERS = ("one", "two", "three", "four", "five", "six")
ROOFS = ("dome", "gable", "spire")
FEWEST_DIFFERENT_WORDS = 2
TRIALS = 60


@dataclass(frozen=True)
class Emblem:
    """count charges of one kind and colour on a field of two colours (one if the division is "plain")."""

    division: str
    first: str
    second: str
    charge: str
    colour: str
    count: int

    def words(self) -> str:
        """Its description, as passages give it."""
        many = self.charge if self.count == 1 else PLURALS.get(self.charge, self.charge + "s")
        field = DIVISIONS[self.division].format(a=self.first, b=self.second)
        return f"{NUMBERS[self.count - 1]} {self.colour} {many} on {field.replace('a orange', 'an orange')}"

    def parts(self) -> tuple[str, ...]:
        """What there is to see, word by word."""
        return NUMBERS[self.count - 1], self.colour, self.charge, self.division, self.first, self.second


@dataclass(frozen=True)
class Ship:
    """A steamer from the side; on its flag a charge, white or black, whichever shows."""

    hull: str
    funnels: int
    funnel: str
    flag: str
    charge: str

    def words(self) -> str:
        """Its description, as passages give it."""
        funnels = "funnel" if self.funnels == 1 else "funnels"
        many = f"{NUMBERS[self.funnels - 1]} {self.funnel} {funnels}"
        return f"{_a(self.hull)} hull, {many}, {_a(self.flag)} flag with {_a(self.charge)}"

    def parts(self) -> tuple[str, ...]:
        """What there is to see, word by word."""
        return self.hull, NUMBERS[self.funnels - 1], self.funnel, self.flag, self.charge


@dataclass(frozen=True)
class Building:
    """A house front with columns; above the door a charge, white or black, whichever shows."""

    wall: str
    columns: int
    roof: str
    top: str
    door: str
    charge: str

    def words(self) -> str:
        """Its description, as passages give it."""
        columns = NUMBERS[self.columns - 1]
        roof = f"{_a(self.top)} {self.roof}"
        return f"{self.wall} walls, {columns} columns, {roof} and {_a(self.charge)} above {_a(self.door)} door"

    def parts(self) -> tuple[str, ...]:
        """What there is to see, word by word."""
        return self.wall, NUMBERS[self.columns - 1], self.top, self.roof, self.charge, self.door


Look = Emblem | Ship | Building
PLURALS = {"fish": "fishes", "cross": "crosses"}
_ALIKE = frozenset(
    frozenset((one, other))
    for one, others in {
        "red": ("orange", "pink", "purple"),
        "orange": ("yellow", "pink"),
        "white": ("yellow", "pink", "gray"),
        "pink": ("gray", "purple"),
        "blue": ("purple", "black", "gray"),
        "gray": ("green", "black"),
        "purple": ("black",),
    }.items()
    for other in others
)


def clear(one: str, other: str) -> bool:
    """Whether two colours that touch can be told apart at a glance."""
    return one != other and frozenset((one, other)) not in _ALIKE


def emblem(rng: np.random.Generator) -> Emblem:
    """Any emblem whose charges stand out from both colours of its field."""
    while True:
        division = _pick(rng, tuple(DIVISIONS))
        first, second, colour = (_pick(rng, TINCTURES) for _ in range(3))
        if division == "plain":
            second = first
        if (division == "plain" or clear(first, second)) and clear(colour, first) and clear(colour, second):
            return Emblem(division, first, second, _pick(rng, tuple(CHARGES)), colour, 1 + int(rng.integers(4)))


def ship(rng: np.random.Generator) -> Ship:
    """Any ship."""
    hulls = tuple(c for c in TINCTURES if c not in ("white", "blue"))  # white and blue are the sky and the sea
    hull, funnel, flag = (_pick(rng, hulls) for _ in range(3))
    return Ship(hull, 1 + int(rng.integers(4)), funnel, flag, _pick(rng, tuple(CHARGES)))


def building(rng: np.random.Generator) -> Building:
    """Any building whose roof and door stand out from its walls."""
    while True:
        wall, top, door = (_pick(rng, TINCTURES) for _ in range(3))
        if clear(wall, top) and clear(wall, door) and "blue" not in (wall, top) and wall != "green":
            return Building(wall, 2 + int(rng.integers(5)), _pick(rng, ROOFS), top, door, _pick(rng, tuple(CHARGES)))


LOOKS: dict[str, Callable[[np.random.Generator], Look]] = {
    "town": emblem,
    "company": emblem,
    "team": emblem,
    "ship": ship,
    "museum": building,
}


def different_looks(kind: str, count: int, rng: np.random.Generator) -> list[Look]:
    """`count` looks for things of a kind, each with at least two words that any other of them lacks, where there are
    that many; beyond that the last ones may repeat what others have, and are refused when a question is made of them.
    """
    looks: list[Look] = []
    bits: dict[str, int] = {}
    words = np.zeros(count, dtype=np.uint64)  # of each look, a bit for each word
    for n in range(count):
        for _ in range(TRIALS):
            look = LOOKS[kind](rng)
            words[n] = sum({1 << bits.setdefault(word, len(bits)) for word in look.parts()})
            if (np.bitwise_count(words[n] & ~words[:n]) >= FEWEST_DIFFERENT_WORDS).all():
                break
        looks.append(look)
    return looks


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _pick(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[int(rng.integers(len(names)))]
