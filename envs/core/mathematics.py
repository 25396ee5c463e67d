"""Answers compared as mathematics: 3/2 is 1.5, 3 sqrt(2) is sqrt(18), 30 degrees is 30.

What counts as the same value:

exact     equal as mathematics: fractions, decimals, radicals, pi, and what math-verify proves equal.
rounded   if the gold answer is written as a decimal number with d places, whatever rounds to it: at most half a unit of
          its last place away. If it is not, a decimal with at least six places that rounds the gold answer rightly.
units     are dropped when only one side has one; two different ones are never the same (12 cm is not 12 m; nothing is
          converted). A percentage is hundredths: 50% is 0.5.
one value "5 or 6", "5, 6" and "x=5=6" are no answer, whichever is right.

Most answers are products of numbers, roots and pi, and are compared here, exactly (`exact`). The rest goes to
math-verify in a process that can be killed (`computer_algebra`): it may hang, eat memory, and does not work in threads.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec

from .computer_algebra import agree
from .errors import MissingExtraError
from .exact import MAX_CHARS, Exact, Reading, read

LONG_DECIMAL = 6  # places from which on a decimal stands for an irrational number
MAX_NESTING = 24  # of brackets in an expression

_BRACE = re.compile(r"\\boxed\s*\{|\\[{}]|[{}]")
_SAFE = re.compile(r"[-0-9A-Za-z+*/^_.!(){}\[\]\\ ]*")
_TWO_NUMBERS = re.compile(r"[0-9.] +[0-9.]")
_WORD = re.compile(r"\\?[A-Za-z]+")
_FUNCTIONS = ("frac", "sqrt", "pi", "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "log", "ln")
_COMMANDS = frozenset("\\" + name for name in (*_FUNCTIONS, "exp", "cdot", "times", "div"))


def require() -> None:
    """Raise if answers that need computer algebra could not be compared here.

    Raises:
        MissingExtraError: math-verify is not installed.
    """
    if find_spec("math_verify") is None:
        raise MissingExtraError(
            "comparing answers as mathematics needs math-verify, which is not installed: "
            "pip install 'rllava-gym[geometry]'"
        )


def boxed(text: str) -> str | None:
    r"""What the last complete `\boxed{...}` of a text holds (braces balanced, `\{` and `\}` being no braces), or None.

    One pass, whatever the text. Of nested boxes the outermost counts.
    """
    opened: list[int] = []  # for every open brace, where its content begins if it is a box's, else -1
    found: tuple[int, int] | None = None
    for match in _BRACE.finditer(text):
        token = match[0]
        if token == "{" or len(token) > 2:
            opened.append(-1 if token == "{" else match.end())
        elif token == "}" and opened:
            start = opened.pop()
            if start >= 0:
                found = (start, match.start())
    return None if found is None else text[found[0] : found[1]]


def same_value(said: str, gold: str) -> float:
    """1.0 if `said` and `gold` are the same value (see the module), else 0.0.

    Any text may be said. Longer ones than 512 characters are no answer; one that takes more than two seconds of
    computing or too much memory is none either. The same pair is compared once.

    Raises:
        MissingExtraError: the pair needs math-verify, which is not installed (`require` says so beforehand).
        ComputerAlgebraError: the process that compares could not be started or was stopped from outside; no answer is
            to blame for that.
    """
    said = said.strip()
    if not said or len(said) > MAX_CHARS or len(gold) > MAX_CHARS:
        return 0.0
    inner = boxed(said)
    mine, theirs = read(said if inner is None else inner.strip()), read(gold.strip())
    if mine.unit and theirs.unit and mine.unit != theirs.unit:
        return 0.0
    if mine.value is not None and theirs.value is not None:
        return float(_same_exactly(mine.value, theirs.value))
    if mine.text == theirs.text:
        return float(bool(mine.text))
    return float(_may_be_value(mine, theirs) and _same_symbolically(mine.text, theirs.text, _places(theirs)))


def _same_exactly(said: Exact, gold: Exact) -> bool:
    if said.same(gold):
        return True
    if gold.places:
        return said.within(gold, gold.places)
    return said.places is not None and said.places >= LONG_DECIMAL and gold.within(said, said.places)


def _places(gold: Reading) -> int | None:
    return None if gold.value is None else gold.value.places


def _may_be_value(said: Reading, gold: Reading) -> bool:
    """Whether computer algebra is worth asking: one balanced expression without words or letters that gold lacks."""
    if not said.text or not _SAFE.fullmatch(said.text) or _TWO_NUMBERS.search(said.text) or _deep(said.text):
        return False
    letters = set(_WORD.findall(gold.text))
    return all(word in _COMMANDS or (len(word) == 1 and word in letters) for word in _WORD.findall(said.text))


def _deep(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character in "({[") - (character in ")}]")
        if not 0 <= depth <= MAX_NESTING:
            return True
    return depth != 0


@lru_cache(maxsize=8192)
def _same_symbolically(said: str, gold: str, places: int | None) -> bool:
    require()
    return agree(said, gold, places)
