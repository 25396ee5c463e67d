"""An answer compared as mathematics: Geometry3K.

Rows as the evaluation code of RLLaVA writes them, under "results": `model_output` (the whole text) and `ground_truth`
(a text; not needed with --data).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..core.mathematics import boxed, same_value
from ..datasets.rows import Row
from . import predictions
from .published_mathematics import Judge

PREDICTION, GOLD, QUESTION = "model_output", "ground_truth", "question"
CANDIDATES = 3


def gold(row: Row) -> str:
    """The gold answer that the row itself carries: a text, or a number."""
    value = row.rows.values(row.index).get(GOLD)
    return repr(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else row.text(GOLD)


def score(row: Row, right: str, protocol: str, judge: Judge) -> tuple[dict[str, float], bool]:
    r"""The accuracy of a row, and whether it holds an answer.

    strict: what the last `\boxed{}` or the one `<answer>` holds, compared by value. faithful: whatever math-verify
    finds anywhere in the text.
    """
    text = predictions.said(row, PREDICTION) or ""
    if protocol == "faithful":
        return {"accuracy": float(judge.agree(text, right))}, bool(text.strip())
    said = boxed(text)
    said = predictions.answer_of(text) if said is None else said
    return {"accuracy": 0.0 if said is None else same_value(said, right)}, said is not None


def measure(said: str, right: str) -> dict[str, float]:
    """The accuracy of a constant answer."""
    return {"accuracy": same_value(said, right)}


def constants(golds: Sequence[str]) -> list[str]:
    """The most frequent answers."""
    return [answer for answer, _ in Counter(golds).most_common(CANDIDATES)]
