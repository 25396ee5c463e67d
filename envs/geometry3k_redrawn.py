"""Geometry3K-redrawn: the published problems over diagrams drawn again from their coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

import numpy as np

from .core import arguments, mathematics
from .core.env import Prompt, Response
from .core.listed import Listed
from .core.rewards import weighted
from .core.spaces import Image, Images
from .datasets import inter_gps
from .datasets.guessing import Guesses
from .datasets.inter_gps import Problem
from .geometry3k import ASK, BOX, after_thought
from .render.redrawn import picture

KEPT = 32  # pictures: siblings of a group begin with the same one
ROUND = "Unless it is a whole number, give the exact value or round it to two decimals."


class Geometry3KRedrawn(Listed[Problem]):
    """Find a length, an angle, an area in a diagram redrawn from its coordinates. `RLLaVA/Geometry3KRedrawn-v0`.

    Observation
        `text`: the problem (the published wording where the data have it, else its text predicates in English) and how
        to answer. `images`: its diagram, uint8 (H, W, 3), drawn from the coordinates, with the labels and marks that
        its diagram predicates state.
    Action
        `<think>...</think>` and then the answer in `\\boxed{}`: LaTeX or plain numbers.
    Reward
        (1 - format_weight) x accuracy + format_weight x format, 0.9 and 0.1 by default. accuracy: 1 if the boxed answer
        is the same value as the gold answer, or rounds to it at two decimals, else 0 (`envs/core/mathematics.py`).
        format: 1 for exactly one thought at the beginning and exactly one box after it. The parts are in
        info["rewards"].
    Episode end
        terminated by a boxed answer, right or wrong. With max_turns=1 anything said ends it. With more, a text without
        an answer is told what was wrong, and the episode is truncated when the turns run out.
    Tasks
        By the published numbers: train 0 to 2,100, validation 2,101 to 2,400, test 2,401 to 3,001. Only problems that
        have an answer and whose coordinates agree with their own predicates; `envs/datasets/inter_gps_check.py` states
        the check, and `python bench/geometry3k/redraw.py FOLDER` lists what it drops and why. Numbered in that order.
    Held out
        The published splits. Some published problems share their diagram, across splits too; what is asked differs.
    What guessing reaches
        baseline("constant") gives the most frequent answer of the split, and "blind" the most frequent one of the other
        items with the same question: "Find x." is asked of every fifth diagram. On 254 test problems whose answers a
        solver confirmed, constant and blind are right in 0.04 of the cases and random in less than 0.01; each earns 0.1
        for the form besides.
    Source
        Data: Inter-GPS (Lu et al., arXiv 2105.04165; github.com/lupantech/InterGPS, MIT). Protocol: RLLaVA (arXiv
        2512.21450).
    Against Geometry3K
        The same problems; diagrams in our lines and letters instead of the school books', with every annotated point
        named (those that the question speaks of, where there are many or where angles have numbers), and with the
        annotations' own faults: a few lines too many, fractions lost from some labels. Colours and shaded regions are
        not annotated and not drawn. Problems that fail the check are missing, so scores do not compare with published
        ones.

    Keyword arguments (all plain data, so that a recipe can hold them)
        data          a folder in either published layout (`envs/datasets/inter_gps.py`); there is no hub name
        size          (width, height) of the picture in pixels, 112 to 1024
        instructions  "full", or "short": the problem alone
        format_weight 0 to 1
        max_turns, split, render_mode
    """

    primary_metric: ClassVar[str] = "accuracy"
    splits: ClassVar[tuple[str, ...]] = tuple(inter_gps.SPLITS)

    def __init__(
        self,
        *,
        data: str | None = None,
        size: Sequence[int] = (336, 336),
        instructions: str = "full",
        format_weight: float = 0.1,
        max_turns: int = 1,
        split: str = "train",
        render_mode: str | None = None,
    ) -> None:
        mathematics.require()
        self.size = arguments.whole_pair("size", size, 112, 1024)
        self.instructions = arguments.one_of("instructions", instructions, ("full", "short"))
        self.format_weight = arguments.real("format_weight", format_weight, 0.0, 1.0)
        self._pixels = lru_cache(maxsize=KEPT)(self._draw)
        self._guesses: Guesses | None = None
        images = Images(max_images=1, max_side=max(self.size), max_pixels=self.size[0] * self.size[1])
        super().__init__(images=images, data=data, split=split, max_turns=max_turns, render_mode=render_mode)

    def load(self, split: str) -> Sequence[Problem]:
        return inter_gps.load(self.data, split)

    def _draw(self, problem: Problem) -> Image:
        return picture(problem.figure, self.size, problem.spoken, problem.numbered).pixels

    def state(self, world: Problem) -> bytes:
        # Published problems share diagrams; a number names one problem, and its split.
        return f"{world.number} {world.question}".encode()

    def observe(self, world: Problem) -> Prompt:
        ask = "" if self.instructions == "short" else f" {ASK} {ROUND}"
        return Prompt(f"{world.question}{ask}", (self._pixels(world).copy(),))

    def solve(self) -> list[str]:
        """The actions that score the maximum from the start of the current episode: one turn."""
        return [_say("solved", self.task.world.golds[0])]

    def baseline(self, name: str, rng: np.random.Generator) -> str:
        """The action of somebody who does not look: constant, random or blind; see the card."""
        arguments.one_of("baseline", name, ("constant", "random", "blind"))
        items = self.items()
        if self._guesses is None:
            self._guesses = Guesses([item.question for item in items], [item.golds[0] for item in items])
        position = next(i for i, item in enumerate(items) if item.number == self.task.world.number)
        return _say("guess", self._guesses.guess(name, position, rng))

    def respond(self, world: Problem, text: str) -> Response:
        after, well_thought = after_thought(text)
        said = mathematics.boxed(after)
        if said is None or not said.strip():
            message = f"There is no answer: write <think>...</think> and then the answer in {BOX}}}."
            parts = {"accuracy": 0.0, "format": 0.0}
            return Response(False, 0.0, parts, parts, text=message if self.max_turns > 1 else "")
        accuracy = max(mathematics.same_value(said, gold) for gold in world.golds)
        parts = {"accuracy": accuracy, "format": float(well_thought and after.count(BOX) == 1)}
        return Response(True, weighted(accuracy, parts["format"], self.format_weight), parts, parts)

    def tags(self, world: Problem) -> dict[str, str | int]:
        points = len(world.figure.named())
        asked = world.question.lower()
        kind = (
            "area" if "area" in asked
            else "angle" if "∠" in asked or "angle" in asked or "arc" in asked
            else "perimeter" if "perimeter" in asked or "circumference" in asked
            else "unknown" if asked.endswith((" x.", " y.", " z."))
            else "length"
        )  # fmt: skip
        return {
            "difficulty": "easy" if points <= 4 else "medium" if points <= 7 else "hard",
            "kind": kind,
            "points": points,
            "circles": len(world.figure.circles),
        }


def _say(thought: str, answer: str) -> str:
    return f"<think>{thought}</think>{BOX}{answer}}}"
