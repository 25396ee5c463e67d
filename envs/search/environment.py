"""Search: a picture shows something, and what is asked about it stands in a passage that must be found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from sandbox.search import Passage

from ..core import arguments
from ..core.actions import Action, Malformed, parse, say
from ..core.env import Environment, Prompt, Response
from ..core.errors import ArgumentError
from ..core.held_out import COMBINATIONS, allowed
from ..core.rewards import share_right
from ..core.spaces import Images
from ..core.text_match import exact_match, f1
from ..render.shapes import COLOURS
from . import relations, tiny
from .information import information, snippet
from .questions import SearchWorld, all_forms, followed, needed, possible_answers, queries, value
from .relations import PICTURES, Path
from .score import Progress, searching_reward
from .stage import described, draw, draw_tiny, set_stage, set_tiny_crowd, set_tiny_stage
from .tool import NoSearch, ask, open_tool, open_world
from .wording import asked
from .world import FEWEST_ENTITIES, World, make_world

MOST_ENTITIES = 10_000


class Search(Environment[SearchWorld]):
    """A picture leads to something, a search to what is asked about it. `RLLaVA/Search-v0`.

    Observation
        First `text`, a question such as "Who is the mayor of the town where the founder of the company whose logo is
        shown was born?", with instructions="full" also how to search and answer; and `images`, one picture, uint8
        (H, W, 3). After a search: `<information> 1. Title: text 2. Title: text </information>` and no picture; no tag
        can occur in a passage.
    Action
        `<think>...</think><search>a few words</search>` or `<think>...</think><answer>1812</answer>`. Any query has a
        result, if only "Nothing was found."
    Reward
        Paid with the answer: accuracy + format_weight x (format - accuracy), less tool_weight x accuracy where nothing
        was searched. accuracy: exact match or, with score="f1", token F1, after core/text_match.py. format: the share
        of turns in the form above. So no search pays without a right answer. info["metrics"] has accuracy (always exact
        match), f1, format, searched (0 or 1), and retrieved: the share of the needed passages that were shown.
    Episode end
        terminated by an answer, right or wrong; truncated, with nothing paid, when the turns run out.
    Tasks
        Procedural: a world of invented entities (towns, people, rivers, companies, museums, teams, ships) with facts, a
        passage each, and looks; a function of `entities` and `world_seed`. Episodes without limit by seed and
        numbered by `options={"task": i}`: train 1,000,000, validation and test 2,048 each. Every entity is shown and
        asked about in one split only (8 in 10 train, 1 validation, 1 test, of each kind); in the tiny style this holds
        for every pair of entity and question.
    Held out
        Entities, by split. Pairs of picture and last relation: combinations="seen" leaves out a fixed fifth of them,
        "unseen" asks about no others (in the tiny style: pairs of colour and question). Difficulty (tag "difficulty"):
        easy, one hop from a name that can be read; medium, one hop from a look, or two from a name; hard, the rest.
        Train with hops=[1, 1] and test with hops=[2, 3], or test with other `pictures` or another `world_seed`.
    Why guessing fails
        All is invented, so nothing is known beforehand, and the entities of a split occur in no question of another.
        What a guess can know is what answers there are: the best one from the question alone is right in about 2% of
        the default episodes. The entities in the picture's background are of the same kind, one of them often with a
        name that differs in one letter.
    Source
        Ours, after the kind of question in MAT-Search (Visual-ARFT, arXiv 2505.14246).
    Against MAT-Search
        Invented entities and passages instead of the web; answers balanced, none yes or no; information is appended,
        one turn after the other, where MAT-Search rebuilds one message (`RLLaVA/MATSearch-v0` does so); reward as
        above instead of 0.8 F1 + 0.2 format + 1.2 for any search.

    Keyword arguments (all plain data, so that a recipe can hold them)
        style         "full", or "tiny": a raster of one coloured shape; see below
        pictures      kinds of picture, names or n for the first n: "emblem" (arms, logo or badge, to be described),
                      "chart" (the longest or shortest bar's name), "map" (the marked town's name), "text" (a name on a
                      sign, plaque or ticket), "scene" (a ship or a building, to be described)
        hops          (fewest, most) relations to the answer, 1 to 3; the tiny style has 1 and 2
        entities      how many there are, 96 to 10,000; tiny: 20 to 70
        world_seed    which world
        search        "world": an index over this world's passages, in memory; "index:DIR" or "http://HOST:PORT": a
                      larger one, which must hold them too (`world_passages` gives them); "none": the same episodes, but
                      nothing is ever found
        top_k         passages shown for a search, 1 to 20
        snippet       characters shown of each, 40 to 2,000. Episodes whose answer it would cut off are not drawn
        size          (width, height) in pixels, 160 to 1,024
        cells, cell_px  of the tiny style: cells a side, and pixels a cell
        score         "em" or "f1": what accuracy means in the reward
        tools         False: no search. One turn, whose whole text is the answer; the reward is accuracy
        ask           "answer", or "describe", a dense task for a cold start: what there is to see, separated by commas,
                      in one turn. Names that can be read (chart: from the longest bar; map: the marked one first); of
                      emblems number, colour, charge, division and two field colours; in the tiny style every cell of
                      a raster with several entities
        combinations  "all", "seen" or "unseen"; see Held out
        instructions  "full", or "short": the question alone
        format_weight, tool_weight  0 to 0.5 each
        max_turns     at least hops + 1; 1 where tools=False or ask="describe"
        split, render_mode

    Two sizes
        tiny     style="tiny", entities=40, hops=[1, 1], instructions="short", max_turns=3          42 x 42
                 "year?" and "place?" ("twin year?" with two hops); a name is a colour and a shape; each entity has a
                 passage of a few words for each of three facts, 210 with entities=70
        medium   the defaults                                                                       224 x 224
    """

    primary_metric: ClassVar[str] = "f1"

    def __init__(
        self,
        *,
        style: str = "full",
        pictures: int | Sequence[str] = len(PICTURES),
        hops: Sequence[int] = (1, 2),
        entities: int | None = None,
        world_seed: int = 0,
        search: str = "world",
        top_k: int = 3,
        snippet: int = 600,
        size: Sequence[int] = (224, 224),
        cells: int = 3,
        cell_px: int = 14,
        score: str = "em",
        tools: bool = True,
        ask: str = "answer",
        combinations: str = "all",
        instructions: str = "full",
        format_weight: float = 0.1,
        tool_weight: float = 0.0,
        max_turns: int | None = None,
        split: str = "train",
        render_mode: str | None = None,
    ) -> None:
        self.style = arguments.one_of("style", style, ("full", "tiny"))
        tiny_style = self.style == "tiny"
        self.pictures = ("emblem",) if tiny_style else arguments.names("pictures", pictures, PICTURES)
        self.hops = arguments.whole_pair("hops", hops, 1, 2 if tiny_style else 3, ordered=True)
        low, high = (tiny.FEWEST_ENTITIES, tiny.MOST_ENTITIES) if tiny_style else (FEWEST_ENTITIES, MOST_ENTITIES)
        default = 40 if tiny_style else 960
        self.entities = arguments.whole("entities", default if entities is None else entities, low, high)
        self.world_seed = arguments.whole("world_seed", world_seed, 0, 2**63 - 1)
        self.top_k = arguments.whole("top_k", top_k, 1, 20)
        self.snippet = arguments.whole("snippet", snippet, 40, 2000)
        self.cells = arguments.whole("cells", cells, 1, 8)
        self.cell_px = arguments.whole("cell_px", cell_px, 12, 128)
        side = self.cells * self.cell_px
        self.size = (side, side) if tiny_style else arguments.whole_pair("size", size, 160, 1024)
        self.score = arguments.one_of("score", score, ("em", "f1"))
        if not isinstance(tools, bool):
            raise ArgumentError(f"tools must be True or False; got {tools!r}")
        self.tools = tools
        self.ask = arguments.one_of("ask", ask, ("answer", "describe"))
        self.combinations = arguments.one_of("combinations", combinations, COMBINATIONS)
        self.instructions = arguments.one_of("instructions", instructions, ("full", "short"))
        self.format_weight = arguments.real("format_weight", format_weight, 0.0, 0.5)
        self.tool_weight = arguments.real("tool_weight", tool_weight, 0.0, 0.5)
        self.searches = self.tools and self.ask == "answer"
        least = self.hops[1] + 1 if self.searches else 1
        turns = (5 if self.searches else 1) if max_turns is None else arguments.whole("max_turns", max_turns, 1, 64)
        if turns < least:
            raise ArgumentError(
                f"max_turns must be at least {least}: {self.hops[1]} searches and the answer; got {turns}. "
                "Allow more turns or fewer hops"
            )
        if not self.tools and turns > 1:
            raise ArgumentError(f"tools=False has one turn, whose whole text is the answer; got max_turns={turns}")
        self._forms = all_forms(self.style, self.pictures, self.hops, self.combinations)
        self.world: World = (tiny.make_tiny_world if tiny_style else make_world)(self.entities, self.world_seed)
        self.search = search
        # What holds the passages, and what a policy is given: with "none" episodes are the same, and nothing is found.
        self._index = open_world(self.world) if search in ("world", "none") else self._foreign(search)
        self._tool = NoSearch() if search == "none" else self._index
        self._values = possible_answers(self.world)
        self._progress = Progress()
        self._hits: tuple[Passage, ...] = ()  # by the last search
        images = Images(max_images=1, max_side=max(self.size), max_pixels=self.size[0] * self.size[1])
        super().__init__(
            images=images,
            split=split,
            max_turns=turns,
            max_text=2048 + self.top_k * (self.snippet + 512) * 2,
            render_mode=render_mode,
        )

    def _foreign(self, name: str) -> Any:
        if not isinstance(name, str):
            raise ArgumentError(f'search must be "world", "none", "index:DIR" or "http://HOST:PORT"; got {name!r}')
        tool = open_tool(name)
        probe = next(iter(self.world.passages.values()))
        if all(hit.passage.text != probe.text for hit in ask(tool, f"{probe.title} {probe.text}", 20)):
            raise ArgumentError(
                f"search={name!r} does not hold the passages of this world (entities={self.entities}, world_seed="
                f"{self.world_seed}); build the index over world_passages(...) and what else it should hold"
            )
        return tool

    # Worlds.

    def plan(self, rng: np.random.Generator) -> tuple[str, str, Path]:
        picture = _pick(rng, list(self._forms))
        kind, path = _pick(rng, self._forms[picture][_pick(rng, list(self._forms[picture]))])
        return picture, kind, path

    def build(self, plan: Any, rng: np.random.Generator) -> SearchWorld | None:
        picture, kind, path = plan
        shown = _pick(rng, self.world.askable(kind, tiny.question(path), self.split))
        if self.style == "tiny":
            colour = list(COLOURS).index(shown.name.split()[0])
            question_number = [p for paths in tiny.PATHS.values() for p in paths].index(path)
            if not allowed(self.combinations, colour, question_number):
                return None
            stage, question = set_tiny_stage(shown, self.cells, rng), tiny.question(path)
            if self.ask == "describe":
                stage = set_tiny_crowd(shown, self.world, self.cells, rng)
        else:
            stage = set_stage(picture, shown, self.world, self.size, rng)
            question = relations.question(relations.SHOWN[picture][kind].format(bar=stage.bar), path)
        chain = followed(self.world, shown, path)
        answer = value(self.world, chain[-1], path[-1].name)
        if answer == shown.name:
            return None  # the mayor's birthplace is the town itself: it may stand in the picture
        golds = (answer, answer.removeprefix("River ")) if answer.startswith("River ") else (answer,)
        return SearchWorld(stage, path, chain, question, golds)

    def state(self, world: SearchWorld) -> bytes:
        return self.world.state(world.stage.entity, world.question)

    def admit(self, world: SearchWorld) -> bool:
        # With the words that describe the picture, the passage must be among those shown, and in what is shown of it
        # the answer, or the name to search for next.
        shown = [*(self.world.entities[i].name for i in world.chain[1:]), world.golds[0]]
        for passage, query, told in zip(needed(self.world, world), queries(self.world, world), shown, strict=True):
            found = [h.passage.text for h in ask(self._index, query, self.top_k) if h.passage.title == passage.title]
            if passage.text not in found or told not in snippet(passage.text, self.snippet):
                return False
        return True

    # What is shown, and the gold answer.

    def observe(self, world: SearchWorld) -> Prompt:
        self._progress, self._hits = Progress(), ()  # called once an episode, at its beginning
        turns = self.max_turns if self.searches else 0
        text = asked(self.ask, world.question, self.instructions, self.tools, turns)
        return Prompt(text, (self._draw(world),))

    def _draw(self, world: SearchWorld) -> Any:
        if self.style == "tiny":
            return draw_tiny(world.stage, self.cells, self.cell_px)
        return draw(world.stage, self.size)

    def _described(self, world: SearchWorld) -> tuple[str, ...]:
        if self.style == "full":
            return described(world.stage)
        drawn = dict(world.stage.drawn)
        return tuple(drawn.get(cell, "none") for cell in range(self.cells**2))

    def solve(self) -> list[str]:
        """The actions that score the maximum from here: the searches whose passages were not shown yet, the answer."""
        world = self.task.world
        if self.ask == "describe":
            gold = ", ".join(self._described(world))
            return [gold if not self.tools else say("look", "answer", gold)]
        if not self.tools:
            return [world.golds[0]]
        expert = queries(self.world, world)
        found = [k for k, passage in enumerate(needed(self.world, world)) if passage.id in self._progress.found]
        first = max(found, default=-1) + 1
        if self.style == "tiny":
            thoughts = [*(self.world.entities[entity].name for entity in world.chain), "found"]
        else:
            thoughts = [f"The picture shows {expert[0]}.", *(f"Next I need {name}." for name in expert[1:]), "Found."]
        searches = [say(t, "search", q) for t, q in zip(thoughts[first:], expert[first:], strict=False)]
        return [*searches, say(thoughts[-1], "answer", world.golds[0])]

    def baseline(self, name: str, rng: np.random.Generator) -> str:
        """The action of somebody who neither looks nor searches.

        constant: the answer that most questions have; random: uniform over what could be asked for; blind: the answer
        that is right most often for this question. In the tiny style with searches also hasty: the expert, but two
        times in three the query lacks the shape, and what it finds is taken for the answer.
        """
        hasty = ("hasty",) if self.style == "tiny" and self.searches else ()
        arguments.one_of("baseline", name, ("constant", "random", "blind", *hasty))
        world = self.task.world
        if name == "hasty":
            return self._hasty(rng)
        if self.ask == "describe":
            words = [*COLOURS, "one", "two", "none"]
            guess = ", ".join(_pick(rng, words) if name == "random" else "none" for _ in self._described(world))
        else:
            last = world.path[-1]
            values = self._values[last.kind, last.name]
            if name == "constant":
                values = Counter(answer for counted in self._values.values() for answer in counted.elements())
            guess = _pick(rng, list(values)) if name == "random" else values.most_common(1)[0][0]
        return guess if not self.tools else say("guess", "answer", guess)

    def _hasty(self, rng: np.random.Generator) -> str:
        if self._hits and self._hits[0] not in needed(self.world, self.task.world):
            return say("found", "answer", self._hits[0].text)
        expert, left = (
            self.solve()[0],
            [p for p in needed(self.world, self.task.world) if p.id not in self._progress.found],
        )
        if left and int(rng.integers(3)):
            colour, _, fact = left[0].title.split()
            return say(colour, "search", f"{colour} {fact}")
        return expert

    # Scoring.

    def respond(self, world: SearchWorld, text: str) -> Response:
        if not self.tools:
            return self._judge(world, text, well_formed=bool(text.strip()))
        action = parse(text, ("search", "answer") if self.searches else ("answer",))
        self._progress = self._progress.after(action.well_formed)
        if isinstance(action, Action) and action.verb == "answer":
            return self._judge(world, action.content, well_formed=action.well_formed)
        if isinstance(action, Malformed):
            return self._continue(world, action.message if self.max_turns > 1 else "")
        hits = ask(self._tool, action.content, self.top_k)
        self._hits = tuple(hit.passage for hit in hits)
        texts = {(h.passage.title, h.passage.text) for h in hits}
        found = {p.id for p in needed(self.world, world) if (p.title, p.text) in texts}
        self._progress = replace(
            self._progress, searches=self._progress.searches + 1, found=self._progress.found | found
        )
        return self._continue(world, information(hits, self.snippet))

    def _continue(self, world: SearchWorld, text: str) -> Response:
        parts = {"accuracy": 0.0, "format": 0.0, "tool": 0.0}
        return Response(False, 0.0, parts, self._metrics(world, 0.0, 0.0), text=text)

    def _judge(self, world: SearchWorld, said: str, well_formed: bool) -> Response:
        if self.ask == "describe":
            exact = overlap = share_right(said, [name.lower() for name in self._described(world)])
        else:
            exact, overlap = exact_match(said, world.golds), f1(said, world.golds)
        accuracy = overlap if self.score == "f1" else exact
        progress = self._progress
        if not self.searches:  # one turn, and nothing to search with
            progress = Progress(1, int(well_formed), 1)
        reward = searching_reward(accuracy, progress, self.format_weight if self.tools else 0.0, self.tool_weight)
        parts = {"accuracy": accuracy, "format": progress.format, "tool": float(progress.searches > 0) * accuracy}
        return Response(True, reward, parts, self._metrics(world, exact, overlap))

    def _metrics(self, world: SearchWorld, exact: float, overlap: float) -> dict[str, float]:
        found = len(self._progress.found) / len({passage.id for passage in needed(self.world, world)})
        searched = float(self._progress.searches > 0)
        told = {"accuracy": exact, "f1": overlap, "format": self._progress.format}
        return told | {"searched": searched, "retrieved": found}

    def tags(self, world: SearchWorld) -> dict[str, str | int]:
        stage, hops = world.stage, len(world.path)
        readable = bool(stage.names) or self.style == "tiny"
        return {
            "difficulty": "easy" if hops == 1 and readable else "medium" if hops == (2 if readable else 1) else "hard",
            "picture": stage.picture,
            "shown": stage.entity.kind,
            "relation": f"{world.path[-1].kind} {world.path[-1].name}",
            "hops": hops,
        }


def world_passages(style: str = "full", entities: int | None = None, world_seed: int = 0) -> tuple[Passage, ...]:
    """The passages of a procedural world, to be put into a larger index. The arguments are those of `Search`."""
    return tuple(Search(style=style, entities=entities, world_seed=world_seed).world.passages.values())


def _pick(rng: np.random.Generator, entries: Sequence[Any]) -> Any:
    return entries[int(rng.integers(len(entries)))]
