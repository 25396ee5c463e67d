"""Counting: how many objects of a picture fit a description?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np

from .core import arguments
from .core.actions import Malformed, parse
from .core.env import Environment, Prompt, Response
from .core.errors import ArgumentError
from .core.rewards import exact_integer, format_score, share_right, weighted
from .core.spaces import Images
from .render.placing import place
from .render.scene import Item, Painting, paint
from .render.shapes import BACKGROUNDS, COLOURS, SHAPES

ATTRIBUTES = ("size", "colour", "shape")  # in the order in which English names them
QUESTIONS = ("colour", "shape", "size", "colour+shape", "size+colour", "size+shape", "size+colour+shape")
SIZES = ("large", "small")
PROTOCOL = "Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."
MIN_RADIUS = 3  # pixels; smaller shapes cannot be told apart
MAX_OBJECTS = 64


@dataclass(frozen=True)
class CountingPlan:
    """What is drawn before any object: the answer, whom it counts, and how many objects there are in all."""

    answer: int
    query: tuple[tuple[str, str], ...]  # (attribute, value), in the order of ATTRIBUTES
    objects: int


@dataclass(frozen=True)
class CountingWorld:
    """A scene and what is asked about it. `items` are in painting order: later ones lie in front."""

    plan: CountingPlan
    items: tuple[Item, ...]


class Counting(Environment[CountingWorld]):
    """How many objects of a picture fit a description? `RLLaVA/Counting-v0`.

    Observation
        `text`: "How many large red squares are there?" and, with instructions="full", how to answer.
        `images`: one picture, uint8 (H, W, 3).
    Action
        `<think>...</think><answer>4</answer>`. Only the integer in `<answer>` counts; ASCII digits.
    Reward
        (1 - format_weight) x accuracy + format_weight x format. accuracy: 1 for the exact integer, else 0. format: 1
        for exactly the form above. The parts are in info["rewards"], the measures in info["metrics"].
    Episode end
        terminated by an answer, right or wrong. With max_turns=1 anything said ends it. With more, a text without an
        action is told what was wrong, and the episode is truncated when the turns run out.
    Tasks
        Procedural, without limit by seed and numbered by `options={"task": i}`: train 1,000,000, validation and test
        2,048 each. No picture occurs in two splits, whatever is asked about it.
    Why guessing fails
        The answer is drawn first, uniformly over 0..max_count, independently of the question and of the number of
        objects; then a scene with that answer is built. So a constant, a guess from the question and the total number
        of objects are all right with probability 1 / (max_count + 1). That needs max_count <= objects[0].
    Against CLEVR-Count
        Flat shapes instead of rendered 3-D scenes; the same wording and answer tags; answers balanced instead of
        bunched at small numbers; attributes are always asked about, never the total; reward 0.9 accuracy + 0.1 format
        instead of 0.5 + 0.5 (format_weight=0.5 gives the published one).

    Keyword arguments (all plain data, so that a recipe can hold them)
        layout        "free" (anywhere, overlaps up to max_overlap) or "grid" (cells x cells, one object in a cell)
        size          (width, height) of a free picture in pixels
        cells, cell_px  the grid's cells a side, and pixels a cell; the picture is cells * cell_px square
        objects       (fewest, most) objects
        max_count     the largest answer; by default objects[0], the largest that stays balanced
        shapes, colours, sizes  names, or n for the first n. Shapes: circle, square, triangle, diamond, cross, star,
                      ring. Colours: red, green, blue, yellow, purple, orange, cyan, brown, pink, gray.
                      Sizes: large, small
        question      kinds asked about: "colour", "shape", "size", "colour+shape", "size+colour", "size+shape",
                      "size+colour+shape"; by default all for which there are two values of each attribute
        distractors   share of the other objects that miss the description in exactly one attribute, 0 to 1
        max_overlap   0 (surrounding circles do not meet) to 0.5; also the largest hidden share of any object.
                      Objects of one colour never overlap
        background    "white" or "black"
        instructions  "full", or "short": the question alone
        ask           "count", or one of two dense tasks for a cold start, on the scenes of "count". "describe": name
                      every object, row by row (in a grid also empty cells, as "none"; elsewhere from top to bottom).
                      "tally": the number of objects of each colour. Accuracy is the share of entries that are right
        thought       what solve() thinks: "query" (the description) or "list" (the objects that fit, numbered)
        format_weight, max_turns, split, render_mode

    Three sizes
        tiny     layout="grid", cells=3, cell_px=14, objects=(9, 9), shapes=3, colours=4, sizes=1, question=["colour"],
                 instructions="short"                                                       42 x 42, answers 0..9
        medium   the defaults                                                              224 x 224, answers 0..5
        crowded  size=(320, 240), objects=(10, 14), shapes=5, colours=8, sizes=2, distractors=0.6, max_overlap=0.3
                                                                                           320 x 240, answers 0..10
    """

    primary_metric: ClassVar[str] = "accuracy"

    def __init__(
        self,
        *,
        layout: str = "free",
        size: Sequence[int] = (224, 224),
        cells: int = 3,
        cell_px: int = 28,
        objects: Sequence[int] = (5, 8),
        max_count: int | None = None,
        shapes: int | Sequence[str] = 4,
        colours: int | Sequence[str] = 6,
        sizes: int | Sequence[str] = 2,
        question: Sequence[str] | None = None,
        distractors: float = 0.3,
        max_overlap: float = 0.1,
        background: str = "white",
        instructions: str = "full",
        ask: str = "count",
        thought: str = "query",
        format_weight: float = 0.1,
        max_turns: int = 1,
        split: str = "train",
        render_mode: str | None = None,
    ) -> None:
        self.layout = arguments.one_of("layout", layout, ("free", "grid"))
        self.cells = arguments.whole("cells", cells, 1, 8)
        self.cell_px = arguments.whole("cell_px", cell_px, 12, 256)
        free_size = arguments.whole_pair("size", size, 64, 2048)
        self.width, self.height = free_size if self.layout == "free" else (self.cells * self.cell_px,) * 2
        most = MAX_OBJECTS if self.layout == "free" else self.cells**2
        self.objects = arguments.whole_pair("objects", objects, 1, most, ordered=True)
        # More would let the total tell the answer: a scene of few objects cannot hold a large count.
        self.max_count = (
            self.objects[0] if max_count is None else arguments.whole("max_count", max_count, 1, self.objects[0])
        )
        self.values = {
            "size": arguments.names("sizes", sizes, SIZES),
            "colour": arguments.names("colours", colours, tuple(COLOURS)),
            "shape": arguments.names("shapes", shapes, tuple(SHAPES)),
        }
        self.question = self._questions(question)
        self.distractors = arguments.real("distractors", distractors, 0.0, 1.0)
        self.max_overlap = arguments.real("max_overlap", max_overlap, 0.0, 0.5)
        self.background = arguments.one_of("background", background, tuple(BACKGROUNDS))
        self.instructions = arguments.one_of("instructions", instructions, ("full", "short"))
        self.ask = arguments.one_of("ask", ask, ("count", "describe", "tally"))
        self.thought = arguments.one_of("thought", thought, ("query", "list"))
        self.format_weight = arguments.real("format_weight", format_weight, 0.0, 0.5)
        side = min(self.width, self.height)
        # In a grid a large shape fills its cell but for a rim of one pixel in fourteen.
        self.radii = (
            {"large": max(side * 3 // 32, MIN_RADIUS), "small": max(side // 20, MIN_RADIUS)}
            if self.layout == "free"
            else {"large": self.cell_px * 3 // 7, "small": max(self.cell_px // 4, MIN_RADIUS)}
        )
        self._looks_by_query: dict[tuple[tuple[str, str], ...], tuple[list[tuple[str, ...]], ...]] = {}
        self._painted: tuple[CountingWorld, Painting] | None = None
        images = Images(max_images=1, max_side=max(self.width, self.height), max_pixels=self.width * self.height)
        super().__init__(images=images, split=split, max_turns=max_turns, render_mode=render_mode)

    def _questions(self, question: Sequence[str] | None) -> tuple[str, ...]:
        askable = [q for q in QUESTIONS if all(len(self.values[a]) > 1 for a in q.split("+"))]
        if question is None and askable:
            return tuple(askable)
        kinds = arguments.names("question", QUESTIONS if question is None else question, QUESTIONS)
        for kind in kinds:
            if kind not in askable:
                raise ArgumentError(
                    f"question={kind!r} needs two values of each of its attributes, so that an object can miss it; got "
                    f"{', '.join(f'{a}: {len(v)}' for a, v in self.values.items())}. Add values or ask: {askable}"
                )
        return kinds

    # Worlds.

    def plan(self, rng: np.random.Generator) -> CountingPlan:
        answer = int(rng.integers(self.max_count + 1))
        kind = self.question[int(rng.integers(len(self.question)))].split("+")
        query = tuple((a, self.values[a][int(rng.integers(len(self.values[a])))]) for a in ATTRIBUTES if a in kind)
        return CountingPlan(answer, query, int(rng.integers(self.objects[0], self.objects[1] + 1)))

    def build(self, plan: Any, rng: np.random.Generator) -> CountingWorld | None:
        fitting, near, others = self._looks(plan.query)
        luck = iter(rng.random(2 * plan.objects).tolist())  # one call: a thousand small ones would cost the most
        looks: list[tuple[str, ...]] = []
        for k in range(plan.objects):
            kind, which = next(luck), next(luck)
            pool = fitting if k < plan.answer else near if kind < self.distractors else others
            looks.append(pool[int(which * len(pool))])
        # Shuffled, so that neither place nor painting order tells which objects were asked about.
        looks = [looks[k] for k in rng.permutation(plan.objects).tolist()]
        radii = [self.radii[size] for size, _, _ in looks]
        if self.layout == "grid":
            chosen = rng.permutation(self.cells**2)[: plan.objects].tolist()
            half = self.cell_px // 2
            centres = [(c % self.cells * self.cell_px + half, c // self.cells * self.cell_px + half) for c in chosen]
        else:
            found = place(radii, [colour for _, colour, _ in looks], self.width, self.height, self.max_overlap, rng)
            if found is None:
                return None
            centres = found
        return CountingWorld(
            plan,
            tuple(
                Item(shape, colour, size, x, y, radius)
                for (size, colour, shape), radius, (x, y) in zip(looks, radii, centres, strict=True)
            ),
        )

    def _looks(self, query: tuple[tuple[str, str], ...]) -> tuple[list[tuple[str, ...]], ...]:
        """All looks (size, colour, shape) that fit, that miss in exactly one attribute asked about, that do not fit."""
        if query not in self._looks_by_query:
            every = list(product(*(self.values[a] for a in ATTRIBUTES)))
            misses = [sum(look[ATTRIBUTES.index(a)] != value for a, value in query) for look in every]
            self._looks_by_query[query] = (
                [look for look, n in zip(every, misses, strict=True) if n == 0],
                [look for look, n in zip(every, misses, strict=True) if n == 1],
                [look for look, n in zip(every, misses, strict=True) if n > 0],
            )
        return self._looks_by_query[query]

    def state(self, world: CountingWorld) -> bytes:
        # The scene alone, not the question: no picture may be in two splits, whatever is asked about it. Sorted, as
        # objects that do not overlap make the same picture in any painting order.
        return repr(sorted((i.x, i.y, i.size, i.colour, i.shape) for i in world.items)).encode()

    def admit(self, world: CountingWorld) -> bool:
        return min(self._paint(world).visible, default=1.0) >= 1.0 - self.max_overlap

    def _paint(self, world: CountingWorld) -> Painting:
        if self._painted is None or self._painted[0] is not world:
            self._painted = (world, paint(self.width, self.height, self.background, world.items))
        return self._painted[1]

    # What is shown, and the gold answer.

    def observe(self, world: CountingWorld) -> Prompt:
        text = f"How many {_plural(world.plan.query)} are there?"
        if self.ask == "describe":
            grid = 'every cell, row by row, as in "red circle, none"'
            free = 'every object, from top to bottom, as in "red circle, blue square"'
            text = "Describe." if self.instructions == "short" else f"Name {grid if self.layout == 'grid' else free}."
        if self.ask == "tally":
            text = "Tally." if self.instructions == "short" else 'Count each colour, as in "red 2, blue 0".'
        if self.instructions == "full":
            text = f"{text} {PROTOCOL}"
        return Prompt(text, (self._paint(world).pixels,))

    def _names(self, world: CountingWorld) -> list[str]:
        """What the describe or tally task expects, position by position."""
        if self.ask == "tally":
            colours = [item.colour for item in world.items]
            return [f"{colour} {colours.count(colour)}" for colour in self.values["colour"]]
        if self.layout == "free":
            return [self._name_of(i) for i in sorted(world.items, key=lambda i: (i.y, i.x))]
        by_cell = {(i.y // self.cell_px, i.x // self.cell_px): self._name_of(i) for i in world.items}
        return [by_cell.get((row, column), "none") for row in range(self.cells) for column in range(self.cells)]

    def _name_of(self, item: Item) -> str:
        size = [item.size] if len(self.values["size"]) > 1 else []  # a size that never varies says nothing
        return " ".join([*size, item.colour, item.shape])

    def solve(self) -> list[str]:
        """The actions that score the maximum from the start of the current episode: one turn."""
        world = self.task.world
        if self.ask != "count":
            return [_say("all", ", ".join(self._names(world)))]
        query = " ".join(value for _, value in world.plan.query)
        if self.thought == "list":
            fitting = [i for i in world.items if all(getattr(i, a) == value for a, value in world.plan.query)]
            fitting.sort(key=lambda i: (i.y, i.x))
            query += ": " + (", ".join(f"{n} {self._name_of(i)}" for n, i in enumerate(fitting, 1)) or "none")
        return [_say(query, str(world.plan.answer))]

    def baseline(self, name: str, rng: np.random.Generator) -> str:
        """The action of somebody worse than the expert.

        Three never look at the picture. constant: the most frequent answer; random: uniform over the possible answers;
        blind: the best guess from the question. Answers are uniform whatever the question, so constant and blind can
        only be equally bad. One looks carelessly: miscount, a weak annotator, is right half of the time and one too low
        otherwise (one too high where the answer is 0); it describes and tallies as the expert does.
        """
        arguments.one_of("baseline", name, ("constant", "random", "blind", "miscount"))
        if name == "miscount":
            (gold,) = self.solve()
            if self.ask != "count" or rng.random() < 0.5:
                return gold
            answer = self.task.world.plan.answer
            return gold.replace(f"<answer>{answer}<", f"<answer>{abs(answer - 1)}<")
        if self.ask == "count":
            return _say(
                "guess", str(int(rng.integers(self.max_count + 1)) if name == "random" else self.max_count // 2)
            )
        if self.ask == "tally":
            colours = self.values["colour"]
            counts = rng.integers(self.objects[1] + 1, size=len(colours)) if name == "random" else [1] * len(colours)
            return _say("guess", ", ".join(f"{c} {n}" for c, n in zip(colours, counts, strict=True)))
        several = self.values["size"] if len(self.values["size"]) > 1 else ("",)
        looks = [f"{s} {c} {f}".strip() for s in several for c in self.values["colour"] for f in self.values["shape"]]
        positions = self.cells**2 if self.layout == "grid" else self.objects[0]
        picks = rng.integers(len(looks), size=positions).tolist() if name == "random" else [0] * positions
        return _say("guess", ", ".join(looks[k] for k in picks))

    # Scoring.

    def respond(self, world: CountingWorld, text: str) -> Response:
        action = parse(text)
        accuracy = 0.0
        if not isinstance(action, Malformed):
            if self.ask == "count":
                accuracy = exact_integer(action.content, world.plan.answer)
            else:
                accuracy = share_right(action.content, self._names(world))
        parts = {"accuracy": accuracy, "format": format_score(action)}
        return Response(
            done=not isinstance(action, Malformed),
            reward=weighted(accuracy, parts["format"], self.format_weight),
            rewards=parts,
            metrics=parts,
            text=action.message if isinstance(action, Malformed) and self.max_turns > 1 else "",
        )

    def tags(self, world: CountingWorld) -> dict[str, str | int]:
        objects = len(world.items)
        return {
            "difficulty": "easy" if objects <= 5 else "medium" if objects <= 9 else "hard",
            "kind": self.ask if self.ask != "count" else "+".join(a for a, _ in world.plan.query),
            "count": world.plan.answer,
            "objects": objects,
        }


def _say(thought: str, answer: str) -> str:
    return f"<think>{thought}</think><answer>{answer}</answer>"


def _plural(query: tuple[tuple[str, str], ...]) -> str:
    words = dict(query)
    noun = words.pop("shape", "shape")
    return " ".join([*words.values(), noun + ("es" if noun.endswith("s") else "s")])
