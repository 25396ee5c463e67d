"""A world for models of a few hundred thousand parameters: a name is a colour and a shape, a passage a few words.

Every entity is a coloured shape that fills a patch of the picture, so that to see it is to know its name. Of each there
are three passages, one a fact, so that a query must say colour, shape and what is asked for. Answers show their kind: a
year is four digits, a place two words. Names and places take two tokens, queries three, years four. What a split holds
are questions about an entity: all entities are shown in each, but what is asked of one is asked in no other split.
"""

from __future__ import annotations

from functools import lru_cache

from sandbox.search import Passage

from ..core.tasks import generator
from ..render.shapes import COLOURS, SHAPES
from .relations import Relation
from .world import Entity, World, allot

MOST_ENTITIES = len(COLOURS) * len(SHAPES)
FEWEST_ENTITIES = 20
YEAR = Relation("sign", "year", "", "year?")
PLACE = Relation("sign", "place", "", "place?")
TWIN = Relation("sign", "twin", "sign", "twin?", "twin")
PATHS = {1: ((YEAR,), (PLACE,)), 2: ((TWIN, YEAR), (TWIN, PLACE))}
_SIDES = ("north", "south", "east", "west", "upper", "lower")
_PLACES = tuple(f"{side} {end}" for side in _SIDES for end in ("bay", "hill", "wood", "mill", "ford", "gate"))


@lru_cache(maxsize=8)
def make_tiny_world(entities: int, world_seed: int) -> World:
    """The tiny world of so many entities (20 to 70) under this seed."""
    name = f"tiny world:{entities}/{world_seed}"
    rng = generator("tiny search world", entities, world_seed)
    looks = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    chosen = [looks[k] for k in rng.permutation(len(looks))[:entities].tolist()]
    every = [path for paths in PATHS.values() for path in paths]
    asked = {q: allot([f"{name} {colour} {shape} {q}" for colour, shape in chosen]) for q in map(question, every)}
    found: dict[str, Entity] = {}
    for n, (colour, shape) in enumerate(chosen):
        facts = {"year": str(int(rng.integers(1000, 2000))), "place": _PLACES[int(rng.integers(len(_PLACES)))]}
        links = {"twin": f"sign-{(n + 1 + int(rng.integers(entities - 1))) % entities}"}
        found[f"sign-{n}"] = Entity(f"sign-{n}", "sign", f"{colour} {shape}", facts, links)
    passages: dict[str, Passage] = {}
    for e in found.values():
        for relation, told in (*e.facts.items(), ("twin", found[e.links["twin"]].name)):
            key = f"{e.id}-{relation}"
            passages[key] = Passage(key, f"{e.name} {relation}", told)
    ids = list(found)
    askable = {(ids[n], q): of_split for q, allotted in asked.items() for n, of_split in enumerate(allotted)}
    return World(name, found, passages, askable)


def question(path: tuple[Relation, ...]) -> str:
    """ "year?" or "twin year?"."""
    return " ".join([*(relation.phrase for relation in path[:-1]), path[-1].question])
