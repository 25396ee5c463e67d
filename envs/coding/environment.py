"""The environment: documents, what was done to their pictures, and the turns in which it is undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from ..core import arguments
from ..core.actions import Malformed, parse, say
from ..core.env import Environment, Prompt, Response
from ..core.errors import ArgumentError
from ..core.held_out import COMBINATIONS
from ..core.rewards import share_right
from ..core.spaces import Image, Images
from ..core.tasks import generator
from ..core.text_match import exact_match, f1
from ..render.distort import distort
from ..render.document import Document, draw_document, lay_out
from .choices import all_choices, held_out
from .contents import KINDS, Author
from .episode import PROBLEMS, VERBS, Progress, advise, coding_reward, labels
from .programs import PROGRAMS, remedy
from .tiny import DIGITS, SIDE, draw_digits
from .tiny import PROBLEMS as TINY_PROBLEMS
from .wording import asked
from .workbench import Workbench, fit
from .world import TABLE, CodingPlan, CodingWorld, box

MAX_ANSWER = 4096  # characters compared with the gold answer
_GROUND = (120, 100, 80)


class Coding(Environment[CodingWorld]):
    """What does a spoilt document say, once a program has mended its picture? `RLLaVA/Coding-v0`.

    Observation
        `text`: "What is the total?" and, with instructions="full", how to answer. To crop, the question names a box in
        thousandths of width and height. After a turn: what came of it. `images`: the picture, uint8 (H, W, 3), made
        smaller where it is larger than `size`; after a program that wrote a picture, that one.
    Action
        `<think>...</think>` and then one of `<problem> {'rotation90', 'dark'} </problem>`, `<code>```python ...```
        </code>`, `<answer>...</answer>`. A program reads `path_to_input_image.jpg`, which has all pixels of the current
        picture without loss, and writes `path_to_output_image.jpg`: PNG, JPEG or WebP, by content and not by name.
    Reward
        accuracy + format_weight x (format - accuracy), less tool_weight x accuracy if the picture needed mending and no
        program wrote the current one. accuracy: exact match, or F1. format: the share of turns in the form above.
        Nothing is paid before the answer: without one the episode scores 0. A program pays only with a right answer.
    Episode end
        terminated by an answer. truncated when the turns run out. A program that fails, sleeps or asks for too much is
        told so, and the episode goes on; a sandbox that fails raises `sandbox.errors.InfrastructureError`.
    Tasks
        Procedural: seven kinds of documents, six distortions and the crop. Numbered by `options={"task": i}`: train
        1,000,000, validation and test 2,048 each. No document is in two splits, whatever is asked or done to it.
    Held out
        combinations="seen" never does to a kind of document what is held out for it (a fifth of all pairs of problem
        and kind); "unseen" always does. Difficulty is the number of problems: train with problems=(1, 1), test with
        (2, 2). Tag "difficulty": easy 0, medium 1, hard 2.
    Why guessing fails
        Prices, dates, times and codes are drawn uniformly, and all values of a document that a question could mean
        differ. In pictures with noise and exposure or blur nothing can be read; a picture to crop is shown with its
        text a third as large. Turned pictures can be read by who has learned to.
    Source
        Procedural; the protocol is that of MAT-Coding (Visual-ARFT, arXiv 2505.14246). Font: Aileron, in Pillow (CC0).
    Against MAT-Coding
        Drawn documents instead of photographs; the model's own slices are what is cropped; a program's errors are told;
        an unanswered item scores 0 in its place; a right answer is needed for the tool's term; context="append" shows
        what is new, "restart" rebuilds the prompt as published.

    Keyword arguments (all plain data, so that a recipe can hold them)
        sandbox       where programs run: "docker", "local", "unix:DIR", "http://..."; opened at construction. "none":
                      the same episodes, but no program is run
        tools         False: no programs, no problems, one turn, the picture as it is
        size          (width, height) of a document and of what is shown at most, in pixels
        kinds         documents: names, or n for the first n. receipt, label, hours, menu, nutrition, ticket, timetable
        faults        problems: names, or n for the first n. rotation90 (counter-clockwise), rotation180, blur, dark,
                      overexposure, noise, crop
        problems      (fewest, most) of them at once, 0 to 2; two rotations, two exposures, or a crop of a rotated
                      picture do not occur
        combinations  "all", "seen" or "unseen"
        style         "document", or "tiny": three digits, 42 x 42 pixels, "What number?", answered as "4 0 7"; kinds
                      are then digits-0 to digits-9, by the first digit, and blur and crop do not occur
        program       "files" as above, or "short": a program reads in.png and writes out.png
        context       "append" or "restart": info["context"] says the latter
        ask           "answer"; or a dense task for a cold start, in one turn and without tools: "read" (a clean
                      picture: its cells, row by row, with commas between) or "name" (the problems, with commas between)
        score         "exact" or "f1"
        instructions  "full", or "short": the question alone
        seconds       a program's time, 0.1 to 600; it also has 1 GiB of memory and 16 processes
        format_weight, tool_weight  0 to 0.5 each
        max_turns, split, render_mode

    Two sizes
        document  the defaults                                                            336 x 336, 5 turns
        tiny      style="tiny", program="short", instructions="short"                  42 x 42, 5 turns
    """

    primary_metric: ClassVar[str] = "f1"

    def __init__(
        self,
        *,
        sandbox: str = "docker",
        tools: bool = True,
        size: Sequence[int] = (336, 336),
        kinds: int | Sequence[str] | None = None,
        faults: int | Sequence[str] | None = None,
        problems: Sequence[int] = (1, 2),
        combinations: str = "all",
        style: str = "document",
        program: str = "files",
        context: str = "append",
        ask: str = "answer",
        score: str = "exact",
        instructions: str = "full",
        seconds: float = 10.0,
        format_weight: float = 0.1,
        tool_weight: float = 0.1,
        max_turns: int | None = None,
        split: str = "train",
        render_mode: str | None = None,
    ) -> None:
        self.style = arguments.one_of("style", style, ("document", "tiny"))
        tiny = self.style == "tiny"
        self.width, self.height = (SIDE, SIDE) if tiny else arguments.whole_pair("size", size, 160, 2048)
        self._writers = DIGITS if tiny else KINDS
        possible = TINY_PROBLEMS if tiny else PROBLEMS
        self.kinds = arguments.names("kinds", len(self._writers) if kinds is None else kinds, tuple(self._writers))
        self.faults = arguments.names("faults", len(possible) if faults is None else faults, possible)
        self.problems = arguments.whole_pair("problems", problems, 0, 2, ordered=True)
        self.combinations = arguments.one_of("combinations", combinations, COMBINATIONS)
        self.program = arguments.one_of("program", program, PROGRAMS)
        self.context = arguments.one_of("context", context, ("append", "restart"))
        self.ask = arguments.one_of("ask", ask, ("answer", "read", "name"))
        self.score = arguments.one_of("score", score, ("exact", "f1"))
        self.instructions = arguments.one_of("instructions", instructions, ("full", "short"))
        seconds = arguments.real("seconds", seconds, 0.1, 600.0)
        self.format_weight = arguments.real("format_weight", format_weight, 0.0, 0.5)
        self.tool_weight = arguments.real("tool_weight", tool_weight, 0.0, 0.5)
        if not isinstance(tools, bool):
            raise ArgumentError(f"tools must be True or False; got {tools!r}")
        self.tools = tools and self.ask == "answer"
        turns = arguments.whole("max_turns", (5 if self.tools else 1) if max_turns is None else max_turns, 1, 64)
        if self.tools and turns < 3:
            raise ArgumentError(f"max_turns must be at least 3: the problem, a program, the answer; got {turns}")
        every = tuple(self._writers)
        self._choices = all_choices(self.problems, self.faults, self.kinds, self.combinations, every)
        self._bench = Workbench(sandbox, seconds, self.program) if self.tools else None
        self._painted: tuple[CodingWorld, Image] | None = None
        images = Images(max_images=1, max_side=max(self.width, self.height))
        super().__init__(images=images, split=split, max_turns=turns, max_text=1 << 16, render_mode=render_mode)
        self._progress = Progress(np.zeros((1, 1, 3), dtype=np.uint8))

    # Worlds.

    def plan(self, rng: np.random.Generator) -> CodingPlan:
        counts = sorted(self._choices)
        choices = self._choices[counts[int(rng.integers(len(counts)))]]
        problems, kind = choices[int(rng.integers(len(choices)))]
        return CodingPlan(problems, kind, int(rng.integers(1 << 30)))

    def build(self, plan: Any, rng: np.random.Generator) -> CodingWorld | None:
        author = Author(rng)
        write = self._writers[plan.kind]
        written = write(author)
        question, answer = written.questions[plan.which % len(written.questions)]
        table: tuple[Document, ...] = ()
        place = 0
        if "crop" in plan.problems:
            # Others of its kind: all of them have an answer, and the box says which is meant.
            others = [write(author).document for _ in range(TABLE * TABLE - 1)]
            place = author.number(0, len(others))
            table = (*others[:place], written.document, *others[place:])
        return CodingWorld(plan, written, question, answer, table, place, author.number(0, (1 << 62) - 1))

    def state(self, world: CodingWorld) -> bytes:
        # The document alone: the same one may not be in two splits, however it is spoilt and whatever is asked.
        return repr((world.written.document.kind, world.written.document.lines)).encode()

    def _draw(self, document: Document) -> Image:
        return draw_digits(document) if self.style == "tiny" else draw_document(document, self.width, self.height)

    def clean(self, world: CodingWorld) -> Image:
        """The document as it was before anything was done to its picture."""
        return self._draw(world.written.document)

    def paint(self, world: CodingWorld) -> Image:
        """The picture with which the episode begins: all its pixels."""
        if self._painted is None or self._painted[0] is not world:
            picture, problems = self.clean(world), world.plan.problems if self.ask != "read" else ()
            if world.table and problems:
                picture = lay_out(tuple(map(self._draw, world.table)), TABLE, _GROUND)[0]
            noisy = 16 if self.style == "tiny" else 40
            picture = distort(picture, problems, self._reach, generator("grain", world.grain), noisy)
            self._painted = (world, picture)
        return self._painted[1]

    @property
    def _reach(self) -> int:
        return max(min(self.width, self.height) // 112, 1)

    def box(self, world: CodingWorld) -> tuple[int, int, int, int] | None:
        """What to crop, (x1, y1, x2, y2) in thousandths of the picture's width and height, rounded outwards."""
        return box(world.place, self.width, self.height) if world.table else None

    # What is shown, and the gold answer.

    def observe(self, world: CodingWorld) -> Prompt:
        self._progress = Progress(self.paint(world))  # called once an episode, at its beginning
        return Prompt(self._question(world), (self._view(),))

    def _question(self, world: CodingWorld) -> str:
        turns = self.max_turns if self.tools else 0
        return asked(self.ask, world.question, self.box(world), self.instructions, self.program, turns)

    def _view(self) -> Image:
        return fit(self._progress.picture, self.width, self.height)

    def _gold(self, world: CodingWorld) -> list[str]:
        """What an answer names, part by part."""
        if self.ask == "name":
            return list(world.plan.problems) or ["none"]
        if self.ask == "read":
            return [cell.replace(",", "") for line in world.written.document.lines for cell in line.cells if cell]
        return [world.answer]

    def solve(self) -> list[str]:
        """The actions that score the maximum from the start of the current episode."""
        world = self.task.world
        answer = say("it can be read", "answer", ", ".join(self._gold(world)))
        problems = world.plan.problems
        if not self.tools:
            return [answer]
        named = self._naming(problems or ("none",))
        return [named, self._mending(problems), answer] if problems else [named, answer]

    def _naming(self, problems: Sequence[str]) -> str:
        quoted = ", ".join(f"'{problem}'" for problem in problems)
        return say("look", "problem", f"{{{quoted}}}" if self.instructions == "full" else " ".join(problems))

    def _mending(self, problems: Sequence[str]) -> str:
        code = remedy(problems, self.box(self.task.world), self._reach, self.program)
        return say("mend", "code", f"```python\n{code}\n```" if self.program == "files" else code)

    def baseline(self, name: str, rng: np.random.Generator) -> str:
        """The action of somebody who never looks at the picture.

        constant: always the same answer; random: the answer to some question about some document; blind: the answer
        that another document of the kind gives to the same question. With programs also hasty: the expert, but two
        times in three whatever is wrong is taken for noise, and what was mended in vain is answered by "unknown".
        """
        hasty = ("hasty",) if self.tools and "noise" in self.faults else ()
        arguments.one_of("baseline", name, ("constant", "random", "blind", *hasty))
        world, author = self.task.world, Author(rng)
        if name == "hasty":
            return self._hasty(rng)
        if self.ask == "name":
            guess = author.one(self.faults) if name == "random" else self.faults[0]
            return say("guess", "answer", guess)
        if name == "constant":
            return say("guess", "answer", "4 0 7" if self.style == "tiny" else "10:00")
        kind = author.one(self.kinds) if name == "random" else world.plan.kind
        written = self._writers[kind](author)
        if self.ask == "read":
            return say("guess", "answer", ", ".join(c for line in written.document.lines for c in line.cells if c))
        answer = written.questions[author.number(0, len(written.questions) - 1)][1]
        for _ in range(40 if name == "blind" else 0):
            found = dict(self._writers[kind](author).questions)
            if world.question in found:
                answer = found[world.question]
                break
        return say("guess", "answer", answer)

    def _hasty(self, rng: np.random.Generator) -> str:
        named = self._progress.named
        if named is None:
            return self.solve()[0] if not int(rng.integers(3)) else self._naming(("noise",))
        truth = frozenset(self.task.world.plan.problems)
        if not self._progress.programs and named != {"none"}:
            return self._mending([problem for problem in PROBLEMS if problem in named])
        return self.solve()[-1] if named == (truth or {"none"}) else say("it cannot be read", "answer", "unknown")

    # Scoring.

    def respond(self, world: CodingWorld, text: str) -> Response:
        action = parse(text, VERBS if self.tools else ("answer",))
        self._progress = self._progress.after(action)
        if isinstance(action, Malformed):
            return self._go_on(world, text, action.message if self.max_turns > 1 else "")
        if action.verb == "answer":
            return self._finish(world, action.content)
        if action.verb == "problem":
            named = labels(action.content)
            self._progress = replace(self._progress, named=named)
            return self._go_on(world, text, advise(named))
        assert self._bench is not None
        ran = self._bench.run(action.content, self._progress.picture)
        failed = ran.picture is None
        self._progress = replace(
            self._progress, programs=self._progress.programs + 1, failed=self._progress.failed + int(failed)
        )
        if ran.picture is not None:
            self._progress = replace(self._progress, picture=ran.picture, written=True)
        told = ran.text if failed else f"{ran.text} This is the picture now."
        return self._go_on(world, text, told, new=not failed)

    def _go_on(self, world: CodingWorld, said: str, told: str, new: bool = False) -> Response:
        self._progress = self._progress.noting(said, told)
        metrics = self._metrics(world, None)
        nothing = {"accuracy": 0.0, "format": 0.0, "tool": 0.0}
        if self.context == "append" or self.max_turns == 1:
            return Response(False, 0.0, nothing, metrics, told, (self._view(),) if new else ())
        text = "\n".join([self._question(world), *self._progress.history])
        return Response(False, 0.0, nothing, metrics, text[: 1 << 16], (self._view(),), restart=True)

    def _finish(self, world: CodingWorld, said: str) -> Response:
        metrics = self._metrics(world, said)
        accuracy = metrics["f1" if self.score == "f1" else "accuracy"]
        needed = self.tools and bool(world.plan.problems)
        idle = needed and not self._progress.written
        # In one turn there are no tools to be paid for.
        reward = coding_reward(accuracy, metrics["format"], idle, self.format_weight, self.tool_weight)
        parts = {"accuracy": accuracy, "format": metrics["format"], "tool": float(accuracy > 0 and not idle)}
        return Response(True, reward, parts, metrics)

    def _metrics(self, world: CodingWorld, said: str | None) -> dict[str, float]:
        """accuracy, f1; format: see the card; answered; tool: a program wrote the current picture; diagnosis: the last
        <problem> named exactly what is wrong; ran: the share of programs that gave a picture."""
        progress, gold = self._progress, self._gold(world)
        if said is None:
            accuracy = overlap = 0.0
        elif self.ask == "answer":
            said = said[:MAX_ANSWER]  # printed answers are short
            accuracy, overlap = exact_match(said, gold), f1(said, gold)
        else:
            accuracy = overlap = share_right(said, [part.lower() for part in gold])
        truth = frozenset(world.plan.problems) or frozenset({"none"})
        return {
            "accuracy": accuracy,
            "f1": overlap,
            "format": progress.format,
            "answered": float(said is not None),
            "tool": float(progress.written),
            "diagnosis": float(progress.named == truth),
            "ran": (progress.programs - progress.failed) / progress.programs if progress.programs else 0.0,
        }

    def tags(self, world: CodingWorld) -> dict[str, str | int]:
        every = tuple(self._writers)
        return {
            "difficulty": ("easy", "medium", "hard")[len(world.plan.problems)],
            "kind": world.plan.kind,
            "problems": "+".join(world.plan.problems) or "none",
            "combination": "unseen" if held_out(world.plan.problems, world.plan.kind, every) else "seen",
        }
