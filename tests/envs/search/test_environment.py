"""Search: its questions, its retrieval, its rewards, its pictures, its arguments."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tantivy")

import itertools

import envs.search.tool as tool_module
from envs.core.conformance import check_env
from envs.core.errors import ArgumentError, MissingExtraError
from envs.core.held_out import unseen
from envs.core.images import image_hash
from envs.core.tasks import SPLITS
from envs.render.shapes import COLOURS
from envs.search import Search, world_passages
from envs.search.questions import needed, queries
from envs.search.relations import PICTURES, RELATIONS
from sandbox.search import Passage, build_index

SMALL: dict[str, Any] = {"entities": 240, "size": (160, 160)}
TINY: dict[str, Any] = {"style": "tiny", "hops": (1, 2), "instructions": "short", "max_turns": 3}
SETTINGS = pytest.mark.parametrize("kwargs", [SMALL | {"hops": (1, 3)}, TINY], ids=["full", "tiny"])


def play(env: Search, actions: list[str]) -> tuple[float, bool, bool, dict[str, Any], list[str]]:
    texts, total = [], 0.0
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        texts.append(observation["text"])
        total += reward
    return total, terminated, truncated, info, texts


# Hundreds of worlds: what is asked can be found, and what is found answers it.


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Search, Any]]:
    found = []
    for kwargs, many in ((SMALL | {"hops": (1, 3), "world_seed": 5}, 300), (TINY, 100)):
        for split in SPLITS:
            env = Search(**kwargs, split=split)
            found += [(env, env.draw(None, seed).world) for seed in range(many // 3)]  # without the picture
    return found


def test_every_search_of_the_expert_shows_the_passage_it_needs(drawn: list[tuple[Search, Any]]) -> None:
    for env, world in drawn:
        for passage, hits in zip(
            needed(env.world, world), env._tool.search(queries(env.world, world), env.top_k), strict=True
        ):
            assert passage in [hit.passage for hit in hits]


def test_the_answer_is_what_the_last_passage_tells(drawn: list[tuple[Search, Any]]) -> None:
    for env, world in drawn:
        assert world.golds[0] in needed(env.world, world)[-1].text
        assert len(world.chain) == len(world.path)


def test_each_passage_names_the_next_entity(drawn: list[tuple[Search, Any]]) -> None:
    for env, world in drawn:
        for passage, following in zip(needed(env.world, world), world.chain[1:], strict=False):
            assert env.world.entities[following].name in passage.text


def test_neither_question_nor_prompt_tells_the_answer_or_the_name(drawn: list[tuple[Search, Any]]) -> None:
    for env, world in drawn:
        text = world.question if env.style == "tiny" else f"{world.question} {env.instructions}"
        assert world.golds[0] not in text
        assert world.stage.entity.name not in text


def test_a_tiny_search_for_a_fact_of_a_name_shows_its_passage_first(drawn: list[tuple[Search, Any]]) -> None:
    for env, world in drawn:
        if env.style == "tiny":
            found = env._tool.search(queries(env.world, world), 1)
            assert [hits[0].passage for hits in found] == needed(env.world, world)


def test_the_tiny_world_is_found_by_colour_shape_and_fact_together() -> None:
    env = Search(**TINY | {"entities": 70})
    assert len(env.world.passages) == 210
    env.reset(seed=0)
    colour, shape, fact = queries(env.world, env.task.world)[-1].split()
    for part in (f"{colour} {fact}", f"{shape} {fact}", f"{colour} {shape}"):
        titles = {hit.passage.title for hit in env._tool.search([part], 20)[0]}
        assert len(titles) > 1, "part of a query leaves several passages"


@SETTINGS
@pytest.mark.parametrize("ask", ["answer", "describe"])
def test_the_gold_actions_score_the_maximum(kwargs: dict[str, Any], ask: str) -> None:
    env = Search(**kwargs | {"max_turns": 4} | ({"ask": ask} if ask == "describe" else {"tool_weight": 0.3}))
    for seed in range(10):
        env.reset(seed=seed)
        total, terminated, truncated, info, _ = play(env, env.solve())
        assert (total, terminated, truncated) == (1.0, True, False)
        searched = {"searched": float(ask == "answer"), "retrieved": float(ask == "answer")}
        assert info["metrics"] == {"accuracy": 1.0, "f1": 1.0, "format": 1.0} | searched
        if ask == "answer":
            assert info["metrics"]["retrieved"] == 1.0
            assert info["turn"] == info["tags"]["hops"] + 1


def test_what_remains_to_be_done_shrinks_with_what_was_shown() -> None:
    env = Search(**SMALL, hops=(2, 2))
    env.reset(seed=0)
    left = env.solve()
    while left:
        assert env.solve() == left
        env.step(left.pop(0))


def test_without_a_search_the_episodes_are_the_same_and_nothing_is_found() -> None:
    usual, taken = Search(**TINY), Search(**TINY, search="none")
    for seed in range(5):
        assert usual.reset(seed=seed)[0]["text"] == taken.reset(seed=seed)[0]["text"]
        assert usual.task.key == taken.task.key
        first = taken.solve()[0]
        observation, _, terminated, _, info = taken.step(first)
        assert observation["text"] == "<information> Nothing was found. </information>" and not terminated
        assert (info["metrics"]["searched"], info["metrics"]["retrieved"]) == (1.0, 0.0)


def test_a_hasty_annotator_searches_two_times_in_three_for_the_colour_alone() -> None:
    env, rng, hasty, right = Search(**TINY | {"hops": (1, 1)}, top_k=1), np.random.default_rng(0), 0, 0
    for seed in range(200):
        env.reset(seed=seed)
        expert = env.solve()[0]
        said = env.baseline("hasty", rng)
        if said != expert:
            hasty += 1
            colour, _, fact = queries(env.world, env.task.world)[0].split()
            assert said == f"<think>{colour}</think><search>{colour} {fact}</search>"
        first = env.step(said)[0]["text"].split(": ")[1].split(" </information>")[0]
        answer = env.baseline("hasty", rng)
        assert answer == f"<think>found</think><answer>{first}</answer>", "what is found is taken for the answer"
        right += env.step(answer)[1] == 1.0
    assert abs(hasty / 200 - 2 / 3) < 0.12
    assert 200 - hasty <= right < 200 - hasty + 60


def test_a_hasty_annotator_is_of_the_tiny_style_with_searches() -> None:
    for kwargs in (SMALL, TINY | {"tools": False, "max_turns": 1}, TINY | {"ask": "describe", "max_turns": 1}):
        env = Search(**kwargs)
        env.reset(seed=0)
        with pytest.raises(ArgumentError, match="'constant', 'random', 'blind'"):
            env.baseline("hasty", np.random.default_rng(0))


def test_a_description_of_the_tiny_world_names_every_cell_of_a_crowd() -> None:
    env = Search(**TINY | {"ask": "describe", "max_turns": 1})
    names = set()
    for seed in range(10):
        picture = env.reset(seed=seed)[0]["images"][0]
        cells = env.solve()[0].split("<answer>")[1].removesuffix("</answer>").split(", ")
        assert len(cells) == 9 and cells.count("none") == 3
        for k, name in enumerate(cells):
            cell = picture[k // 3 * 14 : k // 3 * 14 + 14, k % 3 * 14 : k % 3 * 14 + 14]
            assert bool((cell == 255).all()) == (name == "none")
        names |= set(cells)
    assert len(names) > 20


# The protocol.


def test_a_search_is_answered_with_numbered_passages_and_no_picture() -> None:
    env = Search(**SMALL)
    env.reset(seed=0)
    name = next(iter(env.world.entities.values())).name
    observation, reward, terminated, truncated, info = env.step(f"<think>a</think><search>{name}</search>")
    assert observation["text"].startswith(f"<information> 1. {name}: ")
    assert observation["text"].endswith(" </information>")
    assert " 2. " in observation["text"] and " 3. " in observation["text"]
    assert observation["images"] == ()
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert "context" not in info


def test_a_search_for_nothing_known_says_so() -> None:
    env = Search(**SMALL)
    env.reset(seed=0)
    assert env.step("<search>qqqqq</search>")[0]["text"] == "<information> Nothing was found. </information>"


def test_text_without_an_action_is_told_what_was_wrong_and_costs_a_turn() -> None:
    env = Search(**SMALL, hops=(1, 1), max_turns=2)
    env.reset(seed=0)
    observation, _, terminated, truncated, _ = env.step("<search>unclosed")
    assert "never closed" in observation["text"] and not terminated and not truncated
    assert env.step("again")[2:4] == (False, True)


def test_a_search_and_an_answer_in_one_turn_are_neither() -> None:
    env = Search(**SMALL)
    env.reset(seed=0)
    assert "2 actions" in env.step("<search>a</search><answer>b</answer>")[0]["text"]


@pytest.mark.parametrize(
    ("turns", "reward"),
    [
        (["<think>a</think><answer>{gold}</answer>"], 0.8),  # right, and nothing was searched
        (["<think>a</think><search>x</search>", "<think>a</think><answer>{gold}</answer>"], 1.0),
        (["<search>x</search>", "<think>a</think><answer>{gold}</answer>"], 0.95),  # half of the turns have the form
        (["<think>a</think><search>x</search>", "<think>a</think><answer>wrong</answer>"], 0.1),
        (["<search>x</search>", "<answer>wrong</answer>"], 0.0),  # a search alone pays nothing
        (["<answer>{gold}</answer>"], 0.7),
        (["<think>a</think><search>x</search>"] * 5, 0.0),
    ],
)
def test_the_reward_by_hand(turns: list[str], reward: float) -> None:
    env = Search(**SMALL, format_weight=0.1, tool_weight=0.2)
    env.reset(seed=0)
    gold = env.task.world.golds[0]
    assert play(env, [turn.format(gold=gold) for turn in turns])[0] == pytest.approx(reward)


def test_a_part_of_the_answer_pays_under_f1_only() -> None:
    for score, reward in (("f1", 0.9 * 2 / 3 + 0.1), ("em", 0.1)):
        env = Search(**SMALL, score=score)
        for seed in range(50):
            env.reset(seed=seed)
            gold = env.task.world.golds[0]
            if len(gold.split()) == 2 and len(env.task.world.golds) == 1:
                break
        said = f"<think>a</think><answer>{gold.split()[0]}</answer>"
        _, paid, _, _, info = env.step(said)
        assert paid == pytest.approx(reward)
        assert info["metrics"]["f1"] == pytest.approx(2 / 3) and info["metrics"]["accuracy"] == 0.0


def test_a_river_may_be_named_without_the_word() -> None:
    env = Search(**SMALL, hops=(1, 1))
    for seed in range(200):
        env.reset(seed=seed)
        if env.task.world.path[-1].name == "river":
            break
    gold = env.task.world.golds[0]
    assert gold.startswith("River ")
    assert env.step(f"<think>a</think><answer>the {gold.split()[1]}</answer>")[1] == 1.0


def test_without_tools_the_whole_text_is_the_answer() -> None:
    env = Search(**SMALL, tools=False)
    observation, _ = env.reset(seed=0)
    assert observation["text"].endswith(" Answer the question directly. The answer should be very brief.")
    gold = env.task.world.golds[0]
    assert env.solve() == [gold]
    assert env.step(f" {gold}. ")[1:4] == (1.0, True, False)
    env.reset(seed=0)
    assert env.step("")[1:4] == (0.0, True, False)


@settings(max_examples=25, deadline=None)
@given(st.text(), st.sampled_from(["search", "answer", "think"]))
def test_any_text_is_survived(text: str, tag: str) -> None:
    env = Search(**TINY)
    env.reset(seed=0)
    assert 0.0 <= env.step(f"<{tag}>{text}</{tag}>")[1] <= 1.0


# Splits and what is held out.


def test_an_entity_is_shown_in_one_split_only() -> None:
    shown = {}
    for split in SPLITS:
        env = Search(**SMALL, split=split)
        shown[split] = {env.draw(None, seed).world.stage.entity.id for seed in range(150)}
    assert min(map(len, shown.values())) > 5
    assert sum(map(len, shown.values())) == len(set().union(*shown.values()))


def test_seen_and_unseen_pairs_are_disjoint_and_exhaustive() -> None:
    pairs = {}
    for combinations in ("seen", "unseen", "all"):
        forms = Search(**SMALL, combinations=combinations)._forms
        pairs[combinations] = {
            (PICTURES.index(picture), RELATIONS.index(path[-1]))
            for picture, by_hops in forms.items()
            for listed in by_hops.values()
            for _, path in listed
        }
    assert all(unseen(*pair) for pair in pairs["unseen"]) and not any(unseen(*pair) for pair in pairs["seen"])
    assert pairs["seen"] | pairs["unseen"] == pairs["all"]
    assert {i for i, _ in pairs["unseen"]} == set(range(5))


def test_tiny_pairs_of_colour_and_question_are_held_out() -> None:
    pairs = {}
    for combinations in ("seen", "unseen"):
        env = Search(**TINY, combinations=combinations)
        worlds = [env.draw(None, seed).world for seed in range(80)]
        pairs[combinations] = {(w.stage.entity.name.split()[0], w.question) for w in worlds}
    assert pairs["seen"] and pairs["unseen"] and not pairs["seen"] & pairs["unseen"]


def test_pictures_and_hops_asked_for_are_those_drawn() -> None:
    env = Search(**SMALL, pictures=["chart", "scene"], hops=(2, 2))
    tags = [env.tags(env.draw(None, seed).world) for seed in range(60)]
    assert {tag["picture"] for tag in tags} == {"chart", "scene"} and {tag["hops"] for tag in tags} == {2}
    assert {tag["difficulty"] for tag in tags} == {"medium", "hard"}


def test_kinds_of_picture_are_equally_frequent() -> None:
    env = Search(**SMALL)
    counts = Counter(env.draw(None, seed).world.stage.picture for seed in range(500))
    assert all(70 < counts[picture] < 130 for picture in PICTURES)


@pytest.mark.parametrize("name", ["constant", "random", "blind"])
def test_a_guess_is_hardly_ever_right(name: str) -> None:
    env, rng = Search(**SMALL | {"entities": 960}), np.random.default_rng(0)
    right = 0.0
    for seed in range(150):
        env._task, env._turn, env._over = env.draw(None, seed), 0, False  # without the picture
        right += env.step(env.baseline(name, rng))[4]["metrics"]["accuracy"]
    assert right / 150 < 0.05


# Pictures.


def test_a_chart_has_the_longest_or_shortest_bar_at_the_entity() -> None:
    env = Search(**SMALL, pictures=["chart"])
    for seed in range(40):
        stage = env.draw(None, seed).world.stage
        lengths = dict(stage.drawn[0])
        assert stage.entity.name == (max if stage.bar == "longest" else min)(lengths, key=lambda name: lengths[name])
        ordered = sorted(lengths.values())
        assert all(b - a >= 8 for a, b in itertools.pairwise(ordered))
        assert stage.names == tuple(sorted(lengths, key=lambda name: -lengths[name]))


def test_a_map_marks_the_entity_and_no_other_town() -> None:
    env = Search(pictures=["map"], hops=(1, 1))
    for seed in range(12):
        pixels = env.reset(seed=seed)[0]["images"][0].astype(int)
        names, places, marked, _, _ = env.task.world.stage.drawn
        assert names[marked] == env.task.world.stage.entity.name
        red = (pixels[:, :, 0] > 200) & (pixels[:, :, 1] < 60)
        near = []
        for x, y in places:
            window = red[y - 9 : y + 10, x - 9 : x + 10]
            near.append(int(window.sum()))
        assert near[marked] > 60 and sum(near) == near[marked]


def test_an_emblem_shows_its_colours() -> None:
    env = Search(pictures=["emblem"], hops=(1, 1))
    named = COLOURS | {"white": (255, 255, 255), "black": (30, 30, 30)}
    for seed in range(6):
        pixels = env.reset(seed=seed)[0]["images"][0]
        look = env.task.world.stage.entity.look
        shown = Counter(map(tuple, pixels.reshape(-1, 3).tolist()))
        assert {c for c in COLOURS if shown[named[c]] > 40} == {look.first, look.second, look.colour} & set(COLOURS)


def test_a_tiny_picture_has_the_symbol_in_the_cells_described() -> None:
    env = Search(**TINY | {"ask": "describe", "max_turns": 1})
    for seed in range(12):
        pixels = env.reset(seed=seed)[0]["images"][0]
        assert pixels.shape == (42, 42, 3)
        said = env.solve()[0].split("<answer>")[1].split("</answer>")[0].split(", ")
        for cell, name in enumerate(said):
            row, column = divmod(cell, 3)
            window = pixels[row * 14 : row * 14 + 14, column * 14 : column * 14 + 14].reshape(-1, 3)
            seen = {c for c, value in COLOURS.items() if (window == value).all(axis=1).any()}
            assert seen == (set() if name == "none" else {name.split()[0]})


def test_pictures_and_questions_are_those_always_given() -> None:
    # Recorded: results of published runs depend on them.
    given = {}
    for picture in PICTURES:
        observation, _ = Search(pictures=[picture], instructions="short").reset(seed=0)
        given[picture] = (image_hash(observation["images"][0])[:8], observation["text"])
    observation, _ = Search(**TINY).reset(seed=0)
    given["tiny"] = (image_hash(observation["images"][0])[:8], observation["text"])
    assert given == RECORDED


RECORDED = {
    "emblem": ("94a8b049", "In which year was the town where the team whose badge is shown plays founded?"),
    "chart": ("a1862956", "In which year was the town where the museum with the shortest bar stands founded?"),
    "map": ("55c0807c", "At which mountain does the river that flows through the town marked on the map rise?"),
    "text": ("282ff37a", "Which river flows through the town where the team named on the ticket plays?"),
    "scene": ("be6d2b4b", "How many people live in the home port of the ship shown?"),
    "tiny": ("691af358", "twin place?"),
}


# The tool.


def test_a_larger_index_that_holds_the_world_may_be_searched(tmp_path: Path) -> None:
    others = [Passage(f"other-{n}", f"Something {n}", "a town with a mayor and a red star") for n in range(50)]
    build_index(tmp_path / "index", [*world_passages(entities=96), *others])
    env = Search(entities=96, size=(160, 160), search=f"index:{tmp_path / 'index'}")
    for seed in range(5):
        env.reset(seed=seed)
        assert play(env, env.solve())[0] == 1.0
    env.reset(seed=0)
    assert "Something" in env.step("<search>something</search>")[0]["text"]


def test_an_index_of_another_world_is_refused(tmp_path: Path) -> None:
    build_index(tmp_path / "index", world_passages(entities=96, world_seed=1))
    with pytest.raises(ArgumentError, match=r"does not hold the passages of this world .*world_passages"):
        Search(entities=96, search=f"index:{tmp_path / 'index'}")


def test_environments_of_one_world_share_an_index() -> None:
    assert Search(**SMALL)._tool is Search(**SMALL, split="test")._tool
    assert Search(**SMALL)._tool is not Search(**SMALL, world_seed=9)._tool


def test_without_tantivy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tantivy", None)
    with pytest.raises(MissingExtraError, match=r"rllava-gym\[search\]"):
        Search(entities=99)
    assert tool_module  # the module itself loads without it


@pytest.mark.slow
def test_the_contract_holds() -> None:
    report = check_env("RLLaVA/Search-v0", **TINY)
    assert report.ok, str(report)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"style": "huge"}, "style must be one of"),
        ({"pictures": ["photo"]}, "pictures"),
        ({"hops": (0, 1)}, "hops"),
        ({"hops": (3, 2)}, "lowest exceeds"),
        ({"style": "tiny", "hops": (1, 3)}, "hops"),
        ({"entities": 95}, "entities must be a whole number from 96"),
        ({"style": "tiny", "entities": 71}, "entities must be a whole number from 20 to 70"),
        ({"world_seed": -1}, "world_seed"),
        ({"search": "web"}, "must be one of index:DIR"),
        ({"search": "index:/nowhere"}, "there is no folder"),
        ({"search": 3}, 'search must be "world", "none", "index:DIR" or "http'),
        ({"top_k": 21}, "top_k"),
        ({"snippet": 10}, "snippet"),
        ({"size": (100, 224)}, "size"),
        ({"cells": 9}, "cells"),
        ({"cell_px": 8}, "cell_px"),
        ({"score": "bleu"}, "score must be"),
        ({"tools": 1}, "tools must be True or False"),
        ({"ask": "guess"}, "ask must be"),
        ({"combinations": "new"}, "combinations"),
        ({"instructions": "none"}, "instructions"),
        ({"format_weight": 0.6}, "format_weight"),
        ({"tool_weight": 1.2}, "tool_weight"),
        ({"max_turns": 2}, "max_turns must be at least 3: 2 searches and the answer"),
        ({"tools": False, "max_turns": 3}, "tools=False has one turn"),
        ({"pictures": ["map"], "hops": (1, 1), "combinations": "unseen", "split": "dev"}, "split"),
    ],
)
def test_a_bad_argument_is_refused_at_construction_by_name(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Search(**{"entities": 96} | kwargs if kwargs.get("style") != "tiny" else kwargs)


def test_the_card_names_every_argument() -> None:
    card = Search.__doc__ or ""
    assert [name for name in (Search.__init__.__kwdefaults__ or {}) if name not in card] == []
