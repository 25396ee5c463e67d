"""RefCOCO, RefCOCO+ and RefCOCOg: the box of what an expression refers to, in a photograph."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from .core import arguments
from .core.actions import Malformed, parse, say_answer
from .core.boxes import THRESHOLDS, Box, from_argument, grounding_metrics
from .core.env import Prompt, Response
from .core.errors import ArgumentError
from .core.images import image_hash
from .core.listed import Listed
from .core.rewards import format_score, weighted
from .core.spaces import Image, Images
from .datasets import refcoco
from .datasets.refcoco import DATASETS, ReferItem
from .scoring.published import figures

ASK = "Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."
ASK_AS_PUBLISHED = (
    "First output the thinking process in <think> </think> tags and then output the final answer in <answer> </answer> "
    "tags."
)
MAX_SIDE = 2048  # pixels; the longer side of a COCO photograph has 640
SUBSETS = ("val", "testA", "testB", "test")
SIDES = ("left", "right", "top", "bottom", "middle", "center", "front", "back")  # words that tell a place

# The published code tries these in this order and takes the first match. Possessive, so that nothing backtracks.
_N, _C = r"(-?\d++\.?\d*+)", r",\s*+"
_PUBLISHED = [
    re.compile(rf"\[\s*+{_C.join([_N] * 4)}\s*+\]"),
    re.compile(rf"\(\s*+{_C.join([_N] * 4)}\s*+\)"),
    re.compile(rf"\(\s*+{_N}{_C}{_N}\)\s*+,\s*+\(\s*+{_N}{_C}{_N}\s*+\)"),
]


class RefCOCO(Listed[ReferItem]):
    """Where in the photograph is "the woman on the left in white"? `RLLaVA/RefCOCO-v0`.

    Observation
        `text`: the published request, how to write the box, and how to answer. `images`: one photograph, uint8
        (H, W, 3).
    Action
        `<think>...</think><answer>[x1, y1, x2, y2]</answer>`, in the unit and the form that `boxes` names. One box
        counts, two are none. Nothing is guessed from the numbers.
    Reward
        (1 - format_weight) x IoU + format_weight x format. IoU: intersection over union with the published box, which
        is first rounded to what the form of the box can say (whole pixels, or thousandths of the picture); 0 for a
        missing, empty or inverted box. format: 1 for exactly the form above, else 0.
    Episode end
        terminated by an answer, right or wrong. With max_turns=1 anything said ends it. With more (strict only), a text
        without an action is told what was wrong, and the episode is truncated when the turns run out.
    Tasks
        The published rows in their order. train and validation are the published parts train and val; test is testA
        and then testB (RefCOCOg: test), or one of them with `subset`. val, testA, testB: RefCOCO 10,834, 5,657 and
        5,095, RefCOCO+ 10,758, 5,726 and 4,889; RefCOCOg val 4,896, test 9,602. The publisher keeps the photographs of
        the parts apart.
    Held out
        The published parts: testA asks about people, testB about other things.
    What guessing reaches
        baseline("constant") is the box whose edges are the medians over the split, relative to the picture; "blind" the
        same over the other items whose request names the same places (left, right, top, ...); "random" a uniform box.
        `python -m envs baselines` prints what they earn on the data that it is given.
    Source
        Data: RefCOCO and RefCOCO+ (Yu et al., arXiv 1608.00272), RefCOCOg (Mao et al., arXiv 1511.02283), photographs
        of COCO (annotations CC BY 4.0; photographs under their own licences), in the forms of omlab/VLM-R1 and
        Kangheng/refcoco, refcocop, refcocog on the hub. Protocol: RLLaVA (arXiv 2512.21450).
    Against RefCOCO
        strict, the default, takes the unit from `boxes` and reads one box outside the thought. faithful asks and scores
        as the published evaluation does: the first four numbers in brackets anywhere in the text are read as 0 to 1000
        whatever the model, and compared with `normalized_solution`; an inverted box is not refused. It needs a `boxes`
        of kind "relative_1000", and its solve() writes plain lists.

    Keyword arguments (all plain data, so that a recipe can hold them)
        data          a folder or a file in a published format, or a hub name; None is the published hub name
        dataset       "refcoco", "refcoco+" or "refcocog"
        subset        None (all of the split), "val", "testA", "testB" or "test"; must belong to the split
        boxes         "pixels", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", or a mapping: kind, syntax, factor, min_pixels,
                      max_pixels
        protocol      "strict" or "faithful"
        instructions  "full", or "short": the request and the form of the box
        format_weight 0 to 1
        max_turns, split, render_mode
    """

    primary_metric: ClassVar[str] = "iou"

    def __init__(
        self,
        *,
        data: str | None = None,
        dataset: str = "refcoco",
        subset: str | None = None,
        boxes: str | Mapping[str, object] = "pixels",
        protocol: str = "strict",
        instructions: str = "full",
        format_weight: float = 0.1,
        max_turns: int = 1,
        split: str = "train",
        render_mode: str | None = None,
    ) -> None:
        self.dataset = arguments.one_of("dataset", dataset, DATASETS)
        self.protocol = arguments.one_of("protocol", protocol, ("strict", "faithful"))
        self.instructions = arguments.one_of("instructions", instructions, ("full", "short"))
        self.format_weight = arguments.real("format_weight", format_weight, 0.0, 1.0)
        self.boxes = from_argument(boxes)
        if self.protocol == "faithful" and self.boxes.kind != "relative_1000":
            raise ArgumentError(
                "protocol='faithful' reads every number as 0 to 1000, as the published evaluation does; it needs boxes "
                f"of kind 'relative_1000', such as 'qwen2_vl'; got kind {self.boxes.kind!r}"
            )
        self._decoded: tuple[ReferItem, Image] | None = None
        self._typical: TypicalBoxes | None = None
        images = Images(max_images=1, max_side=MAX_SIDE, max_pixels=MAX_SIDE * MAX_SIDE)
        super().__init__(images=images, data=data, split=split, max_turns=max_turns, render_mode=render_mode)
        self.subset = None if subset is None else arguments.one_of("subset", subset, SUBSETS)
        if self.subset is not None and self.subset not in self.parts(self.split):
            allowed = ", ".join(map(repr, self.parts(self.split)))
            raise ArgumentError(
                f"subset={self.subset!r} is no part of the {self.split} split of {self.dataset}; it has {allowed}"
            )

    @property
    def published(self) -> Mapping[str, Mapping[str, float]]:
        return figures(self.dataset)

    def parts(self, split: str) -> tuple[str, ...]:
        """The published parts that make a split."""
        if split != "test":
            return ("train",) if split == "train" else ("val",)
        return tuple(part for part in refcoco.PARTS[self.dataset] if part.startswith("test"))

    def load(self, split: str) -> Sequence[ReferItem]:
        wanted = self.parts(split) if self.subset is None or split != self.split else (self.subset,)
        return tuple(item for part in wanted for item in refcoco.load(self.data, part, self.dataset))

    def _pixels(self, item: ReferItem) -> Image:
        if self._decoded is None or self._decoded[0] is not item:
            self._decoded = (item, item.picture.pixels(MAX_SIDE))
        return self._decoded[1]

    def _size(self, item: ReferItem) -> tuple[int, int]:
        height, width = self._pixels(item).shape[:2]
        return width, height

    def state(self, world: ReferItem) -> bytes:
        # The photograph alone: none may be in two splits, whatever is asked about it.
        return image_hash(self._pixels(world)).encode()

    def observe(self, world: ReferItem) -> Prompt:
        parts = [world.question if world.question.endswith((".", "!", "?")) else f"{world.question}."]
        if self.protocol == "faithful":
            parts = [world.question]
        else:
            parts.append(self.boxes.describe(*self._size(world)))
        if self.instructions == "full":
            parts.append(ASK_AS_PUBLISHED if self.protocol == "faithful" else ASK)
        return Prompt(" ".join(parts), (self._pixels(world).copy(),))

    def solve(self) -> list[str]:
        """The actions that score the maximum from the start of the current episode: one turn."""
        world = self.task.world
        if self.protocol == "faithful":
            return [say_answer("found", str([_plain(edge) for edge in world.normalized]))]
        return [say_answer("found", self.boxes.write(Box(*world.box), *self._size(world)))]

    def baseline(self, name: str, rng: np.random.Generator) -> str:
        """The action of somebody who does not look: constant, random or blind; see the card."""
        arguments.one_of("baseline", name, ("constant", "random", "blind"))
        world = self.task.world
        if name == "random":
            wide, high = (sorted(rng.choice(1001, 2, replace=False).tolist()) for _ in range(2))
            edges = [float(edge) for edge in (wide[0], high[0], wide[1], high[1])]
        else:
            if self._typical is None:
                self._typical = TypicalBoxes(self.items())
            edges = self._typical.constant() if name == "constant" else self._typical.blind(world)
        if self.protocol == "faithful":
            return say_answer("guess", str([_plain(edge) for edge in edges]))
        width, height = self._size(world)
        x1, y1, x2, y2 = edges
        box = Box(x1 * width / 1000, y1 * height / 1000, x2 * width / 1000, y2 * height / 1000)
        return say_answer("guess", self.boxes.write(box, width, height))

    def respond(self, world: ReferItem, text: str) -> Response:
        action = parse(text)
        form = format_score(action)
        if self.protocol == "faithful":
            return self._scored(published_metrics(text, world.normalized), form)
        size = self._size(world)
        gold = self.boxes.snap(Box(*world.box), *size)
        if isinstance(action, Malformed):
            message = action.message if self.max_turns > 1 else ""
            return self._scored(grounding_metrics(None, gold), 0.0, message, done=False)
        return self._scored(grounding_metrics(self.boxes.read(action.content, *size), gold), form)

    def _scored(self, metrics: dict[str, float], form: float, message: str = "", done: bool = True) -> Response:
        parts = {"iou": metrics["iou"], "format": form}
        return Response(
            done, weighted(metrics["iou"], form, self.format_weight), parts, metrics | {"format": form}, text=message
        )

    def tags(self, world: ReferItem) -> dict[str, str | int]:
        x1, y1, x2, y2 = world.normalized
        share = (x2 - x1) * (y2 - y1) / 1e6
        size = "large" if share > 0.2 else "medium" if share > 0.05 else "small"
        return {
            "difficulty": {"large": "easy", "medium": "medium", "small": "hard"}[size],
            "dataset": self.dataset,
            "subset": world.part,
            "size": size,
        }


class TypicalBoxes:
    """Boxes 0 to 1000 whose edges are medians over the items of a split."""

    def __init__(self, items: Sequence[ReferItem]) -> None:
        self._edges = np.array([item.normalized for item in items], dtype=np.float64)
        self._at = {id(item): at for at, item in enumerate(items)}
        self._places = [_places(item.question) for item in items]

    def constant(self) -> list[float]:
        """Over all items."""
        return [float(edge) for edge in np.median(self._edges, axis=0)]

    def blind(self, item: ReferItem) -> list[float]:
        """Over the other items whose request names the same places and maybe more; over all where there is none."""
        own = self._at[id(item)]
        wanted = self._places[own]
        like = [at for at, places in enumerate(self._places) if at != own and wanted <= places]
        return [float(edge) for edge in np.median(self._edges[like], axis=0)] if wanted and like else self.constant()


def published_metrics(text: str, gold: Sequence[float]) -> dict[str, float]:
    """The measures as the published evaluation computes them, from the first four numbers in brackets.

    No numbers are (0, 0, 0, 0). Nothing is refused or repaired; an inverted box overlaps nothing.
    """
    said = [0.0] * 4
    for pattern in _PUBLISHED:
        found = pattern.search(text)
        if found is not None:
            said = [float(number) if len(number) < 32 else 0.0 for number in found.groups()]
            break
    wide, high = min(gold[2], said[2]) - max(gold[0], said[0]), min(gold[3], said[3]) - max(gold[1], said[1])
    inside = max(0.0, wide) * max(0.0, high)
    areas = (gold[2] - gold[0]) * (gold[3] - gold[1]) + (said[2] - said[0]) * (said[3] - said[1])
    union = areas - inside + 1e-10
    overlap = min(max(inside / union, 0.0), 1.0) if union else 0.0
    x, y = (said[0] + said[2]) / 2, (said[1] + said[3]) / 2
    return (
        {"iou": overlap}
        | {f"accuracy_{t:g}": float(overlap >= t) for t in THRESHOLDS}
        | {"centre": float(gold[0] <= x <= gold[2] and gold[1] <= y <= gold[3])}
    )


def _places(question: str) -> frozenset[str]:
    return frozenset(SIDES) & frozenset(re.findall(r"[a-z]+", question.lower()))


def _plain(number: float) -> int | float:
    return int(number) if number == int(number) else number
