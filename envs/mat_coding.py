"""MAT-Coding: 200 questions about photographs that a program must mend or crop before they can be answered."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from .coding.episode import LABELS, VERBS, Progress, advise, coding_reward, labels
from .coding.programs import remedy
from .coding.workbench import Workbench, fit
from .core import arguments
from .core.actions import Action, Malformed, parse, say
from .core.env import Prompt, Response
from .core.errors import ArgumentError
from .core.listed import Listed
from .core.spaces import Images
from .core.text_match import PROTOCOLS, exact_match, f1
from .datasets.mat_coding import SPLITS, MatCodingItem, load
from .scoring.published import figures

MAX_QUESTION = 1 << 14  # characters
MAX_ANSWER = 4096
MAX_CODE = 1 << 14  # characters of a program whose slices are rewritten
DIRECT = "Answer the question directly. The answer should be very brief."
PROMPT = (
    "You answer a question about a picture, which may be turned, dark, overexposed, blurred or noisy, or of which only "
    "a part matters. You have {turns} turns. Each time, think in <think> </think>, and then write one of three things. "
    "What is wrong: <problem> {{'rotation90', 'dark'}} </problem>, out of {labels}. Or Python that mends it: "
    "<code>```python ... ```</code>, which reads path_to_input_image.jpg and writes path_to_output_image.jpg; you are "
    "then shown that picture. Or, when it can be read: <answer> the answer, as short as possible </answer>. The "
    "question and what was said so far follow."
)
# The published weights: F1, format, and any use of the tool.
SIMPLE = 70  # items at the head of the list, as published; the others are hard
_FAITHFUL = (0.8, 0.2, 1.2)

_BOX = re.compile(r"\[\s*(\d+(?:\.\d+)?)\s*,\s*(\d+(?:\.\d+)?)\s*,\s*(\d+(?:\.\d+)?)\s*,\s*(\d+(?:\.\d+)?)\s*\]")
_BRACKETS = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]")


class MATCoding(Listed[MatCodingItem]):
    """What does a photograph show, once a program has mended or cropped it? Published data. `RLLaVA/MATCoding-v0`.

    Observation
        `text`: what to do, `<query> question </query>`, and what was said and answered so far: one message, built anew
        every turn (info["context"] is "restart"). `images`: the current picture, uint8 (H, W, 3), made smaller where a
        side exceeds `view`. A crop begins with the original picture, everything else with the processed one.
    Action
        `<think>...</think>` and then one of `<problem> {'rotation90', 'dark'} </problem>`, `<code>```python ...```
        </code>`, `<answer>...</answer>`. Programs read `path_to_input_image.jpg` (all pixels of the current picture)
        and write `path_to_output_image.jpg`. With tools=False: the whole text is the answer.
    Reward
        strict: F1 + format_weight x (format - F1), less tool_weight x F1 if the picture needed mending and no program
        wrote the current one. faithful: (0.8 F1 + 0.2 format + 1.2 if a program was run) / 2.2: the published weights,
        by which one program earns more than a right answer, divided so that the most is 1. format is the share of turns
        in the form above. Nothing is paid without an answer.
    Episode end
        terminated by an answer; truncated when the turns run out. A failing sandbox raises
        `sandbox.errors.InfrastructureError`; a failing program does not.
    Tasks
        200 items, all of the split "test", in the published order: 70 simple, 130 hard. A seed draws one.
    Held out
        Nothing: the set is for testing only. Tags "difficulty" (simple, hard) and "problems" split the tables.
    What guessing reaches
        Answers are free text out of pictures: the most frequent one is right for a handful of items. "blind" answers
        with the most frequent answer to questions with the same first two words.
    Source
        MAT-Coding of MAT-Bench (Visual-ARFT, arXiv 2505.14246); hub data set `laolao77/MAT`, with its own licence.
    Against MAT-Coding
        protocol="faithful" keeps: every two-dimensional slice in a program for a crop is rewritten to the box in the
        question, so the model's own numbers are never tested; a program that fails adds no message; `aggregate` divides
        by the number of items in the list, whoever answered; the published F1, which counts common tokens as a set.
        "strict" runs the model's own numbers, returns errors, and scores as SQuAD does. In both, tags are found by this
        package's parser, the prompt has our own words, and a picture is passed to programs without loss.

    Keyword arguments (all plain data, so that a recipe can hold them)
        data          a folder or file in the published format, or a hub name; None: the published one
        sandbox       where programs run: "docker", "local", "unix:DIR", "http://..."; opened at construction
        tools         False: one turn, "Answer the question directly"
        protocol      "strict" or "faithful"
        view          the longest side of what is shown, 64 to 8192 pixels
        seconds       a program's time, 0.1 to 600
        format_weight, tool_weight  of the strict reward, 0 to 0.5 each
        max_turns     3 to 64; 5 as published
        split         "test"
        render_mode
    """

    primary_metric: ClassVar[str] = "f1"
    splits: ClassVar[tuple[str, ...]] = SPLITS

    def __init__(
        self,
        *,
        data: str | None = None,
        sandbox: str = "docker",
        tools: bool = True,
        protocol: str = "strict",
        view: int = 2048,
        seconds: float = 10.0,
        format_weight: float = 0.1,
        tool_weight: float = 0.1,
        max_turns: int = 5,
        split: str = "test",
        render_mode: str | None = None,
    ) -> None:
        if not isinstance(tools, bool):
            raise ArgumentError(f"tools must be True or False; got {tools!r}")
        self.tools = tools
        self.protocol = arguments.one_of("protocol", protocol, PROTOCOLS)
        self.view = arguments.whole("view", view, 64, 8192)
        self.format_weight = arguments.real("format_weight", format_weight, 0.0, 0.5)
        self.tool_weight = arguments.real("tool_weight", tool_weight, 0.0, 0.5)
        turns = arguments.whole("max_turns", max_turns, 3, 64) if tools else 1
        seconds = arguments.real("seconds", seconds, 0.1, 600.0)
        arguments.one_of("split", split, self.splits)
        self._bench = Workbench(sandbox, seconds) if tools else None
        self._progress = Progress(np.zeros((1, 1, 3), dtype=np.uint8))
        super().__init__(
            images=Images(max_images=1, max_side=self.view),
            data=data,
            split=split,
            max_turns=turns,
            max_text=1 << 17,
            render_mode=render_mode,
        )

    @property
    def published(self) -> Mapping[str, Mapping[str, float]]:
        return figures("mat-coding")

    def load(self, split: str) -> Sequence[MatCodingItem]:
        return load(self.data, split)

    def state(self, world: MatCodingItem) -> bytes:
        return repr((world.id, world.position, world.question)).encode()

    # What is shown.

    def observe(self, world: MatCodingItem) -> Prompt:
        self._progress = Progress(world.picture.pixels())  # called once an episode, at its beginning
        return self._message(world)

    def _message(self, item: MatCodingItem) -> Prompt:
        shown = (fit(self._progress.picture, self.view, self.view),)
        question = item.question[:MAX_QUESTION]
        if not self.tools:
            return Prompt(f"{question} {DIRECT}", shown)
        prompt = PROMPT.format(turns=self.max_turns, labels=", ".join(LABELS))
        said = "\n".join(part for part in self._progress.history if part)
        text = f"{prompt}\n<query> {question} </query>\n{said}".rstrip()
        return Prompt(text[: 1 << 17], shown)

    # What the model wrote.

    def respond(self, world: MatCodingItem, text: str) -> Response:
        if not self.tools:
            return self._finish(world, text)
        action = parse(text, VERBS)
        self._progress = self._progress.after(action)
        if not isinstance(action, Malformed) and action.verb == "answer":
            return self._finish(world, action.content)
        told = self._tell(world, action)
        self._progress = self._progress.noting(text, told)
        message = self._message(world)
        nothing = {"accuracy": 0.0, "format": 0.0, "tool": 0.0}
        return Response(False, 0.0, nothing, self._metrics(world, None), message.text, message.images, restart=True)

    def _tell(self, item: MatCodingItem, action: Action | Malformed) -> str:
        """What an action that is no answer is told; the picture changes on the way."""
        if isinstance(action, Malformed):
            return action.message
        progress = self._progress
        if action.verb == "problem":
            self._progress = replace(progress, named=labels(action.content))
            return advise(labels(action.content))
        assert self._bench is not None
        code, box = action.content, box_in(item.question)
        if self.protocol == "faithful" and "crop" in item.kinds and box is not None:
            code = rewrite_slices(code, box, *progress.picture.shape[:2])
        ran = self._bench.run(code, progress.picture)
        if ran.picture is None:
            self._progress = replace(progress, programs=progress.programs + 1, failed=progress.failed + 1)
            return "" if self.protocol == "faithful" else ran.text
        self._progress = replace(progress, programs=progress.programs + 1, picture=ran.picture, written=True)
        return f"{ran.text} The picture is what it wrote."

    # Scoring.

    def _finish(self, item: MatCodingItem, said: str) -> Response:
        metrics, progress = self._metrics(item, said), self._progress
        if self.protocol == "faithful" and self.tools:
            used = float(progress.programs > 0)
            terms = zip(_FAITHFUL, (metrics["f1"], metrics["format"], used), strict=True)
            reward = min(sum(weight * term for weight, term in terms) / sum(_FAITHFUL), 1.0)
            return Response(
                True, reward, {"accuracy": metrics["f1"], "format": metrics["format"], "tool": used}, metrics
            )
        idle = self.tools and item.kinds != ("none",) and not progress.written
        weight = self.format_weight if self.tools else 0.0
        reward = coding_reward(metrics["f1"], metrics["format"], idle, weight, self.tool_weight)
        tool = float(metrics["f1"] > 0 and progress.written)
        return Response(True, reward, {"accuracy": metrics["f1"], "format": metrics["format"], "tool": tool}, metrics)

    def _metrics(self, item: MatCodingItem, said: str | None) -> dict[str, float]:
        """f1, em; format: the share of turns in the strict form; answered; tool: a program wrote the current picture;
        diagnosis: the last <problem> named exactly what is wrong; ran: the share of programs that gave a picture."""
        progress = self._progress
        said = None if said is None else said[:MAX_ANSWER]
        return {
            "f1": f1(said, item.answers, self.protocol, chinese=True),
            "em": exact_match(said, item.answers, self.protocol, chinese=True),
            "format": progress.format,
            "answered": float(said is not None),
            "tool": float(progress.written),
            "diagnosis": float(progress.named == frozenset(item.kinds)),
            "ran": (progress.programs - progress.failed) / progress.programs if progress.programs else 0.0,
        }

    def aggregate(self, results: Sequence[Mapping[str, float]], protocol: str = "strict") -> dict[str, float]:
        """The mean of every metric. Under "faithful" the sum over `results` is divided by the number of items in the
        list, so that those left out count as 0; and where `results` are those of the whole list in its order, the
        published parts are there too, as "f1/simple" and so on: rows without an answer are left out, those behind them
        move up, and the sums over the first 70 and over the others are divided by 70 and by the number of the others.
        """
        arguments.one_of("protocol", protocol, PROTOCOLS)
        means = super().aggregate(results)
        if protocol == "strict":
            return means
        count = self.num_tasks()
        share = len(results) / max(count, len(results), 1)
        found = {name: mean * share for name, mean in means.items()}
        if len(results) == count > SIMPLE:
            rows = [result for result in results if result["answered"]]
            for part, inside, size in (("simple", rows[:SIMPLE], SIMPLE), ("hard", rows[SIMPLE:], count - SIMPLE)):
                found |= {f"{name}/{part}": math.fsum(row[name] for row in inside) / size for name in ("f1", "em")}
        return found

    # The gold answer, and answers of somebody who does not look.

    def solve(self) -> list[str]:
        """The actions that score the maximum: what is wrong, a program that mends it as well as it can, the answer."""
        item = self.task.world
        if not self.tools:
            return [item.answers[0]]
        answer = say("It can be read.", "answer", item.answers[0])
        quoted = ", ".join(f"'{kind}'" for kind in item.kinds)
        named = say("I look.", "problem", f"{{{quoted}}}")
        # The published reward pays for a program even where none is needed.
        if item.kinds == ("none",) and self.protocol == "strict":
            return [named, answer]
        kinds = [kind for kind in item.kinds if kind != "crop" or box_in(item.question) is not None]
        reach = max(min(self._progress.picture.shape[:2]) // 112, 1)
        code = remedy(kinds, box_in(item.question), reach, "files")
        return [named, say("I mend it.", "code", f"```python\n{code}\n```"), answer]

    def baseline(self, name: str, rng: np.random.Generator) -> str:
        """The action of somebody who never looks at the picture.

        constant: the most frequent answer; random: the answer of any item; blind: the most frequent answer to
        questions that begin with the same two words.
        """
        arguments.one_of("baseline", name, ("constant", "random", "blind"))
        items = self.items()
        if name == "random":
            guess = items[int(rng.integers(len(items)))].answers[0]
        else:
            start = self.task.world.question.lower().split()[:2] if name == "blind" else []
            alike = [i for i in items if i.question.lower().split()[: len(start)] == start and i is not self.task.world]
            guess = Counter(i.answers[0] for i in alike or items).most_common(1)[0][0]
        return say("I guess.", "answer", guess) if self.tools else guess

    def tags(self, world: MatCodingItem) -> dict[str, str | int]:
        return {
            "difficulty": world.difficulty,
            "problems": "+".join(world.kinds),
            "position": world.position,
        }


def box_in(question: str) -> tuple[int, int, int, int] | None:
    """The first box [x1, y1, x2, y2] in thousandths that a question names, or None."""
    for found in _BOX.finditer(question[:MAX_QUESTION]):
        x1, y1, x2, y2 = (round(float(number)) for number in found.groups())
        if 0 <= x1 < x2 <= 1000 and 0 <= y1 < y2 <= 1000:
            return x1, y1, x2, y2
    return None


def rewrite_slices(code: str, box: Sequence[int], height: int, width: int) -> str:
    """A program with every slice of rows and columns, `[a:b, c:d]`, replaced by the box in pixels: as published.

    Longer programs than MAX_CODE characters stay as they are.
    """
    x1, y1, x2, y2 = box
    rows = f"{y1 * height // 1000}:{y2 * height // 1000}"
    columns = f"{x1 * width // 1000}:{x2 * width // 1000}"

    def replaced(found: re.Match[str]) -> str:
        parts = found[1].split(",")
        return f"[{rows}, {columns}]" if len(parts) >= 2 and all(":" in part for part in parts[:2]) else found[0]

    return _BRACKETS.sub(replaced, code) if len(code) <= MAX_CODE else code
