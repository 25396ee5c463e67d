"""Comparing short answers as text: exact match and token F1, as published and with its faults mended.

faithful    what the evaluation code of MAT-Search, MAT-Coding and the multi-hop sets computes. Text is lower-cased,
            ASCII punctuation and the words a, an, the are dropped, blanks are collapsed. Common tokens count as a set,
            while precision and recall divide by the lengths of the lists. With chinese=True (MAT-Coding) Chinese
            punctuation is dropped too, a text with a Chinese character loses its spaces, and if either has one, tokens
            are characters. "A" normalises to nothing, and so equals "the", "!" and "".
strict      ours. Common tokens count as often as they occur on both sides (SQuAD, arXiv 1606.05250), and

            - Unicode forms and cases that mean the same are made the same (NFKC and case folding);
            - punctuation of every script is dropped, but a number keeps its decimal point and its minus sign: 8.5 is
              not 85, -3 is not 3;
            - a line break that a gold answer of MAT-Coding writes as the two characters "\\n" is a blank;
            - a removal that would leave nothing is not done: the option "A" is "a";
            - "yes" and "no" stand alone, as in HotpotQA's own evaluation (arXiv 1809.09600): where either side is one
              of them, F1 is exact match. Otherwise "yes no" would earn more than an honest guess;
            - a blank answer scores 0 whatever the gold.

Any string may come and none raises. Time is linear in the length of the text, of which the first MAX_CHARS are read.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from .arguments import one_of
from .errors import ArgumentError

PROTOCOLS = ("strict", "faithful")
MAX_CHARS = 1 << 16

# What the published code drops for MAT-Coding beside ASCII punctuation.
_CHINESE_PUNCTUATION = "！？｡＂＃＄％＆＇（）＊＋，－．／：；＜＝＞＠［＼］＾＿｀｛｜｝～“”‘’、。：《》【】"  # noqa: RUF001
_ASCII = str.maketrans("", "", string.punctuation)
_ASCII_AND_CHINESE = str.maketrans("", "", string.punctuation + _CHINESE_PUNCTUATION)

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_CHINESE_PUBLISHED = re.compile("[\u4e00-\u9fff]")
_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
# A point between digits, and a minus sign before a number and behind nothing that it could join or subtract from.
_KEPT = re.compile(r"(?<=\d)\.(?=\d)|(?<![^\W_])(?<![)\]])-(?=\.?\d)")
# "TAWAU HILL\nPARK", but not \nu or \neq, which are LaTeX.
_WRITTEN_BREAK = re.compile(r"\\n(?![a-z])")
_MINUS = str.maketrans({"\u2212": "-", "\ufe63": "-", "\uff0d": "-"})
_ALONE = ("yes", "no")


def normalise(text: str, protocol: str = "strict", chinese: bool = False) -> str:
    """The form in which answers are compared; see the module docstring.

    chinese: a text with a Chinese character loses all its spaces, and keeps "a", "an" and "the".

    Raises:
        ArgumentError: an unknown protocol.
    """
    if one_of("protocol", protocol, PROTOCOLS) == "faithful":
        return _normalise_published(text[:MAX_CHARS], chinese)
    return _normalise(text[:MAX_CHARS], chinese and _CHINESE.search(text, 0, MAX_CHARS) is not None)


def exact_match(said: str | None, golds: Sequence[str] | str, protocol: str = "strict", chinese: bool = False) -> float:
    """1.0 if `said` equals one of the gold answers after `normalise`, else 0.0. None, no answer, is 0.0.

    Raises:
        ArgumentError: an unknown protocol, or no gold answer.
    """
    return _best(said, golds, protocol, chinese)[0]


def f1(said: str | None, golds: Sequence[str] | str, protocol: str = "strict", chinese: bool = False) -> float:
    """Token F1 of `said` with the gold answer that it fits best, in [0, 1]. None, no answer, is 0.0.

    With c common tokens, p tokens said and g tokens of the gold it is 2 (c/p)(c/g) / (c/p + c/g) = 2c / (p + g). An
    exact match is 1.

    Raises:
        ArgumentError: an unknown protocol, or no gold answer.
    """
    return _best(said, golds, protocol, chinese)[1]


def _best(said: str | None, golds: Sequence[str] | str, protocol: str, chinese: bool) -> tuple[float, float]:
    """(exact match, F1), each the best over the gold answers."""
    one_of("protocol", protocol, PROTOCOLS)
    golds = (golds,) if isinstance(golds, str) else golds
    if not golds:
        raise ArgumentError("golds must hold at least one gold answer; got none")
    if said is None:
        return 0.0, 0.0
    score = _score_published if protocol == "faithful" else _score
    scores = [score(said[:MAX_CHARS], gold[:MAX_CHARS], chinese) for gold in golds]
    exact = max(exact for exact, _ in scores)
    return exact, 1.0 if exact else max(overlap for _, overlap in scores)


# As published.


def _normalise_published(text: str, chinese: bool) -> str:
    text = text.lower().translate(_ASCII_AND_CHINESE if chinese else _ASCII)
    if chinese and _CHINESE_PUBLISHED.search(text):
        return text.replace(" ", "")
    return " ".join(_ARTICLES.sub(" ", text).split())


def _score_published(said: str, gold: str, chinese: bool) -> tuple[float, float]:
    said, gold = _normalise_published(said, chinese), _normalise_published(gold, chinese)
    characters = chinese and (_CHINESE_PUBLISHED.search(said) or _CHINESE_PUBLISHED.search(gold))
    ours, theirs = (list(said), list(gold)) if characters else (said.split(), gold.split())
    common = len(set(ours) & set(theirs))
    return float(said == gold), 2.0 * common / (len(ours) + len(theirs)) if common else 0.0


# Ours.


def _score(said: str, gold: str, chinese: bool) -> tuple[float, float]:
    characters = chinese and (_CHINESE.search(said) is not None or _CHINESE.search(gold) is not None)
    said, gold = _normalise(said, characters), _normalise(gold, characters)
    exact = float(bool(said) and said == gold)
    if said in _ALONE or gold in _ALONE:
        return exact, exact
    ours, theirs = (Counter(said), Counter(gold)) if characters else (Counter(said.split()), Counter(gold.split()))
    common = (ours & theirs).total()
    return exact, 2.0 * common / (ours.total() + theirs.total()) if common else 0.0


def _normalise(text: str, characters: bool) -> str:
    text = _WRITTEN_BREAK.sub(" ", text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _stream_safe(text.translate(_MINUS)))[:MAX_CHARS]
        # Folding a case may undo a composition.
        text = unicodedata.normalize("NFKC", text.casefold())[:MAX_CHARS]
    else:
        text = text.lower()
    kept = {m.start() for m in _KEPT.finditer(text)}
    bare = "".join([c for i, c in enumerate(text) if i in kept or not _is_punctuation(c)])
    text = bare if bare.strip() else text
    if characters:
        return "".join(text.split())
    bare = _ARTICLES.sub(" ", text)
    return " ".join((bare if bare.strip() else text).split())


@lru_cache(maxsize=1 << 16)
def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def _stream_safe(text: str) -> str:
    """At most 30 combining marks in a row (Unicode Standard Annex 15, stream-safe text): sorting longer runs of them
    takes time quadratic in their length."""
    safe, run = [], 0
    for c in text:
        run = run + 1 if unicodedata.combining(c) else 0
        if run <= 30:
            safe.append(c)
    return "".join(safe)
