"""Reading an answer: its plain form, its unit, and its exact value where that takes no computer algebra.

`plain` undoes typesetting. `read` gives the value of what most answers in geometry are: signed products and quotients
of whole numbers, decimals, square roots of rationals and pi. Such a value is kept as its sign, its square (a fraction)
and a power of pi, so that equality is exact: 3 sqrt(2) and sqrt(18) have the same square.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import isqrt
from typing import NamedTuple

MAX_CHARS = 512  # longer answers are no answers
MAX_DEPTH = 12  # of braces; deeper ones are left to computer algebra

# Fifty places: far finer than any rounding compared here.
PI = Fraction(314159265358979323846264338327950288419716939937510, 10**50)

# What a unit may be called, and its one name. Units are named, never converted.
_UNITS = {
    "degree": "degree degrees deg degs °",
    "percent": "percent %",
    "unit": "unit units",
    "mm": "mm millimeter millimeters millimetre millimetres",
    "cm": "cm centimeter centimeters centimetre centimetres",
    "m": "m meter meters metre metres",
    "km": "km kilometer kilometers kilometre kilometres",
    "in": "in inch inches",
    "ft": "ft foot feet",
    "yd": "yd yard yards",
    "mi": "mi mile miles",
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words.split()}
_WORDS = "|".join(sorted(map(re.escape, _UNIT_OF), key=len, reverse=True))
_UNIT = re.compile(
    rf"(?:(?<=[\d\s)}}.])|(?<=pi))\s*(?P<power>(?:square|sq\.?|cubic|cu\.?)\s+)?(?P<unit>{_WORDS})\s*"
    r"(?:\^\s*\{?\s*(?P<exponent>[23])\s*\}?)?\s*$",
    re.ASCII,
)

_UNICODE = str.maketrans(
    {
        "\u2212": "-", "\u2013": "-", "\u00d7": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/", "√": r"\sqrt ",
        "π": r"\pi ", "º": "°", "²": "^2", "³": "^3", "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}",
        "⅔": r"\frac{2}{3}",
        "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "≈": "=", "∠": r"\angle ", "△": r"\triangle ",
    }
)  # fmt: skip
_SPACING = re.compile(r"\\[,;:! ]|\\(?:left|right|displaystyle|limits|quad|qquad)(?![A-Za-z])|\\\$|\\[()\[\]]")
_TEXT = re.compile(r"\\(?:text|textrm|textbf|textit|mathrm|mathbf|mathit|operatorname|mbox|rm)\s*\{([^{}]*)\}")
_CIRC = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree(?![A-Za-z])")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:,|\{,\})\d{3})+(?![\d,])")
# One name on the left: "x =", "AB =", "m\angle ABC =", "\triangle", "x_1 =".
_NAME = re.compile(
    r"(?:m\s*)?(?:\\(?:angle|triangle|overline|widehat|arc)\s*)?\{?[A-Za-z][A-Za-z']{0,5}(?:_\{?\w\}?)?\}?\s*="
)
_ANGLE = re.compile(r"m?\s*\\angle\s*\d\s*=|=")
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)", re.ASCII)
_PLAIN_ROOT = re.compile(r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)")
_PLAIN_WORD = re.compile(r"(?<![\\A-Za-z])(sqrt|pi)(?![A-Za-z])")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?|\.\d+)|(?P<word>\\(?:frac|sqrt|pi|cdot|times|div)(?![A-Za-z]))|(?P<sign>[-+*/(){}]))",
    re.ASCII,
)
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_DEGREES = re.compile(r"\(?\s*(\d+(?:\.\d+)?)\s*°\s*\)?", re.ASCII)
_FRACTION = re.compile(r"(-?)\\frac\{(\d+)\}\{(\d+)\}|(-?\d+)/(\d+)", re.ASCII)
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)", re.ASCII)


class Exact(NamedTuple):
    """sign x sqrt(top / bottom) x pi**pi; `places` decimals if it was written as one decimal number, else None.

    The fraction is not reduced: comparing by cross products costs less than a greatest common divisor each time.
    """

    sign: int
    top: int
    bottom: int
    pi: int = 0
    places: int | None = None

    def times(self, other: Exact) -> Exact:
        """The product."""
        return Exact(self.sign * other.sign, self.top * other.top, self.bottom * other.bottom, self.pi + other.pi)

    def over(self, other: Exact) -> Exact:
        """The quotient; ZeroDivisionError if `other` is 0."""
        if not other.sign:
            raise ZeroDivisionError
        return Exact(self.sign * other.sign, self.top * other.bottom, self.bottom * other.top, self.pi - other.pi)

    def same(self, other: Exact) -> bool:
        """Whether the two values are equal."""
        if self.sign != other.sign or not self.sign:
            return self.sign == other.sign
        return self.pi == other.pi and self.top * other.bottom == other.top * self.bottom

    def within(self, centre: Exact, places: int) -> bool:
        """Whether the value is at most half a unit of the given decimal place away from `centre`, a fraction."""
        unit: int = 2 * 10**places
        here, there = self.ratio, centre.ratio
        if there is None:
            raise ValueError("centre must be a fraction")
        if here is not None:
            distance: int = abs(here[0] * there[1] - there[0] * here[1])
            return distance * unit <= here[1] * there[1]
        square = Fraction(self.sign * self.top, self.bottom) * PI ** (2 * self.pi)
        low, high = (Fraction(*there) + Fraction(sign, unit) for sign in (-1, 1))
        return bool(low * abs(low) <= square <= high * abs(high))

    @property
    def ratio(self) -> tuple[int, int] | None:
        """Numerator and denominator (not reduced) if the value is a fraction."""
        square = self.top * self.bottom  # sqrt(top / bottom) = sqrt(top x bottom) / bottom
        root = isqrt(square)
        return None if (self.pi and self.sign) or root * root != square else (self.sign * root, self.bottom)


@dataclass(frozen=True)
class Reading:
    """An answer: `text` without its typesetting, name and unit; `unit` or ""; `value` if it was read exactly."""

    text: str
    unit: str
    value: Exact | None


def fraction(top: int, bottom: int, places: int | None = None) -> Exact:
    """top / bottom as an exact value; bottom > 0."""
    return Exact((top > 0) - (top < 0), top * top, bottom * bottom, 0, places)


def plain(text: str) -> str:
    """An answer without typesetting: spaces, text commands, dollar signs, a name and "=", a full stop."""
    if not text.isascii():
        text = text.translate(_UNICODE)
    if "\\" in text:
        text = _TEXT.sub(r" \1 ", _SPACING.sub(" ", text))
        text = (
            text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("\\%", "%").replace("\\approx", "=")
        )
        text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", _CIRC.sub("°", text))
    text = " ".join(text.replace("$", " ").replace("~", " ").split())
    if "=" in text:
        name = _NAME.match(text) or _ANGLE.match(text)
        text = text[name.end() :] if name else text
    if "," in text:
        text = _THOUSANDS.sub(lambda m: m[0].replace("{,}", "").replace(",", ""), text)
    if "sqrt" in text or "pi" in text:
        text = _PLAIN_WORD.sub(r"\\\1 ", _PLAIN_ROOT.sub(r"\\sqrt{\1}", text))
    text = text.strip()
    return text[:-1].rstrip() if text.endswith(".") else text


@lru_cache(maxsize=8192)
def read(text: str) -> Reading:
    """Read an answer of at most MAX_CHARS characters."""
    if _NUMBER.fullmatch(text):
        return Reading(text, "", _number(text))
    simple = _FRACTION.fullmatch(text)
    if simple:
        top, bottom = (simple[4], simple[5]) if simple[5] else (simple[1] + simple[2], simple[3])
        return Reading(text, "", fraction(int(top), int(bottom)) if int(bottom) else None)
    text = plain(text)
    if "°" in text and _TRIGONOMETRY.search(text):
        text = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", text)
    unit = ""
    found = None if text[-1:].isdigit() and "^" not in text else _UNIT.search(text)
    if found:
        unit = _UNIT_OF[found["unit"]]
        power = found["exponent"] or ({"s": "2", "c": "3"}[found["power"][0]] if found["power"] else "")
        unit += f"^{power}" if power else ""
        text = text[: found.start()].rstrip()
    if unit == "percent":
        # A hundredth, whatever follows: 50% is 0.5 to exact and to symbolic comparison alike.
        value = _product(text)
        hundredth = None if value is None else Exact(value.sign, value.top, value.bottom * 10_000, value.pi)
        return Reading(rf"\frac{{{text}}}{{100}}", "", hundredth)
    return Reading(text, unit, _product(text))


def _number(text: str) -> Exact:
    whole, _, decimals = text.partition(".")
    return fraction(int(whole + decimals), 10 ** len(decimals), len(decimals) or None)


def _product(text: str) -> Exact | None:
    """The value of a product, or None: it has a form that is not read here, or none at all."""
    if _NUMBER.fullmatch(text):
        return _number(text)
    tokens: list[str] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return None
        tokens.append(match[0].strip())
        at = match.end()
    try:
        reader = _Reader(tokens)
        value = reader.product(0)
    except (_NotReadError, ZeroDivisionError):
        return None
    return value if reader.at == len(tokens) else None


class _NotReadError(Exception):
    pass


class _Reader:
    """Recursive descent over tokens. Anything unforeseen raises _NotReadError."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at = tokens, 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1] if self.at <= len(self.tokens) else ""

    def product(self, depth: int) -> Exact:
        if depth > MAX_DEPTH:
            raise _NotReadError
        sign = 1
        if self.peek() in ("-", "+"):
            sign = -1 if self.take() == "-" else 1
        start, divided = self.at, False
        value = self.factor(depth)
        while self.peek() not in ("", ")", "}"):
            operator = self.peek()
            if operator in ("*", "\\cdot", "\\times"):
                self.take()
                value = value.times(self.factor(depth))
            elif operator in ("/", "\\div"):
                self.take()
                value, divided = value.over(self.factor(depth)), True
            elif divided or operator in ("+", "-") or operator[0].isdigit() or operator[0] == ".":
                raise _NotReadError  # a sum, "2 3", or 1/2x: (1/2)x to some, 1/(2x) to others
            else:
                # "3\frac{1}{2}" is a mixed number, "3\frac{\sqrt{2}}{2}" a product.
                mixed = operator == "\\frac" and self.at == start + 1 and self.tokens[start].isdigit()
                whole, part = value, self.factor(depth)
                value = _mixed(whole, part) if mixed and part.ratio is not None else whole.times(part)
        return value._replace(sign=-value.sign) if sign < 0 else value

    def factor(self, depth: int) -> Exact:
        token = self.take()
        if token == "\\pi":
            return Exact(1, 1, 1, 1)
        if token in ("(", "{"):
            value = self.product(depth + 1)
            if self.take() != {"(": ")", "{": "}"}[token]:
                raise _NotReadError
            return value
        if token == "\\frac":
            return self.argument(depth).over(self.argument(depth))
        if token == "\\sqrt":
            inside = self.argument(depth)
            ratio = inside.ratio
            if ratio is None or ratio[0] < 0:
                raise _NotReadError
            return Exact(inside.sign, *ratio)
        if token and (token[0].isdigit() or token[0] == "."):
            return _number(token)
        raise _NotReadError

    def argument(self, depth: int) -> Exact:
        """What follows a command: a group, or one number (only of one digit is it certain what LaTeX takes)."""
        if self.peek() in ("{", "(") or (len(self.peek()) == 1 and self.peek().isdigit()):
            return self.factor(depth)
        if self.tokens[self.at - 1] == "\\sqrt" and self.peek().isdigit():
            return self.factor(depth)  # "sqrt 18" means the root of all of it to everybody who writes so
        raise _NotReadError


def _mixed(whole: Exact, part: Exact) -> Exact:
    whole_ratio, ratio = whole.ratio, part.ratio
    if whole_ratio is None or ratio is None or not 0 < ratio[0] < ratio[1]:
        raise _NotReadError
    return fraction(whole_ratio[0] * ratio[1] + ratio[0] * whole_ratio[1], whole_ratio[1] * ratio[1])
