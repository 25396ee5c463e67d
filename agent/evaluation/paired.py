"""Scores of two policies on the same tasks: how likely a difference as large as theirs is by chance alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

import numpy as np

from ..seeds import generator

EXACT = 16  # tasks with a difference up to which every way of exchanging is gone through: at most 2^16
DRAWS = 99_999  # beyond: 1/100,000 is then the smallest value
_CHUNK = 4_000_000  # signs drawn at once, a byte each
_TIE = 1e-9  # of the sum of all sizes: sums that are equal differ by rounding where they are taken in another order


def paired_p_value(before: Sequence[float | None], after: Sequence[float | None]) -> float:
    """Two-sided p-value of the paired difference, by sign flips: how often the sum of differences is at least as far
    from 0 as it is, when on each task it is left to a coin which of the two scores was whose.

    Exact with up to 16 tasks whose scores differ (the others change nothing). With more, 99,999 random flips, always
    the same ones, and p = (1 + those as far from 0) / 100,000, so that it is never 0.

    Sources: Fisher, The Design of Experiments (1935), section 21; for the 1 that is added, Phipson and Smyth,
    Permutation p-values should never be zero, Stat. Appl. Genet. Mol. Biol. 9 (2010), article 39.

    Args:
        before: Scores of one policy; None for a task that has no score.
        after: Scores of the other, of the same tasks in the same order. A task without a score on either side is left
            out.

    Returns:
        In (0, 1]; 1 where no score differs, or none is left; not a number where one of the scores is not.

    Raises:
        ValueError: the two are not equally long.
    """
    if len(before) != len(after):
        raise ValueError(f"paired scores need the same tasks, got {len(before)} and {len(after)}")
    pairs = [(b, a) for b, a in zip(before, after, strict=True) if b is not None and a is not None]
    differences = np.array([a - b for b, a in pairs if a != b], dtype=np.float64)
    if not np.isfinite(differences).all():
        return float("nan")
    found = abs(fsum(differences)) - _TIE * fsum(np.abs(differences))
    if len(differences) <= EXACT:
        return float(np.mean(np.abs(_every_sum(differences)) >= found))
    return (1 + _as_far(differences, found)) / (1 + DRAWS)


def _every_sum(differences: np.ndarray) -> np.ndarray:
    """(2^n,) the sum under each choice of signs."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums


def _as_far(differences: np.ndarray, found: float) -> int:
    """Of `DRAWS` random choices of signs, how many have a sum as far from 0 as `found`."""
    dice, count, left = generator("sign flips"), 0, DRAWS
    while left:
        rows = min(left, max(1, _CHUNK // len(differences)))
        signs = dice.integers(0, 2, size=(rows, len(differences)), dtype=np.int8)
        sums = 2.0 * (signs @ differences) - differences.sum()
        count += int((np.abs(sums) >= found).sum())
        left -= rows
    return count
