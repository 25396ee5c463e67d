"""Exact answers: a rational number, perhaps times a square root, perhaps times pi; and whether a text says one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, isqrt, pi, sqrt

from ..core.mathematics import boxed, same_value


@dataclass(frozen=True)
class Value:
    """rational x sqrt(root) x pi (if `pi`), with `root` free of squares."""

    rational: Fraction
    root: int = 1
    pi: bool = False

    @property
    def plain(self) -> str:
        """As a diagram writes it: 12, 3/4, 5√2, 9π."""
        p, q = self.rational.numerator, self.rational.denominator
        return self._written(f"{p}/{q}", f"√{self.root}", "π")

    @property
    def latex(self) -> str:
        r"""As LaTeX: 12, \frac{3}{4}, 5\sqrt{2}, 9\pi."""
        p, q = self.rational.numerator, self.rational.denominator
        return self._written(f"\\frac{{{p}}}{{{q}}}", f"\\sqrt{{{self.root}}}", "\\pi")

    def _written(self, fraction: str, root: str, circle: str) -> str:
        factors = (root if self.root != 1 else "") + (circle if self.pi else "")
        if self.rational.denominator != 1:
            return fraction + factors
        return factors if factors and self.rational == 1 else f"{self.rational.numerator}{factors}"

    def __float__(self) -> float:
        return float(self.rational) * sqrt(self.root) * (pi if self.pi else 1.0)


def rational(numerator: int | Fraction, denominator: int = 1) -> Value:
    """The value numerator / denominator."""
    return Value(Fraction(numerator) / denominator)


def root_of(square: int, factor: int | Fraction = 1) -> Value:
    """factor x sqrt(square), with the largest square drawn out; `square` is at least 1."""
    outside, inside = 1, square
    for k in range(isqrt(square), 1, -1):
        if inside % (k * k) == 0:
            outside, inside = outside * k, inside // (k * k)
    return Value(Fraction(factor) * outside, inside)


def times_pi(numerator: int | Fraction, denominator: int = 1) -> Value:
    """numerator / denominator x pi."""
    return Value(Fraction(numerator) / denominator, pi=True)


_SUM = re.compile(r"\S\s*[-+\u2212\u2013]")
_PRODUCT = re.compile(r"[*\u00d7\u00b7\u22c5\u00f7]|\\(?:cdot|times|div)")
_QUOTIENT = re.compile(r"/|\\[dt]?frac")
_LOWEST = re.compile(r"([0-9]+)\s*/\s*([0-9]+)|\\[dt]?frac\s*\{\s*([0-9]+)\s*\}\s*\{\s*([0-9]+)\s*\}", re.ASCII)
MAX_ANSWER = 200  # characters; no answer needs more


def says(said: str, gold: Value) -> float:
    r"""1.0 if `said` is the value `gold`, worked out, else 0.0.

    Worked out means: no sum; and where the answer is rational no product, no root, no pi, fractions in lowest terms. So
    90 is right where "180 - 90" and "180/2" are not, which would be the question over again. A degree sign, a unit,
    dollar signs and \boxed{} around the value change nothing; 3/2, 1.5 and \frac{3}{2} are the same.
    """
    if len(said) > MAX_ANSWER:
        return 0.0
    inside = boxed(said)
    said = (said if inside is None else inside).strip()
    if said.isascii() and said.isdigit():
        return float(gold.root == 1 and not gold.pi and int(said) == gold.rational)
    if _SUM.search(said):
        return 0.0
    if gold.root == 1 and not gold.pi:
        if _PRODUCT.search(said) or "√" in said or "sqrt" in said or "π" in said or "pi" in said:
            return 0.0
        if _QUOTIENT.search(said) and not _in_lowest_terms(said):
            return 0.0
    return same_value(said, gold.latex)


def _in_lowest_terms(said: str) -> bool:
    found = list(_LOWEST.finditer(said))
    if len(found) != len(_QUOTIENT.findall(said)):
        return False
    pairs = [(int(m[1] or m[3]), int(m[2] or m[4])) for m in found if max(map(len, filter(None, m.groups()))) <= 12]
    return len(pairs) == len(found) and all(q > 1 and gcd(p, q) == 1 for p, q in pairs)
