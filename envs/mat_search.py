"""MAT-Search: questions about pictures that need a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from .core.spaces import Image, Images
from .datasets.mat_search import MatSearchItem, load
from .scoring.published import figures
from .search.published import Researching

MAX_SIDE = 8192


class MATSearch(Researching[MatSearchItem]):
    """150 questions about pictures that need a search. `RLLaVA/MATSearch-v0`.

    Observation
        Every turn the whole message, rebuilt (`info["context"] = "restart"`): `images`, the picture, uint8 (H, W, 3),
        and `text`: what to do, `<query> question </query>`, and for each turn so far what the model wrote and
        `<information> 1. Content:...2. Content:... </information> `. With tools=False: the question and "Answer the
        question directly. The answer should be very brief."
    Action
        `<think>...</think><search>a query</search>` or `<think>...</think><answer>an answer</answer>`. With
        tools=False any text: all of it is the answer.
    Reward
        Paid with the answer: accuracy + format_weight x (format - accuracy), less tool_weight x accuracy where nothing
        was searched. accuracy: token F1 or, with score="em", exact match. format: the share of turns in the form above.
        The measures are info["metrics"]: f1 (the primary one) and em; no answer is 0.
    Episode end
        terminated by an answer; truncated after max_turns generations. In the faithful protocol also terminated by an
        answer that its pattern loses, and by a search that gives no query when there was none before.
    Tasks
        The published items, by number in the published order or by seed. The only split is "test".
    Held out
        Nothing: this is the published test set. Tags "difficulty" (simple: the first 75; hard: the last 75) and "kind".
    What guessing reaches
        52 of the 150 answers are yes or no: "Yes" to everything scores F1 19.3. So a table needs the baselines and a
        row with tools=False.
    Source
        Visual-ARFT (arXiv 2505.14246), hub data set laolao77/MAT, MAT-Benchmark/MAT-Search.json and MAT-Search-image/.
        It is not part of this package; see its publisher for the licence.
    Against MAT-Search
        protocol="faithful" plays and scores as published, faults included (search/published.py lists them);
        protocol="strict" mends them. Both: our own words in the prompt (prompt=... takes the published ones), an index
        of the user's instead of a web search, titles before the texts found, a turn shown again up to 16,384
        characters. Published: 4 results, 5 generations, reward 0.8 F1 + 0.2 format + 1.2 for any search.

    Keyword arguments (all plain data, so that a recipe can hold them)
        data          a folder in the published format; None is the hub's
        search        "index:DIR", "http://HOST:PORT", or a web service such as "serper:" (all of them:
                      `sandbox.search.opening`); needed unless tools=False
        tools         False: the no-tool baseline, in one turn
        protocol      "strict" or "faithful"
        prompt        what to do, in other words than ours
        top_k, snippet  results of a search, and characters shown of each
        score         "f1" or "em": what accuracy means in the reward
        format_weight, tool_weight  0 to 0.5 each
        max_turns     generations, 5 as published
        split         "test"
        render_mode
    """

    splits: ClassVar[tuple[str, ...]] = ("test",)

    def __init__(
        self,
        *,
        data: str | None = None,
        search: str | None = None,
        tools: bool = True,
        protocol: str = "strict",
        prompt: str | None = None,
        top_k: int = 4,
        snippet: int = 300,
        score: str = "f1",
        format_weight: float = 0.1,
        tool_weight: float = 0.0,
        max_turns: int = 5,
        split: str = "test",
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            images=Images(max_images=1, max_side=MAX_SIDE),
            data=data,
            search=search,
            tools=tools,
            protocol=protocol,
            prompt=prompt,
            top_k=top_k,
            snippet=snippet,
            score=score,
            format_weight=format_weight,
            tool_weight=tool_weight,
            max_turns=max_turns,
            split=split,
            render_mode=render_mode,
        )

    @property
    def published(self) -> Mapping[str, Mapping[str, float]]:
        return figures("mat-search")

    def load(self, split: str) -> Sequence[MatSearchItem]:
        return load(self.data, split)

    def question(self, item: MatSearchItem) -> str:
        return item.question

    def golds(self, item: MatSearchItem) -> tuple[str, ...]:
        return (item.answer,)

    def picture(self, item: MatSearchItem) -> Image:
        return item.picture.pixels()

    def state(self, world: MatSearchItem) -> bytes:
        return repr((world.id, world.question, world.position)).encode()

    def tags(self, world: MatSearchItem) -> dict[str, str | int]:
        kind = "yes or no" if world.answer.strip().lower() in ("yes", "no") else "open"
        return {"difficulty": world.difficulty, "kind": kind, "position": world.position}
