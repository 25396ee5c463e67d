"""Token F1 of two short answers, spelled out: lists and loops, no shared code."""

from collections.abc import Sequence
from fractions import Fraction

ARTICLES = ("a", "an", "the")


def tokens(text: str) -> list[str]:
    """Of ASCII text whose only blanks are spaces."""
    kept = ""
    for character in text.lower():
        if character.isalnum() or character == " ":
            kept += character
    return [word for word in kept.split(" ") if word not in ("", *ARTICLES)]


def squad_f1(said: str, gold: str) -> float:
    """SQuAD (arXiv 1606.05250): each token of the gold can be matched once."""
    ours, left = tokens(said), tokens(gold)
    total = len(left)
    common = 0
    for word in ours:
        if word in left:
            left.remove(word)
            common += 1
    if common == 0:
        return 0.0
    precision, recall = common / len(ours), common / total
    return 2 * precision * recall / (precision + recall)


def published_f1(said: str, gold: str) -> float:
    """As SQuAD, but a common token counts once however often it occurs; equal token lists count as 1."""
    return float(published(said, [gold], chinese=False)[0])


def published(said: str | None, golds: Sequence[str], chinese: bool) -> tuple[Fraction, int]:
    """F1 and exact match as the evaluation code of MAT-Search and, with chinese, MAT-Coding defines them, for any text,
    exactly. From the rules alone: lower case; punctuation goes; then words, or characters where a Chinese one is left
    on either side; common tokens are counted once each; precision and recall divide by the lengths of the lists; F1 and
    exact match are each the best over the golds; an exact match makes F1 one."""
    if said is None:
        return Fraction(0), 0
    best, exact = Fraction(0), 0
    for gold in golds:
        ours, theirs = _bare(said, chinese), _bare(gold, chinese)
        if chinese and (_has_chinese(ours) or _has_chinese(theirs)):
            left, right = [*_form(ours, chinese)], [*_form(theirs, chinese)]
        else:
            left, right = _words(ours), _words(theirs)
        if _form(ours, chinese) == _form(theirs, chinese):
            exact = 1
        common = sum(1 for k, token in enumerate(left) if token in right and token not in left[:k])
        if common:
            precision, recall = Fraction(common, len(left)), Fraction(common, len(right))
            best = max(best, 2 * precision * recall / (precision + recall))
    return (Fraction(1) if exact else best), exact


def _bare(text: str, chinese: bool) -> str:
    return "".join(character for character in text.lower() if not _is_punctuation(ord(character), chinese))


def _is_punctuation(code: int, chinese: bool) -> bool:
    if any(first <= code <= last for first, last in ((33, 47), (58, 64), (91, 96), (123, 126))):
        return True
    if not chinese:
        return False
    # The full-width forms of ASCII's, which lie 0xFEE0 above it; a half-width full stop; quotation marks; and the
    # ideographic comma, full stop and four kinds of brackets.
    if 0xFF01 <= code <= 0xFF5E:
        return _is_punctuation(code - 0xFEE0, False)
    return code in (0xFF61, 0x2018, 0x2019, 0x201C, 0x201D, 0x3001, 0x3002, 0x300A, 0x300B, 0x3010, 0x3011)


def _has_chinese(text: str) -> bool:
    return any(0x4E00 <= ord(character) <= 0x9FFF for character in text)


def _form(text: str, chinese: bool) -> str:
    """What exact match compares."""
    if chinese and _has_chinese(text):
        return "".join(character for character in text if character != " ")
    return " ".join(_words(text))


def _words(text: str) -> list[str]:
    """Between blanks, without articles. An article may touch what is neither letter, digit nor blank, and is taken out
    of there too."""
    words, run, word = [], "", ""
    for character in [*text, " "]:
        if character.isalnum() or character == "_":
            run += character
            continue
        if run in ARTICLES:  # a blank is left in its place
            words, word, run = [*words, word], "", ""
        word, run = word + run, ""
        if character.isspace():
            words, word = [*words, word], ""
        else:
            word += character
    return [each for each in words if each]
