"""Short answers compared as text: MAT-Search, MAT-Coding and the multi-hop sets.

Rows as the evaluation code of Visual-ARFT writes them: `pred_answer` (text, or null without an answer), `gt` (a text or
a list of texts; not needed with --data), and, where present, `id` and `query`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ..core.text_match import exact_match, f1, normalise
from ..datasets.rows import Row
from . import predictions

Golds = tuple[str, ...]
PREDICTION, GOLD, QUESTION = "pred_answer", "gt", "query"
CANDIDATES = 8  # constant answers tried


def gold(row: Row) -> Golds:
    """The gold answers that the row itself carries."""
    return predictions.golds(row, GOLD)


def score(row: Row, golds: Golds, protocol: str, chinese: bool) -> tuple[dict[str, float], bool]:
    """F1 and exact match of a row, and whether it holds an answer."""
    said = predictions.said(row, PREDICTION)
    # The published code takes a blank answer for one; it then equals a gold "A", which normalises to nothing.
    return measure(said, golds, protocol, chinese), said is not None and bool(said.strip())


def measure(said: str | None, golds: Golds, protocol: str, chinese: bool) -> dict[str, float]:
    """F1 and exact match of one answer."""
    return {
        "f1": f1(said, golds, protocol, chinese),
        "exact_match": exact_match(said, golds, protocol, chinese),
    }


def constants(golds: Sequence[Golds]) -> list[str]:
    """Answers that might score best if given to every question: the most frequent gold answers."""
    spelling: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for answers in golds:
        for key, answer in {normalise(answer): answer for answer in answers}.items():
            spelling.setdefault(key, answer)
            counts[key] += 1
    return [spelling[key] for key, _ in counts.most_common(CANDIDATES)]


def notes(golds: Sequence[Golds]) -> list[str]:
    """How many questions a coin could answer, and how many nobody can."""
    either = sum(any(normalise(answer) in ("yes", "no") for answer in answers) for answers in golds)
    blank = sum(not any(answer.strip() for answer in answers) for answers in golds)
    told = {"are yes or no": either, "are blank, so that no answer is right": blank}
    return [f"{count} of the {len(golds)} gold answers {what}" for what, count in told.items() if count]


def published_position(rows: Sequence[Row], size: int) -> list[int] | None:
    """Positions from the identifiers of MAT-Coding, which count from 1 in the published order; None if they do not."""
    values: list[Mapping[str, object]] = [row.rows.values(row.index) for row in rows]
    ids = [value.get("id") for value in values]
    if all(isinstance(i, int) and not isinstance(i, bool) and 1 <= i <= size for i in ids):
        return [i - 1 for i in ids if isinstance(i, int)]
    return None
