"""Passages about the entities of a world: three to six sentences, every fact in one of several wordings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .world import Entity

# {x} is the entity, {v} the value. The first sentence says what it is; the others follow in any order.
_FIRST = {
    "town": ("{x} is a town in the hills.", "{x} is a market town.", "{x} is a small town with a long history."),
    "person": ("{x} is a public figure.", "{x} became known far from home.", "{x} has led a busy life."),
    "river": ("The {x} is a river.", "The {x} is a slow, winding river.", "The {x} is a river known for its trout."),
    "company": ("{x} is a company.", "{x} is a company with customers abroad.", "{x} is a family company."),
    "museum": ("The {x} is a museum.", "The {x} is a museum that many schools visit.", "The {x} is a quiet museum."),
    "team": ("{x} are a football team.", "{x} are a team with loyal supporters.", "{x} are a football club."),
    "ship": ("The {x} is a ship.", "The {x} is a passenger ship.", "The {x} is a steamship."),
}
_FACTS = {
    ("town", "founded"): ("It was founded in {v}.", "Its foundation dates from {v}.", "Monks founded it in {v}."),
    ("town", "population"): ("It has a population of {v}.", "{v} people live there.", "It counts {v} inhabitants."),
    ("town", "mayor"): ("Its mayor is {v}.", "{v} serves as its mayor.", "The mayor is {v}."),
    ("town", "river"): ("The {v} flows through it.", "It lies on both banks of the {v}.", "The {v} crosses the town."),
    ("person", "born"): ("The year of birth is {v}.", "Records give {v} as the year of birth.", "Born in {v}."),
    ("person", "birthplace"): (
        "The place of birth is {v}.",
        "The family comes from {v}, the birthplace.",
        "{v} is the town of birth.",
    ),
    ("river", "length"): ("It is {v} kilometres long.", "Its length is {v} kilometres.", "It runs for {v} kilometres."),
    ("river", "source"): ("It rises at {v}.", "Its source is at {v}.", "It springs from the slopes of {v}."),
    ("company", "founded"): (
        "It was founded in {v}.",
        "Business began in {v}, the year it was founded.",
        "It has existed since {v}.",
    ),
    ("company", "founder"): ("Its founder was {v}.", "It was founded by {v}.", "{v} founded it."),
    ("company", "seat"): ("It has its seat in {v}.", "Its head office is in {v}.", "It is based in {v}."),
    ("museum", "opened"): ("It opened in {v}.", "It was opened in {v}.", "The public was first let in in {v}."),
    ("museum", "architect"): ("The house was designed by {v}.", "Its architect was {v}.", "{v} designed it."),
    ("museum", "place"): ("It stands in {v}.", "It is one of the sights of {v}.", "Visitors find it in {v}."),
    ("team", "formed"): ("They were formed in {v}.", "The club was formed in {v}.", "They have played since {v}."),
    ("team", "captain"): ("Their captain is {v}.", "{v} is the captain.", "The side is captained by {v}."),
    ("team", "home"): ("They play in {v}.", "Their home ground is in {v}.", "Home matches are played in {v}."),
    ("ship", "launched"): ("She was launched in {v}.", "Her launch was in {v}.", "She has been afloat since {v}."),
    ("ship", "builder"): ("She was built by {v}.", "Her builder was {v}.", "{v} built her."),
    ("ship", "port"): ("Her home port is {v}.", "She sails from {v}, her home port.", "She is registered in {v}."),
}
_LOOKS = {
    "town": ("Its arms show {v}.", "The arms of the town are {v}.", "On its arms are {v}."),
    "company": ("Its logo shows {v}.", "The logo of the company is {v}.", "Its goods bear a logo with {v}."),
    "museum": ("The house has {v}.", "The building is known for {v}.", "Visitors see {v}."),
    "team": ("Their badge shows {v}.", "The badge of the club is {v}.", "They wear a badge with {v}."),
    "ship": ("She has {v}.", "She is known by {v}.", "Painters show her with {v}."),
}
_IDLE = {
    "town": ("A fair is held there every autumn.", "The old bridge is worth a visit.", "It is twinned with nobody."),
    "person": ("The hobbies are chess and long walks.", "Letters survive in two archives.", "Little else is known."),
    "river": ("Its floods are feared.", "Anglers like its upper course.", "A path follows its banks."),
    "company": ("It exports to three continents.", "It has never published its accounts.", "It sponsors a choir."),
    "museum": ("Entry is free on Mondays.", "Its garden is open in summer.", "A third of the rooms is closed."),
    "team": ("They were relegated twice.", "Their anthem is sung before every match.", "They lost a final."),
    "ship": ("She survived a storm in the strait.", "Her band plays every evening.", "She was painted twice."),
}


def describe(entity: Entity, entities: Mapping[str, Entity], rng: np.random.Generator) -> str:
    """The passage about one entity: all its facts, its look if it has one, and now and then something idle."""
    values = entity.facts | {name: entities[target].name for name, target in entity.links.items()}
    sentences = [_pick(rng, _FACTS[entity.kind, name]).format(v=value) for name, value in sorted(values.items())]
    if entity.look is not None:
        sentences.append(_pick(rng, _LOOKS[entity.kind]).format(v=entity.look.words()))
    if rng.random() < 0.5 or len(sentences) < 2:
        sentences.append(_pick(rng, _IDLE[entity.kind]))
    order = rng.permutation(len(sentences)).tolist()
    # "River Orvel" is a name with an article in it; "The The" would not do.
    first = _pick(rng, _FIRST[entity.kind]).format(x=entity.name)
    return " ".join([first, *(_capital(sentences[k]) for k in order)])


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _pick(rng: np.random.Generator, wordings: tuple[str, ...]) -> str:
    return wordings[int(rng.integers(len(wordings)))]
