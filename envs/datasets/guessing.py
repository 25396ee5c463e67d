"""What can be had without looking: the answers of a split as guesses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np


class Guesses:
    """Guesses from the questions and answers of a split, in the published order.

    constant: the most frequent answer. random: one of the answers that occur, each as likely. blind: the most frequent
    answer of the *other* items with the same question, or the constant where there is none: an item's own answer is
    never used, or a question asked once would give it away. Ties go to the answer that comes first.
    """

    def __init__(self, questions: Sequence[str], answers: Sequence[str]) -> None:
        self._questions, self._answers = questions, answers
        self._by_question: dict[str, Counter[str]] = {}
        for question, answer in zip(questions, answers, strict=True):
            self._by_question.setdefault(question, Counter())[answer] += 1
        self._counts = Counter(answers)

    def guess(self, name: str, position: int, rng: np.random.Generator) -> str:
        """The guess of `name`, one of constant, random and blind, for the item at `position`."""
        if name == "random":
            return list(self._counts)[int(rng.integers(len(self._counts)))]
        if name == "blind":
            others = self._by_question[self._questions[position]].copy()
            others[self._answers[position]] -= 1
            best, times = others.most_common(1)[0]
            if times > 0:
                return best
        return self._counts.most_common(1)[0][0]
