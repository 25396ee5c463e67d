"""A whole number: CLEVR-Count and SuperCLEVR.

Rows as the evaluation code of RLLaVA writes them, under "results": `model_output` (the whole text) or, without it,
`extracted_answer` (a number or null), and `ground_truth` (not needed with --data).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ..core.rewards import exact_integer
from ..datasets.rows import Row
from . import predictions

PREDICTION, EXTRACTED, GOLD, QUESTION = "model_output", "extracted_answer", "ground_truth", "question"
_PUBLISHED = re.compile(r"<answer>\s*([0-9]{1,18})\s*</answer>")


def gold(row: Row) -> int:
    """The number that the row itself carries."""
    return row.count(GOLD)


def score(row: Row, right: int, protocol: str) -> tuple[dict[str, float], bool]:
    """The accuracy of a row, and whether it holds an answer.

    strict: the one `<answer>` holds exactly the integer. faithful: the first `<answer>` that holds nothing but digits.
    """
    if not row.has(PREDICTION):
        value = row.rows.values(row.index).get(EXTRACTED) if row.has(EXTRACTED) else row.text(PREDICTION)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise row.wrong(EXTRACTED, "a whole number, or null where there is no answer")
        return {"accuracy": float(value == right)}, value is not None
    text = predictions.said(row, PREDICTION) or ""
    if protocol == "faithful":
        match = _PUBLISHED.search(text)
        return {"accuracy": float(match is not None and int(match[1]) == right)}, match is not None
    said = predictions.answer_of(text)
    return {"accuracy": 0.0 if said is None else exact_integer(said, right)}, said is not None


def measure(said: str, right: int) -> dict[str, float]:
    """The accuracy of a constant answer."""
    return {"accuracy": exact_integer(said, right)}


def constants(golds: Sequence[int]) -> list[str]:
    """The most frequent number."""
    return [str(number) for number, _ in Counter(golds).most_common(1)]
