"""CLEVR-Count and SuperCLEVR: how many things are in a published picture?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from .core import arguments
from .core.actions import Malformed, parse, say_answer
from .core.env import Prompt, Response
from .core.images import image_hash
from .core.listed import Listed
from .core.rewards import exact_integer, format_score, weighted
from .core.spaces import Image, Images
from .datasets import clevr_count, super_clevr
from .datasets.clevr_count import CountItem
from .datasets.guessing import Guesses
from .scoring.published import figures

PROTOCOLS = ("strict", "faithful")
ASK = "Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."
ASK_AS_SUPER_CLEVR = (
    "First output the thinking process in <think> </think> and final answer (number) in <answer> </answer> tags."
)
MAX_SIDE = 2048  # pixels; the published pictures have 480 x 320 and 640 x 480

# Where the thought ends and the answer begins. Found once, it says all that the published pattern does; see below.
_TURN = re.compile(r"</think>\s*<answer>")
_DIGITS = re.compile(r"<answer>\s*(\d+)\s*</answer>")
_NUMERAL = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3}){1,5}|[0-9]{1,18})(?:\.[0-9]{0,18})?", re.ASCII)


class CLEVRCount(Listed[CountItem]):
    """How many things are in a picture of CLEVR? `RLLaVA/CLEVRCount-v0`.

    Observation
        `text`: the published question and how to answer. `images`: one picture, uint8 (H, W, 3).
    Action
        `<think>...</think><answer>4</answer>`. Only the integer in `<answer>` counts; ASCII digits.
    Reward
        (1 - format_weight) x accuracy + format_weight x format, half and half as published. accuracy: 1 for the exact
        integer, else 0. format: 1 for exactly the form above. The parts are in info["rewards"].
    Episode end
        terminated by an answer, right or wrong. With max_turns=1 anything said ends it. With more (strict only), a text
        without an action is told what was wrong, and the episode is truncated when the turns run out.
    Tasks
        The published rows in their order: 70,000 of train, less those held out; 200 of test. Validation is the last
        tenth of the published train part, at most 1,000 rows, and no longer in train. Every published row shows its own
        scene, so no picture is in two splits.
    Held out
        Nothing by attribute: the pictures are given. `RLLaVA/SuperCLEVR-v0` is the test on other pictures, and
        `RLLaVA/Counting-v0` and its like hold out combinations.
    What guessing reaches
        The question is the same for every picture, so the best guess is the most frequent count; counts are 3 to 10.
        baseline("constant") gives the most frequent answer of the split and "blind" that of the other items with the
        same question; `python -m envs baselines` prints what they earn.
    Source
        Data: BUAADreamer/clevr_count_70k on the hub, after R1-V's from CLEVR (Johnson et al., arXiv 1612.06890, CC BY
        4.0). Protocol: RLLaVA (arXiv 2512.21450).
    Against CLEVR-Count
        strict, the default, reads one answer outside the thought as an integer in ASCII digits. faithful scores as the
        published reward does: format is the pattern `<think>.*?</think>\\s*<answer>.*?</answer>` over the whole text,
        whatever stands inside; the first `<answer>` counts, wherever it is, and without one the whole text does; a
        numeral such as "4.0" is 4. Where the published grader also simplifies expressions ("2+2"), this does not.

    Keyword arguments (all plain data, so that a recipe can hold them)
        data          a folder or a file in the published format, or a hub name; None is the published hub name
        protocol      "strict" or "faithful"
        instructions  "full", or "short": the question alone
        format_weight 0 to 1
        max_turns, split, render_mode
    """

    primary_metric: ClassVar[str] = "accuracy"
    splits: ClassVar[tuple[str, ...]] = clevr_count.SPLITS
    asks: ClassVar[dict[str, str]] = {"strict": ASK, "faithful": ASK}

    def __init__(
        self,
        *,
        data: str | None = None,
        protocol: str = "strict",
        instructions: str = "full",
        format_weight: float = 0.5,
        max_turns: int = 1,
        split: str = "train",
        render_mode: str | None = None,
    ) -> None:
        self.protocol = arguments.one_of("protocol", protocol, PROTOCOLS)
        self.instructions = arguments.one_of("instructions", instructions, ("full", "short"))
        self.format_weight = arguments.real("format_weight", format_weight, 0.0, 1.0)
        self._decoded: tuple[CountItem, Image] | None = None
        self._guesses: Guesses | None = None
        images = Images(max_images=1, max_side=MAX_SIDE, max_pixels=MAX_SIDE * MAX_SIDE)
        super().__init__(images=images, data=data, split=split, max_turns=max_turns, render_mode=render_mode)

    @property
    def published(self) -> Mapping[str, Mapping[str, float]]:
        return figures("clevr-count")

    def load(self, split: str) -> Sequence[CountItem]:
        return clevr_count.load(self.data, split)

    def _pixels(self, item: CountItem) -> Image:
        if self._decoded is None or self._decoded[0] is not item:
            self._decoded = (item, item.picture.pixels(MAX_SIDE))
        return self._decoded[1]

    def state(self, world: CountItem) -> bytes:
        # The picture alone: no picture may be in two splits, whatever is asked about it.
        return image_hash(self._pixels(world)).encode()

    def observe(self, world: CountItem) -> Prompt:
        ask = "" if self.instructions == "short" else f" {self.asks[self.protocol]}"
        return Prompt(f"{world.question}{ask}", (self._pixels(world).copy(),))

    def solve(self) -> list[str]:
        """The actions that score the maximum from the start of the current episode: one turn."""
        return [say_answer("counted", str(self.task.world.answer))]

    def baseline(self, name: str, rng: np.random.Generator) -> str:
        """The action of somebody who does not look: constant, random or blind; see the card."""
        arguments.one_of("baseline", name, ("constant", "random", "blind"))
        items = self.items()
        if self._guesses is None:
            self._guesses = Guesses([item.question for item in items], [str(item.answer) for item in items])
        return say_answer("guess", self._guesses.guess(name, self.task.world.position - items[0].position, rng))

    def respond(self, world: CountItem, text: str) -> Response:
        if self.protocol == "faithful":
            return self._scored(self.published_accuracy(text, world.answer), published_format(text))
        action = parse(text)
        if isinstance(action, Malformed):
            return self._scored(0.0, 0.0, action.message if self.max_turns > 1 else "", done=False)
        return self._scored(exact_integer(action.content, world.answer), format_score(action))

    def _scored(self, accuracy: float, form: float, message: str = "", done: bool = True) -> Response:
        parts = {"accuracy": accuracy, "format": form}
        return Response(done, weighted(accuracy, form, self.format_weight), parts, parts, text=message)

    @staticmethod
    def published_accuracy(text: str, gold: int) -> float:
        """1.0 if the first answer, or the whole text where there is none, is a numeral equal to `gold`, else 0.0."""
        start = text.find("<answer>") + len("<answer>")
        end = text.find("</answer>", start) if start >= len("<answer>") else -1
        said = (text if end < 0 else text[start:end]).strip()
        return float(len(said) < 64 and _NUMERAL.fullmatch(said) is not None and float(said.replace(",", "")) == gold)

    def tags(self, world: CountItem) -> dict[str, str | int]:
        count = world.answer
        return {"difficulty": "easy" if count <= 4 else "medium" if count <= 7 else "hard", "count": count}


class SuperCLEVR(CLEVRCount):
    """How many things are in a picture of Super-CLEVR, having learned on CLEVR? `RLLaVA/SuperCLEVR-v0`.

    Observation
        `text`: the published question and how to answer. `images`: one picture, uint8 (H, W, 3).
    Action
        `<think>...</think><answer>4</answer>`. Only the integer in `<answer>` counts; ASCII digits.
    Reward
        (1 - format_weight) x accuracy + format_weight x format. accuracy: 1 for the exact integer, else 0. format: 1
        for exactly the form above. The published figure is accuracy, the primary metric.
    Episode end
        terminated by an answer, right or wrong. With max_turns=1 anything said ends it. With more (strict only), a text
        without an action is told what was wrong, and the episode is truncated when the turns run out.
    Tasks
        The 200 published rows in their order, all of them test: there is nothing to train on.
    Held out
        The whole set is held out: vehicles with parts and textures, where CLEVR has three solids.
    What guessing reaches
        The question is the same for all 200. Counts are 3 to 10, the most frequent (3 and 5) 30 times each, so that a
        constant answer is right for 15.0%, and one drawn from the eight counts for 12.5%.
    Source
        Questions: R1-V's superclevr_test200_counting_problems.jsonl; pictures: Super-CLEVR (Li et al., arXiv
        2212.00259, CC BY 4.0). jigsaw-r1/super_clevr on the hub has both. Protocol: RLLaVA (arXiv 2512.21450).
    Against SuperCLEVR
        strict, the default, reads one answer outside the thought as an integer in ASCII digits. faithful asks and
        scores as the published evaluation does: the first `<answer>` that holds nothing but digits (of any script)
        counts, wherever it is. There a model answers greedily, with at most 256 tokens.

    Keyword arguments (all plain data, so that a recipe can hold them)
        data          a folder or a file in the published format, or a hub name; None is the hub's
        protocol      "strict" or "faithful"
        instructions  "full", or "short": the question alone
        format_weight 0 to 1
        max_turns, split, render_mode
    """

    splits: ClassVar[tuple[str, ...]] = super_clevr.SPLITS
    asks: ClassVar[dict[str, str]] = {"strict": ASK, "faithful": ASK_AS_SUPER_CLEVR}

    def __init__(
        self,
        *,
        data: str | None = None,
        protocol: str = "strict",
        instructions: str = "full",
        format_weight: float = 0.5,
        max_turns: int = 1,
        split: str = "test",
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            data=data,
            protocol=protocol,
            instructions=instructions,
            format_weight=format_weight,
            max_turns=max_turns,
            split=split,
            render_mode=render_mode,
        )

    @property
    def published(self) -> Mapping[str, Mapping[str, float]]:
        return figures("superclevr")

    def load(self, split: str) -> Sequence[CountItem]:
        return super_clevr.load(self.data, split)

    @staticmethod
    def published_accuracy(text: str, gold: int) -> float:
        """1.0 if the first answer of nothing but digits is `gold`, else 0.0."""
        found = _DIGITS.search(text)
        return float(found is not None and len(found[1]) < 64 and int(found[1]) == gold)


def published_format(text: str) -> float:
    r"""1.0 if the pattern `<think>.*?</think>\s*<answer>.*?</answer>` matches all of `text`, else 0.0.

    As its dots match anything, that is: the text begins and ends with the outer tags, and somewhere between them a
    thought ends where an answer begins. So written it takes linear time, where the pattern may take quadratic time.
    """
    begins, ends = text.startswith("<think>"), text.endswith("</answer>")
    inside = len("<think>"), len(text) - len("</answer>")
    return float(begins and ends and _TURN.search(text, *inside) is not None)
