"""Multi-hop questions without pictures, answered by searching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .core import arguments
from .core.errors import ArgumentError
from .core.spaces import Images
from .datasets.multihop import DATASETS, MultiHopItem, load
from .scoring.published import figures
from .search.published import Researching


class MultiHop(Researching[MultiHopItem]):
    """Multi-hop questions of four published sets, in words alone. `RLLaVA/MultiHop-v0`.

    Observation
        As in `RLLaVA/MATSearch-v0`, without a picture: every turn the whole message, rebuilt.
    Action
        `<think>...</think><search>a query</search>` or `<think>...</think><answer>an answer</answer>`. With
        tools=False any text: all of it is the answer.
    Reward
        Paid with the answer: accuracy + format_weight x (format - accuracy), less tool_weight x accuracy where nothing
        was searched. accuracy: token F1 or, with score="em", exact match, of the best of the gold answers.
        info["metrics"]: f1 (the primary one) and em; no answer is 0.
    Episode end
        As in `RLLaVA/MATSearch-v0`.
    Tasks
        The published items, by number in the published order or by seed. "test" is the set on which results are
        published (the dev sets; Bamboogle has only one), "train" the train set.
    Held out
        What the publishers hold out. The only label of an item is what kind of answer it has, the tag "kind".
    What guessing reaches
        The answer "Yes" is right for the questions that compare, about one in ten of 2WikiMultihopQA and of HotpotQA.
    Source
        2WikiMultihopQA (arXiv 2011.01060, Apache-2.0), HotpotQA (arXiv 1809.09600, CC BY-SA 4.0), MuSiQue (arXiv
        2108.00573, CC BY 4.0), Bamboogle (arXiv 2210.03350, MIT), in the form in which FlashRAG publishes them.
    Against the published evaluations
        As `RLLaVA/MATSearch-v0` against MAT-Search: a user's index instead of the web, our own prompt, and
        protocol="strict" unless "faithful" is asked for.

    Keyword arguments (all plain data, so that a recipe can hold them)
        dataset       "2wiki", "hotpotqa", "musique" or "bamboogle"
        data          a folder or a file of JSON lines with id, question and golden_answers; None is the hub's
        search        "index:DIR", "http://HOST:PORT" or a web service; needed unless tools=False
        tools, protocol, prompt, top_k, snippet, score, format_weight, tool_weight, max_turns
                      as in `RLLaVA/MATSearch-v0`
        split         "test" or "train"
        render_mode   None: there is nothing to see
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]
    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def __init__(
        self,
        *,
        dataset: str = "2wiki",
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
        render_mode: None = None,
    ) -> None:
        self.dataset = arguments.one_of("dataset", dataset, DATASETS)
        if render_mode is not None:
            raise ArgumentError(f"render_mode must be None, as there are no pictures; got {render_mode!r}")
        super().__init__(
            images=Images(max_images=1, max_side=1),
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
        return figures(self.dataset)

    def load(self, split: str) -> Sequence[MultiHopItem]:
        return load(self.data, split, self.dataset)

    def question(self, item: MultiHopItem) -> str:
        return item.question

    def golds(self, item: MultiHopItem) -> tuple[str, ...]:
        return item.golden_answers

    def picture(self, item: MultiHopItem) -> None:
        return None

    def state(self, world: MultiHopItem) -> bytes:
        return repr((self.dataset, world.id, world.question, world.position)).encode()

    def tags(self, world: MultiHopItem) -> dict[str, str | int]:
        yes_no = any(gold.strip().lower() in ("yes", "no") for gold in world.golden_answers)
        return {"dataset": self.dataset, "kind": "yes or no" if yes_no else "open", "position": world.position}
