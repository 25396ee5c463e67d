"""Geometry: what is the angle, the length, the area in a diagram?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from ..core import arguments
from ..core.actions import Malformed, parse
from ..core.env import Environment, Prompt, Response
from ..core.errors import ArgumentError
from ..core.mathematics import boxed
from ..core.rewards import format_score, share_right, weighted
from ..core.spaces import Images
from ..render.diagram import STYLES, Diagram, paint
from ..render.diagram_cells import Sketch, draw_cells
from ..render.diagram_fit import fit
from . import tiny
from .construction import construct, outline
from .families import FAMILIES, HELD_OUT, by_answer
from .family import Case, Limits
from .values import Value, says

TAGS = "Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."
BOXED = "Reason step by step inside <think> </think> tags, then put the final answer in \\boxed{}."
SHORT = {
    "angle": "Angle x?",
    "side": "Side x?",
    "perimeter": "Perimeter?",
    "area": "Area?",
    "length": "Length x?",
    "value": "Find x.",
}
NUMBERS = 'all numbers in the picture, row by row, as in "40, 7"'
LEVELS = {1: "easy", 2: "medium", 3: "hard"}
MAX_COVERED = 30  # thousandths of a label's box that lines may cross


@dataclass(frozen=True)
class GeometryPlan:
    """What is drawn before any construction: the family, the answer, the words of the question, the style."""

    family: str
    value: Value
    cases: tuple[Case, ...]  # all sets of given numbers that have this answer
    wording: str
    style: str


@dataclass(frozen=True)
class GeometryWorld:
    """A problem and its picture: `diagram`, or `sketch` in the tiny style."""

    plan: GeometryPlan
    case: Case
    question: str
    diagram: Diagram | None
    sketch: Sketch | None


@dataclass(frozen=True)
class _Shown:
    """A finished picture; `texts` are its labels in reading order; `clean` says that it may be shown."""

    pixels: Any
    texts: tuple[str, ...]
    clean: bool
    rows: tuple[str, ...] = ()  # in the tiny style: per row of cells its labels, or "none"
    cells: tuple[str, ...] = ()  # in the tiny style: per cell, row by row, its character, or "none"


class Geometry(Environment[GeometryWorld]):
    r"""What is the angle, the length, the perimeter, the area in a diagram? `RLLaVA/Geometry-v0`.

    Observation
        `text`: "PQ is parallel to RS. Find x.", and, with instructions="full", how to answer. The given
        numbers stand in the picture, never in the text.
        `images`: one diagram, uint8 (H, W, 3): lines, circles, marks (right angles, equal lengths, parallels), letters,
        lengths and angles. Labels overlap neither each other nor, but for a few pixels, the lines.
    Action
        `<think>...</think><answer>5\sqrt{2}</answer>`; inside the answer \boxed{} is accepted. With protocol="boxed"
        the published form: `<think>...</think>` and then \boxed{5\sqrt{2}}, of which the last counts.
    Reward
        (1 - format_weight) x accuracy + format_weight x format. accuracy: 1 if the answer is the exact value, as
        mathematics (3/2, 1.5 and \frac{3}{2}; 2\sqrt{2} and \sqrt{8}; a degree sign or a unit may follow), else 0.
        It must be worked out: "180-90" is no answer, nor is "180/2". format: 1 for exactly the form above.
    Episode end
        terminated by an answer, right or wrong. With max_turns=1 anything said ends it. With more, a text without an
        answer is told what was wrong, and the episode is truncated when the turns run out.
    Tasks
        Procedural, without limit by seed and numbered by `options={"task": i}`: train 1,000,000, validation and test
        2,048 each, out of 61 families: triangles (15), parallels (10), circles (13), polygons (12), similar figures
        (4), areas (7). No picture occurs in two splits, whatever is asked about it. Each picture is true to its
        numbers, turned and mirrored at random (style "tiny" is not to scale).
    Held out
        families="train" never asks 15 of the families, some of every topic; families="test" asks only those.
        Difficulty (tag: easy, medium, hard for 1, 2, 3 facts to put together) is set by `steps`; `largest` and
        `angle_step` set how large and how fine the numbers are. Train on
        steps=(1, 2), largest=12, test on steps=(3, 3) or largest=30.
    Why guessing fails
        The family is drawn first, then its answer, uniformly out of all answers that the family can have, then numbers
        that lead to it. Answers that would stand in the picture are left out. Accuracy of the most frequent answer:
        2.3% by default, 6.2% in the tiny size; of the most frequent answer to the question asked: 4.7% and 7.5%.
    Source
        Constructions and words are our own.
    Against Geometry3K
        Drawn from constructions instead of taken from textbooks; answers exact instead of rounded; an answer that is
        merely the question over again is wrong here; the numbers are printed in the picture only. Prompt and reward
        (0.9 accuracy + 0.1 format) are the published ones with protocol="boxed".

    Keyword arguments (all plain data, so that a recipe can hold them)
        style         "plain", "chalk", "blue", "mixed" (any of the three), or "tiny": every character of a label
                      fills a cell of 14 x 14 pixels, and points have no letters
        size          (width, height) in pixels, at least 112; a tiny picture is 84 x 70
        families      "train", "test", "all", or names out of envs.geometry.families.FAMILIES
        steps         (fewest, most) facts to put together, 1 to 3
        largest       the largest given length, 6 to 40
        angle_step    given angles are multiples of it: 1, 2, 5, 10 or 15 degrees
        instructions  "full", or "short": what is asked in a word or two, as in "Angle x?"
        ask           "solve", or "read", a dense task for a cold start on the same pictures: list the numbers in the
                      picture, row by row (in the tiny style what stands in every cell, "none" where nothing does).
                      Accuracy is the share of entries that are right
        thought       what solve() thinks: "steps" (the computation), "none", or "rows" (first what stands in each row
                      of cells, then the computation; in the tiny style)
        protocol      "tags" or "boxed"
        format_weight, max_turns, split, render_mode

    Two sizes
        tiny     style="tiny", largest=9, angle_step=10, instructions="short"                             84 x 70
        medium   the defaults                                                                           224 x 224
    """

    primary_metric: ClassVar[str] = "accuracy"

    def __init__(
        self,
        *,
        style: str = "plain",
        size: Sequence[int] = (224, 224),
        families: str | Sequence[str] = "train",
        steps: Sequence[int] = (1, 3),
        largest: int = 12,
        angle_step: int = 5,
        instructions: str = "full",
        ask: str = "solve",
        thought: str = "steps",
        protocol: str = "tags",
        format_weight: float = 0.1,
        max_turns: int = 1,
        split: str = "train",
        render_mode: str | None = None,
    ) -> None:
        self.style = arguments.one_of("style", style, (*STYLES, "mixed", "tiny"))
        free = arguments.whole_pair("size", size, 112, 2048)
        self.width, self.height = (tiny.WIDTH, tiny.HEIGHT) if style == "tiny" else free
        self.steps = arguments.whole_pair("steps", steps, 1, 3, ordered=True)
        self.limits = Limits(
            arguments.whole("largest", largest, 6, 40), arguments.whole("angle_step", angle_step, 1, 15)
        )
        if 180 % self.limits.angle_step or self.limits.angle_step not in (1, 2, 5, 10, 15):
            raise ArgumentError(f"angle_step must be one of 1, 2, 5, 10, 15; got {angle_step!r}")
        self.instructions = arguments.one_of("instructions", instructions, ("full", "short"))
        self.ask = arguments.one_of("ask", ask, ("solve", "read"))
        self.thought = arguments.one_of("thought", thought, ("steps", "none", "rows"))
        if self.thought == "rows" and style != "tiny":
            raise ArgumentError(
                f'thought="rows" needs style="tiny", whose labels stand in rows of cells; got {style!r}'
            )
        self.protocol = arguments.one_of("protocol", protocol, ("tags", "boxed"))
        self.format_weight = arguments.real("format_weight", format_weight, 0.0, 0.5)
        self.families = self._chosen(families)
        # Per family, every possible answer and the given numbers that lead to it.
        self._answers = {name: self._by_answer(name) for name in self.families}
        self._best: dict[tuple[str, ...], tuple[Value, Fraction]] = {}
        self._drawn: tuple[GeometryWorld, _Shown] | None = None
        images = Images(max_images=1, max_side=max(self.width, self.height), max_pixels=self.width * self.height)
        super().__init__(images=images, split=split, max_turns=max_turns, render_mode=render_mode)

    def _chosen(self, families: str | Sequence[str]) -> tuple[str, ...]:
        known = [name for name in FAMILIES if self.style != "tiny" or name in tiny.TINY]
        low, high = self.steps
        if not isinstance(families, str):
            wanted = arguments.names("families", families, known)
        else:
            which = arguments.one_of("families", families, ("train", "test", "all"))
            wanted = tuple(name for name in known if which == "all" or (name in HELD_OUT) == (which == "test"))
        chosen = tuple(name for name in wanted if low <= FAMILIES[name].steps <= high)
        if not chosen:
            raise ArgumentError(
                f"families={families!r} and steps={self.steps!r} leave no family; wanted were "
                + ", ".join(f"{name} ({FAMILIES[name].steps})" for name in wanted)
            )
        return chosen

    def _by_answer(self, name: str) -> dict[Value, tuple[Case, ...]]:
        found = by_answer(name, self.limits)
        if not found:
            raise ArgumentError(f"largest and angle_step leave no problem of the family {name!r}; allow larger numbers")
        return found

    # Worlds.

    def plan(self, rng: np.random.Generator) -> GeometryPlan:
        name = self.families[int(rng.integers(len(self.families)))]
        values = tuple(self._answers[name])
        value = values[int(rng.integers(len(values)))]
        wordings = FAMILIES[name].wordings
        wording = wordings[int(rng.integers(len(wordings)))]
        styles = tuple(STYLES)
        style = styles[int(rng.integers(len(styles)))] if self.style == "mixed" else self.style
        return GeometryPlan(name, value, self._answers[name][value], wording, style)

    def build(self, plan: Any, rng: np.random.Generator) -> GeometryWorld | None:
        case = plan.cases[int(rng.integers(len(plan.cases)))]
        if self.style == "tiny":
            return GeometryWorld(plan, case, plan.wording, None, tiny.sketch(plan.family, case, rng))
        made = construct(FAMILIES[plan.family], case, plan.wording, self.instructions == "short", rng)
        return None if made is None else GeometryWorld(plan, case, made[1], made[0], None)

    def state(self, world: GeometryWorld) -> bytes:
        # The picture alone, not the question: no picture may be in two splits, whatever is asked about it. Two worlds
        # may look the same, say a square and its mirror image; then they must have the same state.
        if world.diagram is None:
            shown = self._show(world)
            return shown.pixels.tobytes() if shown.clean else repr(world.sketch).encode()
        return outline(world.diagram, fit(world.diagram, (self.width, self.height)))

    def admit(self, world: GeometryWorld) -> bool:
        return self._show(world).clean

    def _show(self, world: GeometryWorld) -> _Shown:
        if self._drawn is None or self._drawn[0] is not world:
            self._drawn = (world, self._draw(world))
        return self._drawn[1]

    def _draw(self, world: GeometryWorld) -> _Shown:
        if world.diagram is None:
            assert world.sketch is not None
            cells = draw_cells(world.sketch, tiny.COLUMNS, tiny.ROWS, tiny.CELL)
            if cells is None:
                return _Shown(None, (), clean=False)
            order = sorted(zip(cells.cells, world.sketch.labels, strict=True), key=lambda c: (c[0][1], c[0][0]))
            rows = [[label[0] for (_, at), label in order if at == row] for row in range(tiny.ROWS)]
            texts = tuple(label[0] for _, label in order)
            read = {(row, column + k): c for (column, row), label in order for k, c in enumerate(label[0])}
            every = [read.get((row, column), "none") for row in range(tiny.ROWS) for column in range(tiny.COLUMNS)]
            return _Shown(cells.pixels, texts, True, tuple(" ".join(row) or "none" for row in rows), tuple(every))
        drawing = paint(world.diagram, fit(world.diagram, (self.width, self.height)), STYLES[world.plan.style])
        placed = sorted(zip(drawing.boxes, world.diagram.labels, strict=True), key=lambda p: (p[0][1], p[0][0]))
        clean = drawing.overlaps == 0 and drawing.covered <= MAX_COVERED
        return _Shown(drawing.pixels, tuple(label.text for _, label in placed), clean)

    # What is shown, and the gold answer.

    def observe(self, world: GeometryWorld) -> Prompt:
        short = self.instructions == "short"
        if self.ask == "read":
            every = 'what stands in every cell, row by row, as in "none, 4, 0"'
            text = "Read." if short else f"List {every if self.style == 'tiny' else NUMBERS}."
        else:
            text = SHORT[FAMILIES[world.plan.family].asks] if short else world.question
        if not short:
            text = f"{text} {TAGS if self.protocol == 'tags' else BOXED}"
        return Prompt(text, (self._show(world).pixels.copy(),))

    def _readings(self, world: GeometryWorld) -> Sequence[str]:
        """What the read task expects, position by position."""
        return self._show(world).cells if self.style == "tiny" else self._numbers(world) or ["none"]

    def _numbers(self, world: GeometryWorld) -> list[str]:
        """The printed numbers in reading order."""
        return [text.rstrip("°") for text in self._show(world).texts if any(c.isdigit() for c in text)]

    def solve(self) -> list[str]:
        """The actions that score the maximum from the start of the current episode: one turn."""
        world = self.task.world
        if self.ask == "read":
            return [self._say("all", ", ".join(self._readings(world)))]
        family, given = FAMILIES[world.plan.family], world.case
        if family.symmetric:
            # In reading order: which number comes first must be something that the picture shows.
            given = tuple(map(int, self._numbers(world)))
        return [self._say(self._thinking(family.thought(*given)), world.plan.value.latex)]

    def _thinking(self, steps: str) -> str:
        """The thought around a computation."""
        if self.thought == "none":
            return ""
        return f"{', '.join(self._show(self.task.world).rows)}: {steps}" if self.thought == "rows" else steps

    def _say(self, thought: str, answer: str) -> str:
        if self.protocol == "boxed":
            return f"<think>{thought}</think>\\boxed{{{answer}}}"
        return f"<think>{thought}</think><answer>{answer}</answer>"

    def baseline(self, name: str, rng: np.random.Generator) -> str:
        """The action of somebody worse than the expert.

        Three never look at the picture. constant: the most frequent answer of all; random: any possible answer; blind:
        the most frequent answer to the question asked. One looks: hasty, a weak annotator, works it out half of the
        time and otherwise takes the first number in the picture for the answer (0 if there is none), which it never
        is; it reads as the expert does.
        """
        arguments.one_of("baseline", name, ("constant", "random", "blind", "hasty"))
        if name == "hasty":
            if self.ask == "read" or rng.random() < 0.5:
                return self.solve()[0]
            first = next(iter(self._numbers(self.task.world)), "0")
            return self._say(self._thinking(first), first)
        if self.ask == "read":
            numbers = rng.integers(1, 10, size=2).tolist() if name == "random" else [60, 50]
            return self._say("guess", ", ".join(map(str, numbers)))
        asked = self.families
        if name == "blind":
            world = self.task.world
            if self.instructions == "short":
                asks = FAMILIES[world.plan.family].asks
                asked = tuple(f for f in asked if FAMILIES[f].asks == asks)
            else:
                asked = tuple(f for f in asked if world.plan.wording in FAMILIES[f].wordings)
        if name == "random":
            values = [value for family in asked for value in self._answers[family]]
            return self._say("guess", values[int(rng.integers(len(values)))].latex)
        return self._say("guess", self._likeliest(asked)[0].latex)

    def _likeliest(self, families: Sequence[str]) -> tuple[Value, Fraction]:
        """The most frequent answer of these families, and its frequency."""
        key = tuple(families)
        if key not in self._best:
            shares: dict[Value, Fraction] = {}
            for family in families:
                share = Fraction(1, len(self._answers[family]) * len(families))
                for value in self._answers[family]:
                    shares[value] = shares.get(value, Fraction(0)) + share
            self._best[key] = max(shares.items(), key=lambda pair: pair[1])
        return self._best[key]

    # Scoring.

    def respond(self, world: GeometryWorld, text: str) -> Response:
        message = ""
        if self.protocol == "boxed":
            said = boxed(text)
            form = float(_boxed_form(text))
            if said is None:
                message = "There is no complete \\boxed{...}. Put the final answer in \\boxed{}."
        else:
            action = parse(text)
            form = format_score(action)
            said = None if isinstance(action, Malformed) else action.content
            if isinstance(action, Malformed):
                message = action.message
        accuracy = 0.0
        if said is not None:
            accuracy = share_right(said, self._readings(world)) if self.ask == "read" else says(said, world.plan.value)
        parts = {"accuracy": accuracy, "format": form}
        return Response(
            done=said is not None,
            reward=weighted(accuracy, form, self.format_weight),
            rewards=parts,
            metrics=parts,
            text=message if self.max_turns > 1 else "",
        )

    def tags(self, world: GeometryWorld) -> dict[str, str | int]:
        family = FAMILIES[world.plan.family]
        return {
            "difficulty": LEVELS[family.steps],
            "kind": self.ask if self.ask != "solve" else world.plan.family,
            "topic": family.topic,
            "held_out": str(world.plan.family in HELD_OUT).lower(),
        }


def _boxed_form(text: str) -> bool:
    r"""Whether a text begins with <think>, closes it, and then has \boxed{ and a closing brace, as published."""
    closing = text.find("</think>", len("<think>"))
    box = text.find("\\boxed{", closing)
    return text.startswith("<think>") and closing >= 0 and box >= 0 and text.find("}", box) >= 0
