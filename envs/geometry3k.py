"""Geometry3K: the published problems with their diagrams."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from .core import arguments, mathematics
from .core.env import Prompt, Response
from .core.images import image_hash
from .core.listed import Listed
from .core.rewards import weighted
from .core.spaces import Image, Images
from .datasets import geometry3k
from .datasets.geometry3k import GeometryItem
from .datasets.guessing import Guesses
from .scoring.published import figures

ASK = (
    "You FIRST think about the reasoning process as an internal monologue and then provide the final answer. The "
    "reasoning process MUST BE enclosed within <think> </think> tags. The final answer MUST BE put in \\boxed{}."
)
MAX_SIDE = 2048  # pixels; the published diagrams are smaller than 1,200
BOX = "\\boxed{"

_TAG = re.compile(r"</?think>")


class Geometry3K(Listed[GeometryItem]):
    """Find a length, an angle, an area in a published diagram. `RLLaVA/Geometry3K-v0`.

    Observation
        `text`: the published problem and how to answer. `images`: its diagram, uint8 (H, W, 3).
    Action
        `<think>...</think>` and then the answer in `\\boxed{}`: LaTeX or plain numbers.
    Reward
        (1 - format_weight) x accuracy + format_weight x format, 0.9 and 0.1 as published. accuracy: 1 if the boxed
        answer is the same value (fractions, radicals, degrees, units; `envs/core/mathematics.py`), else 0. format: 1
        for exactly one thought at the beginning and exactly one box after it. The parts are in info["rewards"].
    Episode end
        terminated by a boxed answer, right or wrong. With max_turns=1 anything said ends it. With more (strict only), a
        text without an answer is told what was wrong, and the episode is truncated when the turns run out.
    Tasks
        The published rows in their order: train 2,101, validation 300, test 601.
    Held out
        The published splits. `RLLaVA/Geometry-v0` draws its own problems and can keep families of them apart.
    What guessing reaches
        baseline("constant") gives the most frequent answer of the split, and "blind" the most frequent one of the other
        items with the same question: "Find x." alone is asked hundreds of times. `python -m envs baselines` prints what
        they earn on the data that it is given. The published answers are computed, and seldom equal.
    Source
        Data: hiyouga/geometry3k on the hub, from Inter-GPS (Lu et al., arXiv 2105.04165, MIT). Protocol: RLLaVA (arXiv
        2512.21450).
    Against Geometry3K
        The original asks to choose one of four answers; here, as in the published training, the value is asked for.
        strict, the default, looks for the box after the thought. faithful takes the last box anywhere, in the thought
        too, and format is the pattern `<think>.*</think>.*\\boxed{.*}.*` over the whole text. In both, values are
        compared by this package, where the published code uses mathruler.

    Keyword arguments (all plain data, so that a recipe can hold them)
        data          a folder or a file in the published format, or a hub name; None is the published hub name
        protocol      "strict" or "faithful"
        instructions  "full", or "short": the problem alone
        format_weight 0 to 1
        max_turns, split, render_mode
    """

    primary_metric: ClassVar[str] = "accuracy"
    splits: ClassVar[tuple[str, ...]] = geometry3k.SPLITS

    def __init__(
        self,
        *,
        data: str | None = None,
        protocol: str = "strict",
        instructions: str = "full",
        format_weight: float = 0.1,
        max_turns: int = 1,
        split: str = "train",
        render_mode: str | None = None,
    ) -> None:
        mathematics.require()
        self.protocol = arguments.one_of("protocol", protocol, ("strict", "faithful"))
        self.instructions = arguments.one_of("instructions", instructions, ("full", "short"))
        self.format_weight = arguments.real("format_weight", format_weight, 0.0, 1.0)
        self._decoded: tuple[GeometryItem, Image] | None = None
        self._guesses: Guesses | None = None
        images = Images(max_images=1, max_side=MAX_SIDE, max_pixels=MAX_SIDE * MAX_SIDE)
        super().__init__(images=images, data=data, split=split, max_turns=max_turns, render_mode=render_mode)

    @property
    def published(self) -> Mapping[str, Mapping[str, float]]:
        return figures("geometry3k")

    def load(self, split: str) -> Sequence[GeometryItem]:
        return geometry3k.load(self.data, split)

    def _pixels(self, item: GeometryItem) -> Image:
        if self._decoded is None or self._decoded[0] is not item:
            self._decoded = (item, item.picture.pixels(MAX_SIDE))
        return self._decoded[1]

    def state(self, world: GeometryItem) -> bytes:
        # The diagram alone: none may be in two splits, whatever is asked about it.
        return image_hash(self._pixels(world)).encode()

    def observe(self, world: GeometryItem) -> Prompt:
        ask = "" if self.instructions == "short" else f" {ASK}"
        return Prompt(f"{world.question}{ask}", (self._pixels(world).copy(),))

    def solve(self) -> list[str]:
        """The actions that score the maximum from the start of the current episode: one turn."""
        return [_say("solved", self.task.world.answer)]

    def baseline(self, name: str, rng: np.random.Generator) -> str:
        """The action of somebody who does not look: constant, random or blind; see the card."""
        arguments.one_of("baseline", name, ("constant", "random", "blind"))
        items = self.items()
        if self._guesses is None:
            self._guesses = Guesses([item.question for item in items], [item.answer for item in items])
        return _say("guess", self._guesses.guess(name, self.task.world.position, rng))

    def respond(self, world: GeometryItem, text: str) -> Response:
        if self.protocol == "faithful":
            said, form = last_box(text), published_format(text)
            return self._scored(said, form, world.answer)
        after, well_thought = after_thought(text)
        said = mathematics.boxed(after)
        if said is None or not said.strip():
            where = " after </think>" if well_thought else ""
            message = f"There is no answer: write <think>...</think> and then the answer in {BOX}}}{where}."
            parts = {"accuracy": 0.0, "format": 0.0}
            return Response(False, 0.0, parts, parts, text=message if self.max_turns > 1 else "")
        return self._scored(said, float(well_thought and after.count(BOX) == 1), world.answer)

    def _scored(self, said: str | None, form: float, gold: str) -> Response:
        accuracy = 0.0 if said is None else mathematics.same_value(said, gold)
        parts = {"accuracy": accuracy, "format": form}
        return Response(True, weighted(accuracy, form, self.format_weight), parts, parts)

    def tags(self, world: GeometryItem) -> dict[str, str | int]:
        answer = world.answer
        kind = "radical" if "sqrt" in answer else "fraction" if "frac" in answer or "/" in answer else "number"
        return {"difficulty": "medium" if kind == "number" else "hard", "kind": kind}


def after_thought(text: str) -> tuple[str, bool]:
    """What comes after the thought, and whether the text is one thought at the very beginning and something after it.

    A thought that some chat templates open in the prompt may lack its opening tag: then what comes before </think> is
    the thought. Without any tag of a thought, all of it is the answer.
    """
    tags = [(match[0], match.start(), match.end()) for match in _TAG.finditer(text)]
    closing = [tag for tag in tags if tag[0] == "</think>"]
    after = text[closing[-1][2] :] if closing else "" if tags else text
    well = [tag for tag, _, _ in tags] == ["<think>", "</think>"] and not text[: tags[0][1]].strip()
    return after, well


def last_box(text: str) -> str | None:
    """What the last `\\boxed{` holds up to the brace that closes it, as the published code reads it; None where it is
    never closed, or there is none."""
    start = text.rfind(BOX)
    depth, begin = 1, start + len(BOX)
    for match in re.finditer(r"[{}]", text[begin:] if start >= 0 else ""):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return text[begin : begin + match.start()].strip()
    return None


def published_format(text: str) -> float:
    r"""1.0 if the pattern `<think>.*</think>.*\\boxed\{.*\}.*`, its dots matching anything, matches all of `text`.

    As the dots match anything: a thought at the very beginning, after the first `</think>` a box, after that a brace.
    """
    if not text.startswith("<think>"):
        return 0.0
    closed = text.find("</think>", len("<think>"))
    box = -1 if closed < 0 else text.find(BOX, closed + len("</think>"))
    return float(box >= 0 and "}" in text[box + len(BOX) :])


def _say(thought: str, answer: str) -> str:
    return f"<think>{thought}</think>{BOX}{answer}}}"
