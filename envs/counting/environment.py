"""The counting task: how many objects of a picture fit a description?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np

from ..core import arguments
from ..core.actions import Malformed, parse
from ..core.env import Environment, Prompt, Response
from ..core.held_out import COMBINATIONS
from ..core.rewards import exact_integer, format_score, share_right, weighted
from ..core.spaces import Images
from .asking import Asking
from .looks import Scene, make_look
from .wording import PROTOCOL, Query, plural, said


@dataclass(frozen=True)
class CountingPlan:
    """What is drawn before any object: the answer, whom it counts, and how many objects there are in all."""

    answer: int
    query: Query
    objects: int


@dataclass(frozen=True)
class CountingWorld:
    """A scene and what is asked about it."""

    plan: CountingPlan
    scene: Scene

    @property
    def items(self) -> tuple[Any, ...]:
        """The objects; flat ones in painting order: later ones lie in front."""
        return self.scene.items


class Counting(Environment[CountingWorld]):
    """How many objects of a picture fit a description? `RLLaVA/Counting-v0`, `RLLaVA/CountingCLEVR-v0`.

    Observation
        `text`: "How many large red squares are there?", "How many small metal things are there?" and, with
        instructions="full", how to answer. `images`: one picture, uint8 (H, W, 3).
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
        2,048 each. No arrangement of objects occurs in two splits, whatever is asked about it.
    Held out
        Pairs of a colour and a shape: one in five (`envs.core.held_out`, by their places in the lists below) is neither
        shown nor asked about with combinations="seen"; with "unseen" every question names one of them. Every colour and
        every shape is seen in other pairs. Difficulty is the number of objects (tag "difficulty": easy to 5, medium to
        9, hard from 10): train with objects=(3, 6), test with objects=(10, 12), with the same max_count.
    Why guessing fails
        The answer is drawn first, uniformly over 0..max_count, independently of the question and of the number of
        objects; then a scene with that answer is built. So a constant, a guess from the question and the total number
        of objects are all right with probability 1 / (max_count + 1). That needs max_count <= objects[0].
    Source
        Procedural, under this package's licence. The look, the measures and the wording of look="clevr" follow CLEVR
        (Johnson et al., arXiv 1612.06890); nothing of the data set is used.
    Against CLEVR-Count
        The same wording and answer tags. look="flat" has flat shapes; look="clevr" has CLEVR's attributes, camera and
        placing, drawn by a closed-form ray caster instead of Blender. Answers are balanced instead of bunched at small
        numbers; attributes are always asked about, never the total; reward 0.9 accuracy + 0.1 format instead of
        0.5 + 0.5 (format_weight=0.5 gives the published one).

    Keyword arguments (all plain data, so that a recipe can hold them)
        look          "flat" (coloured shapes on plain ground) or "clevr" (solids of rubber and metal in 3-D)
        size          (width, height) in pixels of a clevr picture (320, 240) or a free flat one (224, 224)
        objects       (fewest, most) objects; flat (5, 8), clevr (5, 10)
        max_count     the largest answer; by default objects[0], the largest that stays balanced
        shapes, colours, sizes  names, or n for the first n. Flat, by default 4, 6 and 2. Shapes: circle, square,
                      triangle, diamond, cross, star, ring. Colours: red, green, blue, yellow, purple, orange, cyan,
                      brown, pink, gray. Clevr, by default all. Shapes: cube, sphere, cylinder. Colours: gray, red,
                      blue, green, brown, purple, cyan, yellow. Sizes of both: large, small
        materials     clevr only: names, or n for the first n of rubber, metal
        question      kinds asked about: attributes joined by "+" in the order size, colour, material (clevr), shape, as
                      in "size+colour"; by default all for which there are two values of each attribute
        combinations  "all", "seen" or "unseen": see Held out
        distractors   share of the other objects that miss the description in exactly one attribute, 0 to 1
        layout        flat only: "free" (anywhere, overlaps up to max_overlap) or "grid" (cells x cells, one in a cell)
        cells, cell_px  the grid's cells a side (3), and pixels a cell (28); the picture is cells * cell_px square
        max_overlap   flat only: 0 (surrounding circles do not meet) to 0.5, by default 0.1; also the largest hidden
                      share of any object. Objects of one colour never overlap
        background    flat only: "white" or "black"
        min_visible   clevr only: every object shows at least so many pixels of a picture of 320 x 240, in proportion of
                      another one (100),
        min_share     and at least this share of what would be seen of it if it stood alone (0.3). Else the scene is
                      thrown away: nothing hidden counts
        instructions  "full", or "short": the question alone
        ask           "count", or one of two dense tasks for a cold start, on the scenes of "count". "describe": name
                      every object, row by row (in a grid also empty cells, as "none"), from top to bottom (flat, free)
                      or from left to right (clevr). "tally": the number of objects of each colour. Accuracy is the
                      share of entries that are right
        thought       what solve() thinks: "query" (the description) or "list" (the objects that fit, numbered)
        format_weight, max_turns, split, render_mode

    Four sizes
        tiny     layout="grid", cells=3, cell_px=14, objects=(9, 9), shapes=3, colours=4, sizes=1, question=["colour"],
                 instructions="short"                                                       42 x 42, answers 0..9
        medium   the defaults                                                              224 x 224, answers 0..5
        crowded  size=(320, 240), objects=(10, 14), shapes=5, colours=8, sizes=2, distractors=0.6, max_overlap=0.3
                                                                                           320 x 240, answers 0..10
        clevr    look="clevr"                                                              320 x 240, answers 0..5
    """

    primary_metric: ClassVar[str] = "accuracy"

    def __init__(
        self,
        *,
        look: str = "flat",
        size: Sequence[int] | None = None,
        objects: Sequence[int] | None = None,
        max_count: int | None = None,
        shapes: int | Sequence[str] | None = None,
        colours: int | Sequence[str] | None = None,
        sizes: int | Sequence[str] | None = None,
        materials: int | Sequence[str] | None = None,
        question: Sequence[str] | None = None,
        combinations: str = "all",
        distractors: float = 0.3,
        layout: str | None = None,
        cells: int | None = None,
        cell_px: int | None = None,
        max_overlap: float | None = None,
        background: str | None = None,
        min_visible: int | None = None,
        min_share: float | None = None,
        instructions: str = "full",
        ask: str = "count",
        thought: str = "query",
        format_weight: float = 0.1,
        max_turns: int = 1,
        split: str = "train",
        render_mode: str | None = None,
    ) -> None:
        self.look = make_look(
            look,
            {"size": size, "shapes": shapes, "colours": colours, "sizes": sizes, "materials": materials}
            | {"layout": layout, "cells": cells, "cell_px": cell_px, "max_overlap": max_overlap}
            | {"background": background, "min_visible": min_visible, "min_share": min_share},
        )
        self.width, self.height, self.values = self.look.width, self.look.height, self.look.values
        usual = self.look.usual if objects is None else objects
        self.objects = arguments.whole_pair("objects", usual, 1, self.look.most, ordered=True)
        # More would let the total tell the answer: a scene of few objects cannot hold a large count.
        self.max_count = (
            self.objects[0] if max_count is None else arguments.whole("max_count", max_count, 1, self.objects[0])
        )
        self.combinations = arguments.one_of("combinations", combinations, COMBINATIONS)
        self.asking = Asking(self.look, question, self.combinations)
        self.distractors = arguments.real("distractors", distractors, 0.0, 1.0)
        self.instructions = arguments.one_of("instructions", instructions, ("full", "short"))
        self.ask = arguments.one_of("ask", ask, ("count", "describe", "tally"))
        self.thought = arguments.one_of("thought", thought, ("query", "list"))
        self.format_weight = arguments.real("format_weight", format_weight, 0.0, 0.5)
        images = Images(max_images=1, max_side=max(self.width, self.height), max_pixels=self.width * self.height)
        super().__init__(images=images, split=split, max_turns=max_turns, render_mode=render_mode)

    # Worlds.

    def plan(self, rng: np.random.Generator) -> CountingPlan:
        answer = int(rng.integers(self.max_count + 1))
        query = self.asking.draw(rng)
        return CountingPlan(answer, query, int(rng.integers(self.objects[0], self.objects[1] + 1)))

    def build(self, plan: Any, rng: np.random.Generator) -> CountingWorld | None:
        fitting, near, others = self.asking.pools(plan.query)
        luck = iter(rng.random(2 * plan.objects).tolist())  # one call: a thousand small ones would cost the most
        names: list[tuple[str, ...]] = []
        for k in range(plan.objects):
            kind, which = next(luck), next(luck)
            pool = fitting if k < plan.answer else near if kind < self.distractors else others
            names.append(pool[int(which * len(pool))])
        # Shuffled, so that neither place nor painting order tells which objects were asked about.
        scene = self.look.build([names[k] for k in rng.permutation(plan.objects).tolist()], rng)
        return None if scene is None else CountingWorld(plan, scene)

    def state(self, world: CountingWorld) -> bytes:
        # The scene alone, not the question: no picture may be in two splits, whatever is asked about it.
        return self.look.state(world.scene)

    def admit(self, world: CountingWorld) -> bool:
        return self.look.shows_all(world.scene)

    # What is shown, and the gold answer.

    def observe(self, world: CountingWorld) -> Prompt:
        text = f"How many {plural(world.plan.query, self.look.noun)} are there?"
        if self.ask == "describe":
            text = "Describe." if self.instructions == "short" else f"Name {self.look.order}."
        if self.ask == "tally":
            text = "Tally." if self.instructions == "short" else 'Count each colour, as in "red 2, blue 0".'
        if self.instructions == "full":
            text = f"{text} {PROTOCOL}"
        return Prompt(text, (self.look.picture(world.scene),))

    def _names(self, world: CountingWorld) -> list[str]:
        """What the describe or tally task expects, position by position."""
        if self.ask == "tally":
            colours = [item.colour for item in world.items]
            return [f"{colour} {colours.count(colour)}" for colour in self.values["colour"]]
        return ["none" if item is None else self._name_of(item) for item in self.look.reading_order(world.scene)]

    def _name_of(self, item: Any) -> str:
        # A size or a material that never varies says nothing.
        told = [a for a in self.look.attributes if a in ("colour", "shape") or len(self.values[a]) > 1]
        return " ".join(getattr(item, a) for a in told)

    def solve(self) -> list[str]:
        """The actions that score the maximum from the start of the current episode: one turn."""
        world = self.task.world
        if self.ask != "count":
            return [said("all", ", ".join(self._names(world)))]
        query = " ".join(value for _, value in world.plan.query)
        if self.thought == "list":
            fitting = [
                item
                for item in self.look.reading_order(world.scene)
                if item is not None and all(getattr(item, a) == value for a, value in world.plan.query)
            ]
            query += ": " + (", ".join(f"{n} {self._name_of(i)}" for n, i in enumerate(fitting, 1)) or "none")
        return [said(query, str(world.plan.answer))]

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
            return said(
                "guess", str(int(rng.integers(self.max_count + 1)) if name == "random" else self.max_count // 2)
            )
        if self.ask == "tally":
            colours = self.values["colour"]
            counts = rng.integers(self.objects[1] + 1, size=len(colours)) if name == "random" else [1] * len(colours)
            return said("guess", ", ".join(f"{c} {n}" for c, n in zip(colours, counts, strict=True)))
        optional = {a: v if len(v) > 1 or a in ("colour", "shape") else ("",) for a, v in self.values.items()}
        names = [" ".join(n for n in c if n) for c in product(*(optional[a] for a in self.look.attributes))]
        positions = self.look.positions or self.objects[0]
        picks = rng.integers(len(names), size=positions).tolist() if name == "random" else [0] * positions
        return said("guess", ", ".join(names[k] for k in picks))

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
