"""Combinations that training never shows, so that generalisation to them can be measured.

Two attributes with m and n values make m x n pairs. A fixed fifth of them is held out, spread so that every value of
either attribute still occurs in pairs that are not: what is new at the test is the combination, never a value.
"""

COMBINATIONS = ("all", "seen", "unseen")  # every keyword argument `combinations` takes one of these


def unseen(first: int, second: int) -> bool:
    """Whether the pair of these two indices (from 0) is held out: one in five of each row and of each column."""
    return (first + 2 * second) % 5 == 4


def allowed(combinations: str, first: int, second: int) -> bool:
    """Whether a pair may be used: any with "all", the held-out ones with "unseen", the others with "seen"."""
    return combinations == "all" or (combinations == "unseen") == unseen(first, second)
