"""The formal language of Inter-GPS: predicates, and expressions at their leaves.

    form       = NAME "(" argument { "," argument } ")"
    argument   = form | expression

A NAME begins with a capital letter and has at least two: `LengthOf(Line(A, B))`. An expression is any other text with
balanced brackets: a point `A`, a placeholder `$1`, a number, `2x^{2}-10`, `x+\\frac{10}{3}`. It is kept as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_CHARS = 2048
MAX_DEPTH = 16

_NAME = re.compile(r"\s*([A-Z][A-Za-z]+)\s*\(", re.ASCII)
_PLAIN = re.compile(r"[^(){}\[\],]*")
_CLOSER = {"(": ")", "{": "}", "[": "]"}


class LogicFormError(ValueError):
    """A text that is no logic form. The message says what was expected, and where (counted from 1)."""


@dataclass(frozen=True)
class Form:
    """A predicate and its arguments: forms, or the text of expressions."""

    name: str
    args: tuple[Form | str, ...]

    def __str__(self) -> str:
        return f"{self.name}({','.join(map(str, self.args))})"

    def names(self, count: int) -> tuple[str, ...] | None:
        """The arguments if they are `count` expressions, else None."""
        texts = tuple(arg for arg in self.args if isinstance(arg, str))
        return texts if len(texts) == len(self.args) == count else None


def parse(text: str) -> Form | str:
    """Read one logic form; a text without a predicate is an expression.

    Raises:
        LogicFormError: brackets do not match, or something is empty, too long or too deep.
    """
    if len(text) > MAX_CHARS:
        raise LogicFormError(f"a logic form has at most {MAX_CHARS} characters; this has {len(text)}")
    form, end = _argument(text, 0, 0)
    if end < len(text):
        raise LogicFormError(f"expected the end at character {end + 1}; got {text[end:][:20]!r}")
    return form


def _argument(text: str, start: int, depth: int) -> tuple[Form | str, int]:
    if depth > MAX_DEPTH:
        raise LogicFormError(f"predicates are nested more than {MAX_DEPTH} deep at character {start + 1}")
    head = _NAME.match(text, start)
    if head is None:
        return _expression(text, start)
    args: list[Form | str] = []
    at = head.end()
    while True:
        arg, at = _argument(text, at, depth + 1)
        args.append(arg)
        if at == len(text):
            raise LogicFormError(f"expected ',' or ')' at the end: the predicate {head[1]} is never closed")
        at += 1
        if text[at - 1] == ")":
            break
    while at < len(text) and text[at] == " ":
        at += 1
    if at < len(text) and text[at] not in ",)":
        raise LogicFormError(f"expected ',' or ')' after {head[1]}(...) at character {at + 1}; got {text[at:][:20]!r}")
    return Form(head[1], tuple(args)), at


def _expression(text: str, start: int) -> tuple[str, int]:
    """Up to a comma or closing bracket outside all brackets of the expression."""
    at, awaited = start, ""
    while True:
        at = _PLAIN.match(text, at).end()  # type: ignore[union-attr]  # it matches the empty text too
        if at == len(text):
            break
        character = text[at]
        if character in _CLOSER:
            awaited += _CLOSER[character]
        elif awaited and character != ",":
            if character != awaited[-1]:
                raise LogicFormError(f"expected {awaited[-1]!r} at character {at + 1}; got {character!r}")
            awaited = awaited[:-1]
        elif not awaited:
            if character in ",)":
                break
            raise LogicFormError(f"{character!r} at character {at + 1} closes nothing")
        at += 1
    if awaited:
        raise LogicFormError(f"expected {awaited[-1]!r} at the end")
    expression = text[start:at].strip()
    if not expression:
        raise LogicFormError(f"expected a predicate or an expression at character {start + 1}; got nothing")
    return expression, at
