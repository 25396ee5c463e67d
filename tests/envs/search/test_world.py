"""The procedural world: names, looks, facts, passages, and who is asked about in which split."""

import itertools
from collections import Counter

import numpy as np
import pytest

from envs.core.tasks import SPLITS, generator, hash_state, split_of
from envs.search import tiny
from envs.search.looks import LOOKS, Emblem, clear, different_looks
from envs.search.names import Names
from envs.search.relations import RELATIONS, SHOWN, paths, question
from envs.search.world import FEWEST_ENTITIES, World, allot, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(240, 0)


def test_no_two_names_are_alike(world: World) -> None:
    names = [e.name for e in world.entities.values()]
    assert len(set(names)) == len(names) == 240
    assert all(name.isascii() and name[0].isupper() for name in names)


def test_every_kind_has_names_that_differ_in_one_letter(world: World) -> None:
    for kind in ("town", "ship"):
        names = [e.name for e in world.of_kind(kind)]
        near = [
            (a, b)
            for a in names
            for b in names
            if a < b and len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) == 1
        ]
        assert len(near) >= len(names) // 6


def test_names_are_a_function_of_their_generator() -> None:
    one, other = (Names(generator("test", 1)) for _ in range(2))
    assert [one.word(2) for _ in range(20)] == [other.word(2) for _ in range(20)]


def test_every_relation_holds_of_every_entity_of_its_kind(world: World) -> None:
    for relation in RELATIONS:
        for entity in world.of_kind(relation.kind):
            if relation.target:
                assert world.entities[entity.links[relation.name]].kind == relation.target
            else:
                assert entity.facts[relation.name]


def test_a_passage_tells_every_fact_and_the_look(world: World) -> None:
    for entity in world.entities.values():
        passage = world.passages[entity.id]
        assert passage.title == entity.name and entity.name in passage.text
        told = [*entity.facts.values(), *(world.entities[target].name for target in entity.links.values())]
        assert [value for value in told if value not in passage.text] == []
        assert entity.look is None or entity.look.words() in passage.text
        assert 3 <= passage.text.count(".") <= 8


def test_nobody_founds_or_builds_before_being_there(world: World) -> None:
    for company in world.of_kind("company"):
        assert int(company.facts["founded"]) >= int(world.entities[company.links["founder"]].facts["born"]) + 20
    for ship in world.of_kind("ship"):
        assert int(ship.facts["launched"]) > int(world.entities[ship.links["builder"]].facts["founded"])


def test_a_world_is_a_function_of_its_parameters(world: World) -> None:
    make_world.cache_clear()
    assert make_world(240, 0).passages == world.passages
    assert make_world(240, 1).passages != world.passages


@pytest.mark.parametrize("kind", sorted(LOOKS))
def test_looks_differ_in_two_words_at_least(kind: str) -> None:
    looks = [set(look.parts()) for look in different_looks(kind, 60, np.random.default_rng(0))]
    assert all(len(a - b) >= 2 for k, a in enumerate(looks) for b in looks[:k])


def test_charges_stand_out_from_their_field() -> None:
    for look in different_looks("town", 60, np.random.default_rng(0)):
        assert isinstance(look, Emblem)
        assert clear(look.colour, look.first) and clear(look.colour, look.second)


def test_every_kind_has_a_tenth_of_its_entities_in_each_of_the_small_splits(world: World) -> None:
    for kind in ("town", "person", "ship"):
        counts = Counter(e.split for e in world.of_kind(kind))
        assert counts["validation"] == counts["test"] == max(len(world.of_kind(kind)) // 10, 1)
    smallest = make_world(FEWEST_ENTITIES, 3)
    assert {(e.kind, e.split) for e in smallest.entities.values()} == {
        (kind, split) for kind in ("town", "person", "river", "company", "museum", "team", "ship") for split in SPLITS
    }


def test_the_state_of_an_entity_names_its_split(world: World) -> None:
    assert all(split_of(hash_state(e.state)) == e.split for e in world.entities.values())
    assert len({e.state for e in world.entities.values()}) == 240
    assert {split for split, _ in allot(["a", "b", "c"])} == set(SPLITS)


# Questions.


def test_a_question_of_three_hops_reads_from_the_picture_to_the_answer() -> None:
    (path,) = [p for p in paths("company", 3) if [r.name for r in p] == ["founder", "birthplace", "mayor"]]
    assert question(SHOWN["emblem"]["company"], path) == (
        "Who is the mayor of the town where the founder of the company whose logo is shown was born?"
    )


def test_no_way_goes_on_from_a_kind_twice() -> None:
    for kind in {r.kind for r in RELATIONS}:
        for hops in (1, 2, 3):
            for path in paths(kind, hops):
                assert len(path) == hops and path[0].kind == kind
                assert all(a.target == b.kind for a, b in itertools.pairwise(path))
                assert len({r.kind for r in path}) == hops


# The tiny world.


def test_a_tiny_passage_is_a_few_words_and_its_answers_show_their_kind() -> None:
    world = tiny.make_tiny_world(40, 0)
    assert len(world.entities) == 40
    for entity in world.entities.values():
        year, place = entity.facts["year"], entity.facts["place"]
        twin = world.entities[entity.links["twin"]]
        told = {"year": year, "place": place, "twin": twin.name}
        passages = {relation: world.passage_about(entity.id, relation) for relation in told}
        assert {r: p.text for r, p in passages.items()} == told
        assert {p.title for p in passages.values()} == {f"{entity.name} {relation}" for relation in told}
        assert year.isdigit() and len(year) == 4 and len(place.split()) == len(entity.name.split()) == 2
        assert twin.id != entity.id
    for words in ("year?", "place?", "twin year?", "twin place?"):
        asked = {split: world.askable("sign", words, split) for split in ("train", "validation", "test")}
        assert {split: len(found) for split, found in asked.items()} == {"train": 32, "validation": 4, "test": 4}
        for split, found in asked.items():
            assert all(split_of(hash_state(world.state(entity, words))) == split for entity in found)
