"""Published questions that are answered by searching: one message, rebuilt every turn, as MAT-Search plays it.

faithful    what the published evaluation does, faults included. `<answer>` is looked for first, wherever it is, with
            a pattern that no line break may lie in: an answer of two lines is lost, and the episode over. Then
            `<search>`, alike; one that is not closed or has two lines repeats the last query, and with no last query
            the episode is over. Other text changes nothing: the same message comes again.
strict      ours. One parser for all (core/actions.py): exactly one action outside the thought, of any number of lines.
            What is no action is told what was wrong.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

import numpy as np

from ..core import arguments
from ..core.actions import Action, Malformed, parse, say
from ..core.env import Prompt, Response
from ..core.errors import ArgumentError
from ..core.listed import Listed
from ..core.spaces import Image, Images
from ..core.text_match import PROTOCOLS, exact_match, f1
from .information import content, neutral, spoken
from .score import Progress, searching_reward
from .tool import ask, open_tool

Item = TypeVar("Item")

DIRECT = "Answer the question directly. The answer should be very brief."
PROMPT = (
    "You answer a question{about} step by step, with the help of a search engine. Each time you are asked, think in "
    "<think> </think> about what is known and what is missing. Then write one of two things, never both. If something "
    "is missing: <search> one query in words </search>; {blind}do not repeat a query. If nothing is missing: "
    "<answer> the answer, as short as possible </answer>. The question and what was said and found so far follow."
)
MAX_TURN_CHARS = 1 << 14  # of what the model said in one turn, when it is shown again: 2,048 tokens have fewer
MAX_QUESTION_CHARS = 1 << 15
_YES_NO = ("is", "are", "was", "were", "do", "does", "did", "has", "have", "had", "can", "could", "will")


class Researching(Listed[Item]):
    """Base of environments over published questions with a search. Define `load`, `question`, `golds` and `picture`."""

    primary_metric: ClassVar[str] = "f1"

    def __init__(
        self,
        *,
        images: Images,
        data: str | None,
        search: str | None,
        tools: bool,
        protocol: str,
        prompt: str | None,
        top_k: int,
        snippet: int,
        score: str,
        format_weight: float,
        tool_weight: float,
        max_turns: int,
        split: str,
        render_mode: str | None,
    ) -> None:
        if not isinstance(tools, bool):
            raise ArgumentError(f"tools must be True or False; got {tools!r}")
        if tools and search is None:
            raise ArgumentError(
                'search must name what is searched, such as "http://HOST:PORT" or "index:DIR" (build one: python -m '
                "sandbox search build CORPUS DIR); got None. With tools=False nothing is searched: the no-tool baseline"
            )
        if prompt is not None and (not isinstance(prompt, str) or not prompt.strip() or len(prompt) > 8192):
            raise ArgumentError(f"prompt must be None or a text of at most 8192 characters; got {prompt!r:.80}")
        self.tools = tools
        self.protocol = arguments.one_of("protocol", protocol, PROTOCOLS)
        self.prompt = prompt
        self.top_k = arguments.whole("top_k", top_k, 1, 20)
        self.snippet = arguments.whole("snippet", snippet, 40, 4000)
        self.score = arguments.one_of("score", score, ("em", "f1"))
        self.format_weight = arguments.real("format_weight", format_weight, 0.0, 0.5)
        self.tool_weight = arguments.real("tool_weight", tool_weight, 0.0, 0.5)
        turns = arguments.whole("max_turns", max_turns, 1, 64) if tools else 1
        self.search = search
        self._tool = open_tool(search) if tools and search is not None else None
        self._progress, self._said, self._query = Progress(), "", None
        per_turn = MAX_TURN_CHARS + 512 + self.top_k * (2 * self.snippet + 64)
        super().__init__(
            images=images,
            data=data,
            split=split,
            max_turns=turns,
            max_text=2 * MAX_QUESTION_CHARS + 16384 + turns * per_turn,
            render_mode=render_mode,
        )

    _query: str | None  # the last one, which the published program falls back on

    @abstractmethod
    def question(self, item: Item) -> str:
        """What is asked."""

    @abstractmethod
    def golds(self, item: Item) -> tuple[str, ...]:
        """Every answer that counts as right, at least one."""

    @abstractmethod
    def picture(self, item: Item) -> Image | None:
        """uint8 (H, W, 3), or None where the data set has no pictures."""

    def _message(self, item: Item) -> Prompt:
        """The whole message of this turn: the picture, what to do, the question, and what was said and found so far."""
        picture = self.picture(item)
        images = () if picture is None else (picture,)
        question = neutral(self.question(item)[:MAX_QUESTION_CHARS])
        if not self.tools:
            return Prompt(f"{question} {DIRECT}", images)
        about, blind = (" about a picture", "the search engine does not see the picture; ") if images else ("", "")
        prompt = PROMPT.format(about=about, blind=blind) if self.prompt is None else self.prompt
        return Prompt(f"{prompt}\n<query> {question} </query>{self._said}", images)

    def observe(self, world: Item) -> Prompt:
        self._progress, self._said, self._query = Progress(), "", None  # called once an episode, at its beginning
        return self._message(world)

    # What the model wrote.

    def respond(self, world: Item, text: str) -> Response:
        if not self.tools:
            return self._judge(world, text)
        action = parse(text, ("search", "answer"))
        self._progress = self._progress.after(action.well_formed)
        return self._faithful(world, text) if self.protocol == "faithful" else self._strict(world, text, action)

    def _strict(self, world: Item, text: str, action: Action | Malformed) -> Response:
        if isinstance(action, Malformed):
            return self._continue(world, text, action.message)
        if action.verb == "answer":
            return self._judge(world, action.content)
        return self._continue(world, text, self._look_up(action.content.strip()))

    def _faithful(self, world: Item, text: str) -> Response:
        if "<answer>" in text:
            return self._judge(world, on_one_line(text, "answer"))
        if "<search>" not in text:
            return self._again(world)
        query = on_one_line(text, "search")
        query = self._query if query is None else query
        if query is None:
            return self._judge(world, None)
        return self._continue(world, text, self._look_up(query))

    def _look_up(self, query: str) -> str:
        assert self._tool is not None
        self._query = query
        self._progress = replace(self._progress, searches=self._progress.searches + 1)
        return content(ask(self._tool, query, self.top_k), self.snippet)

    def _continue(self, world: Item, said: str, answered: str) -> Response:
        self._said += f"\n{spoken(said, MAX_TURN_CHARS)}\n{answered}"
        return self._again(world)

    def _again(self, world: Item) -> Response:
        message = self._message(world)
        nothing = {"accuracy": 0.0, "format": 0.0, "tool": 0.0}
        return Response(False, 0.0, nothing, self._metrics(world, None), message.text, message.images, restart=True)

    # Scoring.

    def _metrics(self, world: Item, said: str | None) -> dict[str, float]:
        golds = self.golds(world)
        return {"f1": f1(said, golds, self.protocol), "em": exact_match(said, golds, self.protocol)}

    def _judge(self, world: Item, said: str | None) -> Response:
        metrics = self._metrics(world, said)
        accuracy = metrics["f1" if self.score == "f1" else "em"]
        progress = self._progress if self.tools else Progress(1, 1, 1)
        reward = searching_reward(accuracy, progress, self.format_weight if self.tools else 0.0, self.tool_weight)
        parts = {"accuracy": accuracy, "format": progress.format, "tool": float(progress.searches > 0) * accuracy}
        return Response(True, reward, parts, metrics)

    def aggregate(self, results: Sequence[Mapping[str, float]], protocol: str = "strict") -> dict[str, float]:
        """The mean of every metric, under either protocol: an episode without an answer is a 0 in both."""
        arguments.one_of("protocol", protocol, PROTOCOLS)
        return super().aggregate(results)

    # The gold answer, and answers of somebody who does not look.

    def solve(self) -> list[str]:
        """The actions that score the maximum from here: a search, if there was none, and the answer."""
        item = self.task.world
        gold = self.golds(item)[0]
        if not self.tools:
            return [gold]
        query = neutral(" ".join(self.question(item)[:500].split()))
        searches = [] if self._progress.searches else [say("I look it up.", "search", query)]
        return [*searches, say("I know the answer.", "answer", gold)]

    def baseline(self, name: str, rng: np.random.Generator) -> str:
        """The action of somebody who neither looks nor searches.

        constant: "Yes", the most frequent answer; random: the answer of any item; blind: "Yes" to a question that
        begins with a verb, otherwise the most frequent answer that is neither yes nor no.
        """
        arguments.one_of("baseline", name, ("constant", "random", "blind"))
        guess = "Yes"
        if name == "random":
            items = self.items()
            guess = self.golds(items[int(rng.integers(len(items)))])[0]
        elif name == "blind" and self.question(self.task.world).lower().partition(" ")[0] not in _YES_NO:
            guess = self._most_frequent()
        return say("I guess.", "answer", guess) if self.tools else guess

    def _most_frequent(self) -> str:
        answers = Counter(self.golds(item)[0] for item in self.items())
        return next((gold for gold, _ in answers.most_common() if gold.lower() not in ("yes", "no")), "Yes")


def on_one_line(text: str, verb: str) -> str | None:
    r"""What the published pattern `<verb>\s*(.*?)\s*</verb>` finds, stripped, or None. In linear time.

    A dot matches no line break, so breaks may only lie at the ends. Between two closing tags the pattern takes the
    first opening tag behind which no break lies inside.
    """
    opening, closing = f"<{verb}>", f"</{verb}>"
    for segment in text.split(closing)[:-1]:
        inner = segment.rstrip()
        last_break = inner.rfind("\n")
        # The opening tag must end at or behind the last character that has a break behind it.
        start = 0 if last_break < 0 else max(len(inner[:last_break].rstrip()) - len(opening), 0)
        found = segment.find(opening, start)
        if found >= 0:
            return segment[found + len(opening) :].strip()
    return None
