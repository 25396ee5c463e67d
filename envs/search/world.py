"""The procedural world: entities of several kinds, what is true of them, and who is asked about in which split.

A world is a function of its parameters. It is made once a process and shared by all environments that name it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count

import numpy as np

from sandbox.search import Passage

from ..core.tasks import SPLITS, generator, hash_state, split_of
from .looks import Look, different_looks
from .names import Names
from .relations import KINDS

# Of 24 entities so many are of each kind.
_SHARES = {"town": 4, "person": 6, "river": 2, "company": 3, "museum": 3, "team": 3, "ship": 3}
FEWEST_ENTITIES = 96
LOOKALIKES = 6  # every sixth name differs from the one before it in one letter

_TRADES = ["Glassworks", "Shipyard", "Foundry", "Mills", "Brewery", "Clockworks", "Press", "Engines", "Textiles"]
_CLUBS = ["Rovers", "United", "Wanderers", "Athletic", "Rangers", "Harriers", "Falcons", "Mariners"]
_THINGS = ["Clocks", "Glass", "Maps", "Bells", "Railways", "Coins", "Lace", "Minerals", "Puppets", "Sails"]


@dataclass(frozen=True)
class Entity:
    """One thing of the world. facts: relation -> what is true, in words. links: relation -> the id of an entity.
    split: the one split in which it is shown and asked about. state: the bytes whose hash names that split."""

    id: str
    kind: str
    name: str
    facts: dict[str, str]
    links: dict[str, str] = field(default_factory=dict)
    look: Look | None = None
    split: str = "train"
    state: bytes = b""


@dataclass(frozen=True)
class World:
    """All entities by id, and the passages about them: one each, with the entity's id, or one for each relation.

    asked: where splits go by question, for each entity and question the split, and the bytes whose hash names it.
    """

    name: str
    entities: dict[str, Entity]
    passages: dict[str, Passage]
    asked: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)

    def passage_about(self, entity: str, relation: str) -> Passage:
        """The passage that tells what this relation of the entity is."""
        return self.passages.get(entity) or self.passages[f"{entity}-{relation}"]

    def state(self, entity: Entity, question: str) -> bytes:
        """The bytes whose hash names the split in which this is asked about the entity."""
        return self.asked[entity.id, question][1] if self.asked else entity.state

    def askable(self, kind: str, question: str, split: str) -> list[Entity]:
        """The entities of a kind about which this is asked in a split, in a fixed order."""
        if not self.asked:
            return self.of_kind(kind, split)
        return [e for e in self.of_kind(kind) if self.asked[e.id, question][0] == split]

    def of_kind(self, kind: str, split: str | None = None) -> list[Entity]:
        """The entities of a kind, those of one split only if it is given, in a fixed order."""
        return [e for e in self.entities.values() if e.kind == kind and split in (None, e.split)]


@lru_cache(maxsize=8)
def make_world(entities: int, world_seed: int) -> World:
    """The world of so many entities (at least 96) under this seed."""
    from .passages import describe

    name = f"world:{entities}/{world_seed}"
    rng = generator("search world", entities, world_seed)
    names = Names(rng)
    named = {kind: _named(kind, entities * _SHARES[kind] // 24, names, rng) for kind in KINDS}
    found: dict[str, Entity] = {}
    for kind in KINDS:
        looks = different_looks(kind, len(named[kind]), rng) if kind in _LOOKING else [None] * len(named[kind])
        keys = [f"{name} {kind} {n}" for n in range(len(named[kind]))]
        for n, (split, state) in enumerate(allot(keys)):
            facts, links = _truths(kind, named, names, rng)
            found[f"{kind}-{n}"] = Entity(f"{kind}-{n}", kind, named[kind][n], facts, links, looks[n], split, state)
    _date(found, rng)
    passages = {e.id: Passage(e.id, e.name, describe(e, found, rng)) for e in found.values()}
    return World(name, found, passages)


_LOOKING = ("town", "company", "museum", "team", "ship")


def allot(keys: list[str]) -> list[tuple[str, bytes]]:
    """For each key its split, and a state that begins with it and whose hash names that split.

    The keys with the smallest hashes are the test's tenth, the next the validation's, each at least one: in a world of
    a few dozen entities, hashes alone could leave a split with none.
    """
    tenth = max(len(keys) // 10, 1)
    order = sorted(range(len(keys)), key=lambda k: hash_state(keys[k].encode()))
    splits = {k: SPLITS[2 if n < tenth else 1 if n < 2 * tenth else 0] for n, k in enumerate(order)}
    return [(splits[k], _state(key, splits[k])) for k, key in enumerate(keys)]


def _state(key: str, split: str) -> bytes:
    states = (f"{key} {nonce}".encode() for nonce in count())
    return next(state for state in states if split_of(hash_state(state)) == split)


def _named(kind: str, count: int, names: Names, rng: np.random.Generator) -> list[str]:
    found: list[str] = []
    bases: list[str] = []
    for n in range(count):
        # A person is told from another by both names, a town by its only one.
        base = names.like(bases[-1]) if n % LOOKALIKES == LOOKALIKES - 1 else names.word(_syllables(kind, rng))
        bases.append(base)
        found.append(_full_name(kind, base, names, rng))
    return found


def _syllables(kind: str, rng: np.random.Generator) -> int:
    return 2 if kind in ("person", "museum", "team", "company") else 2 + int(rng.integers(2))


def _full_name(kind: str, base: str, names: Names, rng: np.random.Generator) -> str:
    if kind == "person":
        return f"{names.word(2)} {base}"
    if kind == "river":
        return f"River {base}"
    if kind == "company":
        return f"{base} {_pick(rng, _TRADES)}"
    if kind == "museum":
        return f"{base} Museum of {_pick(rng, _THINGS)}"
    return f"{base} {_pick(rng, _CLUBS)}" if kind == "team" else base


def _truths(
    kind: str, named: dict[str, list[str]], names: Names, rng: np.random.Generator
) -> tuple[dict[str, str], dict[str, str]]:
    """Facts and links of one entity. Years that depend on other entities come later."""

    def link(target: str) -> str:
        return f"{target}-{int(rng.integers(len(named[target])))}"

    if kind == "town":
        facts = {"founded": str(int(rng.integers(900, 1900))), "population": str(int(rng.integers(1200, 98000)))}
        return facts, {"mayor": link("person"), "river": link("river")}
    if kind == "person":
        return {"born": str(int(rng.integers(1820, 1941)))}, {"birthplace": link("town")}
    if kind == "river":
        return {"length": str(int(rng.integers(14, 890))), "source": f"Mount {names.word(2)}"}, {}
    if kind == "company":
        return {}, {"founder": link("person"), "seat": link("town")}
    if kind == "museum":
        return {}, {"architect": link("person"), "place": link("town")}
    if kind == "team":
        return {"formed": str(int(rng.integers(1860, 1990)))}, {"captain": link("person"), "home": link("town")}
    return {}, {"builder": link("company"), "port": link("town")}


def _date(found: dict[str, Entity], rng: np.random.Generator) -> None:
    """Companies are founded and museums opened in the lives of those who did it, ships launched by yards that exist."""
    for entity in found.values():
        if entity.kind in ("company", "museum"):
            who = found[entity.links["founder" if entity.kind == "company" else "architect"]]
            year = int(who.facts["born"]) + int(rng.integers(20, 45))
            entity.facts["founded" if entity.kind == "company" else "opened"] = str(year)
    for entity in found.values():
        if entity.kind == "ship":
            year = int(found[entity.links["builder"]].facts["founded"]) + int(rng.integers(1, 40))
            entity.facts["launched"] = str(year)


def _pick(rng: np.random.Generator, names: list[str]) -> str:
    return names[int(rng.integers(len(names)))]
