"""Episodes of the procedural world: what can be asked, what is right, and what the expert searches for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sandbox.search import Passage

from ..core.errors import ArgumentError
from ..core.held_out import allowed
from . import tiny
from .relations import PICTURES, RELATIONS, SHOWN, Path, paths
from .stage import Stage
from .world import Entity, World

# picture -> hops -> (kind shown, relations)
Forms = dict[str, dict[int, list[tuple[str, Path]]]]
_SYMBOLS = {"town": "arms", "company": "logo", "team": "badge", "ship": "ship", "museum": "museum building"}


@dataclass(frozen=True)
class SearchWorld:
    """An episode: what is shown, which relations lead from it to the answer, and through which entities.

    chain: the ids of the entities whose passages are needed, in order; the first is the one shown.
    golds: all that counts as right.
    """

    stage: Stage
    path: Path
    chain: tuple[str, ...]
    question: str
    golds: tuple[str, ...]


def all_forms(style: str, pictures: tuple[str, ...], hops: tuple[int, int], combinations: str) -> Forms:
    """Every form of question that the arguments allow.

    Raises:
        ArgumentError: there is none.
    """
    forms: Forms = {}
    for picture in pictures:
        for many in range(hops[0], hops[1] + 1):
            if style == "tiny":  # there, what is held out depends on the colour shown
                found = [("sign", path) for path in tiny.PATHS[many]]
            else:
                found = [
                    (kind, path)
                    for kind in SHOWN[picture]
                    for path in paths(kind, many)
                    if allowed(combinations, PICTURES.index(picture), RELATIONS.index(path[-1]))
                ]
            if found:
                forms.setdefault(picture, {})[many] = found
    if not forms:
        raise ArgumentError(
            f"combinations={combinations!r} leaves no question with pictures={list(pictures)} and hops={list(hops)}; "
            "allow more hops or more pictures"
        )
    return forms


def value(world: World, entity: str, relation: str) -> str:
    """What is true of an entity, in words: a fact, or the name of what it is linked to."""
    found = world.entities[entity]
    return found.facts[relation] if relation in found.facts else world.entities[found.links[relation]].name


def possible_answers(world: World) -> dict[tuple[str, str], Counter[str]]:
    """For each kind and relation its answers, and of how many entities each is true."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for entity in world.entities.values():
        for relation in (*entity.facts, *entity.links):
            found.setdefault((entity.kind, relation), Counter())[value(world, entity.id, relation)] += 1
    return found


def followed(world: World, shown: Entity, path: Path) -> tuple[str, ...]:
    """The ids of the entities that the relations lead through, from the one shown to the one asked about."""
    chain = [shown.id]
    for relation in path[:-1]:
        chain.append(world.entities[chain[-1]].links[relation.name])
    return tuple(chain)


def needed(world: World, episode: SearchWorld) -> list[Passage]:
    """The passages that lead to the answer, in order."""
    hops = zip(episode.chain, episode.path, strict=True)
    return [world.passage_about(entity, relation.name) for entity, relation in hops]


def queries(world: World, episode: SearchWorld) -> list[str]:
    """What the expert searches for, in order: the name that can be read or the look in words, then what was found; in
    the tiny world, where every fact has a passage of its own, also which fact."""
    shown = episode.stage.entity
    if shown.kind == "sign":
        hops = zip(episode.chain, episode.path, strict=True)
        return [f"{world.entities[entity].name} {relation.name}" for entity, relation in hops]
    first = shown.name
    if not episode.stage.names and shown.look is not None:
        first = f"{_SYMBOLS[shown.kind]} {shown.look.words()}"
    return [first, *(world.entities[i].name for i in episode.chain[1:])]
