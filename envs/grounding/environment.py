"""The grounding task: where is the object that a phrase denotes?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar

import numpy as np

from ..core import arguments
from ..core.actions import Malformed, parse, say_answer
from ..core.boxes import Box, from_argument, grounding_metrics, iou
from ..core.env import Environment, Prompt, Response
from ..core.errors import ArgumentError
from ..core.held_out import COMBINATIONS, allowed
from ..core.rewards import format_score, share_right, weighted
from ..core.spaces import Images
from ..core.tasks import hash_state, split_of
from ..counting.looks import FlatLook, Scene, make_look
from . import evaluate
from .expression import Condition, Referring, size
from .generate import complete, own_conditions
from .guess import guess
from .looks import Look, Looks
from .places import box_of, margin, things
from .template import KINDS, MAX_CONDITIONS, Template, templates
from .thought import THOUGHTS, first_fitting, first_word, think
from .wording import FLAT, OPENINGS, SOLID, STYLES, phrase, short

PROTOCOL = "Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."
OBJECTS = (6, 9)


@dataclass(frozen=True)
class GroundingPlan:
    """What is drawn before any object: the form of the expression, its conditions on the target, the target's look.

    compared: the attribute of "the same colour as", or "". wording: style and opening.
    """

    template: Template
    target: Look
    conditions: tuple[Condition, ...]
    compared: str
    objects: int
    wording: int


@dataclass(frozen=True)
class GroundingWorld:
    """A scene, what is asked about it, and the number of the object that this denotes."""

    scene: Scene
    target: int
    expression: Referring
    plan: GroundingPlan


class Grounding(Environment[GroundingWorld]):
    """Where is the object that a phrase denotes? `RLLaVA/Grounding-v0`, `RLLaVA/GroundingCLEVR-v0`.

    Observation
        `text`: "Find the second red circle from the left." and, with instructions="full", how to write a box and the
        answer. `images`: one picture, uint8 (H, W, 3).
    Action
        `<think>...</think><answer>[15, 1, 27, 13]</answer>`: exactly one box, left, top, right and bottom edge, in the
        unit that `boxes` names. Lists, {"bbox_2d": [...]} and (x1,y1),(x2,y2) are all read, with text around them.
    Reward
        (1 - format_weight) x box + format_weight x format. box: the IoU with the gold box; with reward="threshold" the
        same from an IoU of 0.5 on, below it 0 (a weak policy paid by plain IoU learns one big central box). format: 1
        for exactly the form above. The gold box is the smallest around the whole object, hidden parts included, rounded
        as `boxes` can say it, so that the right answer scores 1. Metrics: iou, accuracy_0.1, accuracy_0.3, accuracy_0.5
        (the standard), accuracy_0.75, accuracy_0.95 (1 from that IoU on), centre (the said box's lies in the gold box).
    Episode end
        terminated by an answer, right or wrong. With max_turns=1 anything said ends it. With more, a text without an
        action is told what was wrong, and the episode is truncated when the turns run out.
    Tasks
        Procedural, without limit by seed and numbered by `options={"task": i}`: train 1,000,000, validation and test
        2,048 each. No arrangement of objects occurs in two splits, whatever is asked about it.
        A phrase denotes exactly one object, and no part of it can be left out: without any one condition, ordinal or
        relation it denotes another object, several or none. It is evaluated on the scene, apart from its making.
        Nothing is close to call: what counts as left of (above, behind) another is so by a margin (a cell of a grid, a
        sixteenth of a free picture's shorter side, 0.4 units on the ground in 3-D), and the nearest is so by 22%.
    Held out
        Pairs of a colour and a shape: one in five (`envs.core.held_out`, by their places in the lists below). With
        combinations="seen" no object has such a pair; with "unseen" the object asked about always has one. Difficulty
        is the number of conditions (tag "difficulty": easy to 2, medium 3, hard from 4): train with conditions=(2, 3),
        test with conditions=(4, 6). And kinds: leave one out of `expressions` in training.
    Why guessing fails
        Targets are uniform over objects and places. For every condition on an attribute there is a near miss, which
        meets the others and fails this one; the looks are a whole block of combinations, so that the target is no more
        like the others than they are like each other. Accuracy at IoU 0.5 over 1,000 episodes of the defaults: a
        constant box 0.6%, a random one 0.4%, a guess from the phrase's words of place and size 0.4%. Seen but chosen
        without the phrase: any object 13%, the one most like the others 14% to 29%, by kind. In a grid a cell is right
        with probability 1 / cells^2. Phrases of one condition are weaker: few objects can be alone in a value, which
        leaves a guess among two or three.
    Source
        Procedural, under this package's licence. Which relations are asked follows CLEVR-Ref+ (Liu et al., arXiv
        1901.00850); nothing of it is used.
    Against RefCOCO
        The same measures and box conventions. Synthetic pictures; phrases from a grammar, each checked to denote one
        object, instead of people's; reward 0.9 box + 0.1 format. `RLLaVA/RefCOCO-v0` has the published data.

    Keyword arguments (all plain data, so that a recipe can hold them)
        look          "flat" (coloured shapes on plain ground) or "clevr" (solids of rubber and metal in 3-D)
        boxes         the unit and form of a box: "pixels" (of the picture), "qwen2_vl", "qwen2_5_vl", "qwen3_vl", or
                      plain data {kind, syntax, factor, min_pixels, max_pixels} (`envs.core.boxes.BoxFormat`). In a
                      recipe "auto": the trainer puts in what its model uses
        size          (width, height) in pixels of a clevr picture (320, 240) or a free flat one (224, 224)
        objects       (fewest, most) objects, (6, 9); a phrase that needs more than the fewest gets them
        expressions   kinds of phrase, by default all that are possible. "attributes": "large red circle"; "negation":
                      "circle that is not red"; "ordinal": "second circle from the left"; "relation": "circle left of"
                      or "nearest to the blue square"; "same": "circle with the same size as the blue square". Kinds
                      combine where both are named
        conditions    (fewest, most) conditions of a phrase, 1 to 6: attributes, negations, relations, ordinals, those
                      of the other objects in it included
        combinations  "all", "seen" or "unseen": see Held out
        shapes, colours, sizes  names, or n for the first n. Flat, by default 4, 6 and 2. Shapes: circle, square,
                      triangle, diamond, cross, star, ring. Colours: red, green, blue, yellow, purple, orange, cyan,
                      brown, pink, gray. Clevr, by default all. Shapes: cube, sphere, cylinder. Colours: gray, red,
                      blue, green, brown, purple, cyan, yellow. Sizes of both: large, small
        materials     clevr only: names, or n for the first n of rubber, metal
        layout        flat only: "free" (anywhere, overlaps up to max_overlap) or "grid" (cells x cells, one in a cell)
        cells, cell_px  the grid's cells a side (3), and pixels a cell (28); the picture is cells * cell_px square
        max_overlap   flat only: 0 (surrounding circles do not meet, the default) to 0.5; also the largest hidden share
        background    flat only: "white" or "black"
        min_visible, min_share  clevr only: what every object shows at least, in pixels of a picture of 320 x 240 (100)
                      and as a share of what would be seen of it alone (0.3)
        instructions  "full", or "short": the phrase alone, in few words: "Find second red circle from left"
        ask           "box", or one of two dense tasks for a cold start, on the scenes of "box". "describe": name every
                      object, row by row (in a grid also empty cells, as "none"), from top to bottom (flat, free) or
                      from left to right (clevr). "locate": name every object in that order, each with its box.
                      Accuracy is the share of entries that are right (a box from an IoU of 0.5 on)
        thought       what solve() thinks: "query" (the phrase in few words), "place" ("row 2 column 1", "top left"),
                      "scan" (what it sees in reading order until it meets the object; in a grid with the names of the
                      cells, a letter for the row and a number for the column, empty ones included), or "rule_out" (a
                      scan that says of each object what the phrase names, up to the first word that does not fit: of
                      a blue ring on the way to the red circle "blue"; needs expressions=["attributes"])
        reward        "iou" or "threshold": see Reward
        format_weight, max_turns, split, render_mode

    Three sizes
        tiny     layout="grid", cells=3, cell_px=14, objects=(6, 8), shapes=3, colours=4, sizes=1,
                 expressions=["attributes"], conditions=(2, 2), instructions="short", thought="rule_out",
                 reward="threshold"                                                         42 x 42
        medium   the defaults                                                              224 x 224
        clevr    look="clevr"                                                              320 x 240
    """

    primary_metric: ClassVar[str] = "accuracy_0.5"

    def __init__(
        self,
        *,
        look: str = "flat",
        boxes: str | Mapping[str, Any] = "pixels",
        size: Sequence[int] | None = None,
        objects: Sequence[int] = OBJECTS,
        expressions: Sequence[str] | None = None,
        conditions: Sequence[int] = (2, 4),
        combinations: str = "all",
        shapes: int | Sequence[str] | None = None,
        colours: int | Sequence[str] | None = None,
        sizes: int | Sequence[str] | None = None,
        materials: int | Sequence[str] | None = None,
        layout: str | None = None,
        cells: int | None = None,
        cell_px: int | None = None,
        max_overlap: float | None = None,
        background: str | None = None,
        min_visible: int | None = None,
        min_share: float | None = None,
        instructions: str = "full",
        ask: str = "box",
        thought: str = "query",
        reward: str = "iou",
        format_weight: float = 0.1,
        max_turns: int = 1,
        split: str = "train",
        render_mode: str | None = None,
    ) -> None:
        self.look = make_look(
            look,
            {"size": size, "shapes": shapes, "colours": colours, "sizes": sizes, "materials": materials}
            | {"layout": layout, "cells": cells, "cell_px": cell_px, "background": background}
            | {"max_overlap": 0.0 if max_overlap is None and look == "flat" else max_overlap}
            | {"min_visible": min_visible, "min_share": min_share},
        )
        self.terms = FLAT if isinstance(self.look, FlatLook) else SOLID
        self.width, self.height = self.look.width, self.look.height
        self.objects = arguments.whole_pair("objects", objects, 4, self.look.most, ordered=True)
        # An attribute of one value says nothing, so no expression names it.
        self.varying = {a: v for a, v in self.look.values.items() if len(v) > 1}
        self.conditions = arguments.whole_pair("conditions", conditions, 1, MAX_CONDITIONS, ordered=True)
        self.templates = self._templates(expressions)
        self.combinations = arguments.one_of("combinations", combinations, COMBINATIONS)
        self.looks, self.targets = self._looks()
        self.boxes = from_argument(boxes)
        self.instructions = arguments.one_of("instructions", instructions, ("full", "short"))
        self.ask = arguments.one_of("ask", ask, ("box", "describe", "locate"))
        self.thought = arguments.one_of("thought", thought, THOUGHTS)
        if self.thought == "rule_out" and set(self.templates) != {"attributes"}:
            raise ArgumentError(
                'thought="rule_out" compares objects with the words of a phrase, so it needs '
                f'expressions=["attributes"]; got {", ".join(self.templates)}'
            )
        self.reward = arguments.one_of("reward", reward, ("iou", "threshold"))
        self.format_weight = arguments.real("format_weight", format_weight, 0.0, 0.5)
        if self.ask != "box":
            self.primary_metric = "accuracy"  # type: ignore[misc]  # a dense task has no one box
        images = Images(max_images=1, max_side=max(self.width, self.height), max_pixels=self.width * self.height)
        super().__init__(images=images, split=split, max_turns=max_turns, render_mode=render_mode)

    def _templates(self, expressions: Sequence[str] | None) -> dict[str, list[Template]]:
        """The forms that may be asked, by kind: all that are possible, or exactly the kinds that were named."""
        kinds = arguments.names("expressions", KINDS if expressions is None else expressions, KINDS)
        found = templates(kinds, self.conditions, self.varying, self.objects[1])
        missing = [kind for kind in kinds if kind not in found]
        if missing if expressions is not None else not found:
            varying = ", ".join(f"{a} {len(v)}" for a, v in self.look.values.items())
            raise ArgumentError(
                f"expressions={missing[0]!r} cannot be made of {self.conditions[0]} to {self.conditions[1]} conditions "
                f"with {self.objects[1]} objects and these numbers of values: {varying}; widen `conditions`, add "
                "values or objects, or leave it out of `expressions`"
            )
        return found

    def _looks(self) -> tuple[Looks, list[Look]]:
        """The looks of objects, and those of targets: one value per varying attribute."""
        every = list(product(*self.varying.values()))
        fixed = {a: v[0] for a, v in self.look.values.items()}
        targets = []
        for names in every:
            one = fixed | dict(zip(self.varying, names, strict=True))
            pair = (self.look.every[a].index(one[a]) for a in ("colour", "shape"))
            if allowed(self.combinations, *pair):
                targets.append(names)
        if not targets:
            raise ArgumentError(
                f"combinations={self.combinations!r} leaves no colour and shape for the object that is asked about; "
                "add colours or shapes"
            )
        # What is new at the test is the target; the objects around it may be of any look.
        return Looks(targets if self.combinations == "seen" else every, self.varying), targets

    # Worlds.

    def plan(self, rng: np.random.Generator) -> GroundingPlan:
        kinds = list(self.templates)
        kind = kinds[int(rng.integers(len(kinds)))]
        by_size: dict[int, list[Template]] = {}
        for one in self.templates[kind]:
            by_size.setdefault(one.size, []).append(one)
        lengths = sorted(by_size)
        pool = by_size[lengths[int(rng.integers(len(lengths)))]]
        template = pool[int(rng.integers(len(pool)))]
        target = self.targets[int(rng.integers(len(self.targets)))]
        conditions, compared = own_conditions(template, target, self.varying, rng)
        objects = int(rng.integers(max(self.objects[0], template.objects), self.objects[1] + 1))
        wording = int(rng.integers(STYLES * len(OPENINGS)))
        return GroundingPlan(template, target, conditions, compared, objects, wording)

    def build(self, plan: Any, rng: np.random.Generator) -> GroundingWorld | None:
        chosen = self.looks.draw(plan.template, plan.conditions, plan.compared, plan.target, plan.objects, rng)
        if chosen is None:
            return None
        # Shuffled, so that neither place nor painting order tells which object was asked about.
        order = rng.permutation(plan.objects).tolist()
        fixed = {a: v[0] for a, v in self.look.values.items()}
        named = [fixed | dict(zip(self.varying, chosen[k], strict=True)) for k in order]
        scene = self.look.build([tuple(one.values()) for one in named], rng)
        # A scene of another split needs no expression; the search for one costs more than the scene.
        if scene is None or split_of(hash_state(self.look.state(scene))) != self.split:
            return None
        names, target = tuple(self.varying), order.index(0)
        seen = evaluate.Scene(things(scene, names), margin(self.look))
        expression = complete(plan.template, plan.conditions, plan.compared, target, seen, names, rng)
        return None if expression is None else GroundingWorld(scene, target, expression, plan)

    def state(self, world: GroundingWorld) -> bytes:
        # The scene alone: no picture may be in two splits, whatever is asked about it.
        return self.look.state(world.scene)

    def admit(self, world: GroundingWorld) -> bool:
        return self.look.shows_all(world.scene)

    # What is shown, and the gold answer.

    def observe(self, world: GroundingWorld) -> Prompt:
        full = self.instructions == "full"
        how = self.boxes.describe(self.width, self.height)
        if self.ask == "describe":
            text = f"Name {self.look.order}." if full else "Describe."
        elif self.ask == "locate":
            text = f"Name {self.look.order}, and after each name write its box, with ; between. {how}"
            text = text if full else "Locate."
        elif full:
            style, opening = world.plan.wording % STYLES, world.plan.wording // STYLES
            text = f"{OPENINGS[opening].format(phrase(world.expression, style, self.terms))} {how}"
        else:
            text = f"Find {short(world.expression, self.terms)}"
        return Prompt(f"{text} {PROTOCOL}" if full else text, (self.look.picture(world.scene),))

    def _gold(self, item: Any, world: GroundingWorld) -> Box:
        """The item's box as this format can say it."""
        return self.boxes.snap(box_of(item, world.scene), self.width, self.height)

    def _write(self, item: Any, world: GroundingWorld) -> str:
        return self.boxes.write(box_of(item, world.scene), self.width, self.height)

    def _name_of(self, item: Any) -> str:
        # A size or a material that never varies says nothing.
        told = [a for a, values in self.look.values.items() if a in ("colour", "shape") or len(values) > 1]
        return " ".join(getattr(item, a) for a in told)

    def _named(self, world: GroundingWorld) -> list[str]:
        """What the describe task expects, position by position."""
        return ["none" if item is None else self._name_of(item) for item in self.look.reading_order(world.scene)]

    def _in_order(self, world: GroundingWorld) -> list[Any]:
        return [item for item in self.look.reading_order(world.scene) if item is not None]

    def solve(self) -> list[str]:
        """The actions that score the maximum from the start of the current episode: one turn."""
        world = self.task.world
        if self.ask == "describe":
            return [say_answer("all", ", ".join(self._named(world)))]
        if self.ask == "locate":
            entries = [f"{self._name_of(item)} {self._write(item, world)}" for item in self._in_order(world)]
            return [say_answer("all", "; ".join(entries))]
        return [self._answer(world.scene.items[world.target], world.expression)]

    def _answer(self, item: Any, expression: Referring) -> str:
        """What somebody says who looks for what this expression denotes and takes this object."""
        world = replace(self.task.world, expression=expression)
        thought = think(self.thought, item, world, self.look, self._named(world), self.terms)
        return say_answer(thought, self._write(item, world))

    def baseline(self, name: str, rng: np.random.Generator) -> str:
        """The action of somebody worse than the expert.

        Three never look at the picture. constant: a box of usual size in the middle; random: such a box anywhere;
        blind: the best guess from the phrase, which may name a size or a side. One looks, and does not read to the
        end: hasty, a weak annotator, heeds the whole phrase half of the time and otherwise the first of its adjectives
        or its noun alone, and takes the first object in reading order that fits; it describes and locates as the
        expert does.
        """
        arguments.one_of("baseline", name, ("constant", "random", "blind", "hasty"))
        world = self.task.world
        if name == "hasty":
            if self.ask != "box" or rng.random() < 0.5:
                return self.solve()[0]
            heeded = first_word(world.expression)
            return self._answer(first_fitting(heeded, self._in_order(world)), heeded)
        box = guess(name, self.look, world.expression, rng)
        written = self.boxes.write(box, self.width, self.height)
        if self.ask == "box":
            return say_answer("guess", written)
        optional = {a: v if len(v) > 1 or a in ("colour", "shape") else ("",) for a, v in self.look.values.items()}
        names = [" ".join(n for n in one if n) for one in product(*optional.values())]
        positions = (self.look.positions if self.ask == "describe" else 0) or self.objects[0]
        picks = rng.integers(len(names), size=positions).tolist() if name == "random" else [0] * positions
        if self.ask == "describe":
            return say_answer("guess", ", ".join(names[k] for k in picks))
        return say_answer("guess", "; ".join(f"{names[k]} {written}" for k in picks))

    # Scoring.

    def respond(self, world: GroundingWorld, text: str) -> Response:
        action = parse(text)
        form = format_score(action)
        said = "" if isinstance(action, Malformed) else action.content
        if self.ask == "box":
            gold = self._gold(world.scene.items[world.target], world)
            metrics = grounding_metrics(self.boxes.read(said, self.width, self.height), gold) | {"format": form}
            score = metrics["iou"] if self.reward == "iou" or metrics["accuracy_0.5"] else 0.0
            parts = {"box": score, "format": form}
        else:
            score = (
                share_right(said, self._named(world)) if self.ask == "describe" else self._share_located(said, world)
            )
            metrics = parts = {"accuracy": score, "format": form}
        return Response(
            done=not isinstance(action, Malformed),
            reward=weighted(score, form, self.format_weight),
            rewards=parts,
            metrics=metrics,
            text=action.message if isinstance(action, Malformed) and self.max_turns > 1 else "",
        )

    def _share_located(self, said: str, world: GroundingWorld) -> float:
        """The share of positions at which both the name and the box are right."""
        items, entries = self._in_order(world), said.split(";")
        right = 0
        for item, entry in zip(items, entries, strict=False):
            box = self.boxes.read(entry, self.width, self.height)
            named = " ".join(entry.lower().split()).startswith(f"{self._name_of(item)} ")
            right += named and iou(box, self._gold(item, world)) >= 0.5
        return right / max(len(items), len(entries))

    def tags(self, world: GroundingWorld) -> dict[str, str | int]:
        count = size(world.expression)
        return {
            "difficulty": "easy" if count <= 2 else "medium" if count == 3 else "hard",
            "kind": world.plan.template.kind if self.ask == "box" else self.ask,
            "conditions": count,
            "objects": len(world.scene.items),
        }
