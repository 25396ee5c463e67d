"""What the passages of the procedural world tell of each kind of thing, and how it is asked about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

KINDS = ("town", "person", "river", "company", "museum", "team", "ship")
PICTURES = ("emblem", "chart", "map", "text", "scene")


@dataclass(frozen=True)
class Relation:
    """One fact that every entity of `kind` has.

    target: the kind of entity that it names, or "" where it is a number or a word.
    question: with {x} for the entity. phrase: the target in words, with {x} for the entity; "" without a target.
    """

    kind: str
    name: str
    target: str
    question: str
    phrase: str = ""


# The order is part of what "seen" and "unseen" mean.
RELATIONS = (
    Relation("town", "founded", "", "In which year was {x} founded?"),
    Relation("town", "population", "", "How many people live in {x}?"),
    Relation("town", "mayor", "person", "Who is the mayor of {x}?", "the mayor of {x}"),
    Relation("town", "river", "river", "Which river flows through {x}?", "the river that flows through {x}"),
    Relation("person", "born", "", "In which year was {x} born?"),
    Relation("person", "birthplace", "town", "In which town was {x} born?", "the town where {x} was born"),
    Relation("river", "length", "", "How many kilometres long is {x}?"),
    Relation("river", "source", "", "At which mountain does {x} rise?"),
    Relation("company", "founded", "", "In which year was {x} founded?"),
    Relation("company", "founder", "person", "Who founded {x}?", "the founder of {x}"),
    Relation("company", "seat", "town", "In which town does {x} have its seat?", "the town where {x} has its seat"),
    Relation("museum", "opened", "", "In which year was {x} opened?"),
    Relation("museum", "architect", "person", "Who designed {x}?", "the architect of {x}"),
    Relation("museum", "place", "town", "In which town does {x} stand?", "the town where {x} stands"),
    Relation("team", "formed", "", "In which year was {x} formed?"),
    Relation("team", "captain", "person", "Who is the captain of {x}?", "the captain of {x}"),
    Relation("team", "home", "town", "In which town does {x} play?", "the town where {x} plays"),
    Relation("ship", "launched", "", "In which year was {x} launched?"),
    Relation("ship", "builder", "company", "Which company built {x}?", "the company that built {x}"),
    Relation("ship", "port", "town", "Which town is the home port of {x}?", "the home port of {x}"),
)

Path = tuple[Relation, ...]  # each starts at the kind at which the one before it ends

# What each kind of picture may show, and how the question speaks of it.
SHOWN: dict[str, dict[str, str]] = {
    "emblem": {
        "town": "the town whose arms are shown",
        "company": "the company whose logo is shown",
        "team": "the team whose badge is shown",
    },
    "chart": {
        "town": "the town with the {bar} bar",
        "company": "the company with the {bar} bar",
        "museum": "the museum with the {bar} bar",
        "river": "the river with the {bar} bar",
    },
    "map": {"town": "the town marked on the map"},
    "text": {
        "town": "the town named on the sign",
        "person": "the person named on the plaque",
        "river": "the river named on the sign",
        "company": "the company named on the sign",
        "museum": "the museum named on the ticket",
        "team": "the team named on the ticket",
        "ship": "the ship named on the ticket",
    },
    "scene": {"museum": "the museum shown", "ship": "the ship shown"},
}
BARS = ("longest", "shortest")


def paths(kind: str, hops: int) -> Iterator[Path]:
    """Every way to go `hops` relations on from an entity of this kind. No way goes on from one kind twice: the mayor of
    the town where the mayor was born is no question that anybody asks."""
    for relation in RELATIONS:
        if relation.kind != kind:
            continue
        if hops == 1:
            yield (relation,)
        elif relation.target:
            for rest in paths(relation.target, hops - 1):
                kinds = [kind, *(r.kind for r in rest)]
                if len(set(kinds)) == len(kinds):
                    yield (relation, *rest)


def question(shown: str, path: Path) -> str:
    """The question in words: "Who is the mayor of the town where the founder of the company shown was born?"."""
    words = shown
    for relation in path[:-1]:
        words = relation.phrase.format(x=words)
    return path[-1].question.format(x=words)
