"""Invented names: pronounceable, drawn from syllables, and no two of a world alike."""

from __future__ import annotations

import numpy as np

_SYLLABLES = "b br d dr f g gl gr h k kl kr l m n p pl pr r s sk st t tr v vr z / a e i o u ai ei au"
_ONSETS, _VOWELS = (part.split() for part in _SYLLABLES.split("/"))
_CODAS = ["", "", "", "l", "n", "r", "s", "lm", "nd", "rn", "sk", "th"]
_LETTERS = "bdfgklmnprstvz"
_PLAIN = frozenset("aeiou")


class Names:
    """A source of names that gives none twice. The same generator gives the same names."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._given: set[str] = set()

    def word(self, syllables: int, ending: str = "") -> str:
        """A new name of so many syllables, capitalised."""
        while True:
            parts = []
            for k in range(syllables):
                last = k == syllables - 1 and not ending
                parts += [self._pick(_ONSETS), self._pick(_VOWELS[:5] if k else _VOWELS)]
                parts.append(self._pick(_CODAS) if last or self._rng.random() < 0.25 else "")
            name = ("".join(parts) + ending).capitalize()
            # Three consonants in a row between syllables are hard to say.
            if len(name) <= 11 and not _crowded(name) and self._new(name):
                return name

    def like(self, name: str) -> str:
        """A new name that differs from `name` in one letter, not the first: what a careless reader confuses with it."""
        while True:
            at = 1 + int(self._rng.integers(len(name) - 1))
            letters = "aeiou" if name[at] in _PLAIN else _LETTERS
            other = name[:at] + letters[int(self._rng.integers(len(letters)))] + name[at + 1 :]
            if not _crowded(other) and self._new(other):
                return other
            if self._rng.random() < 0.02:
                return self.word(3)  # everything near is taken

    def _new(self, name: str) -> bool:
        fresh = name.lower() not in self._given
        self._given.add(name.lower())
        return fresh

    def _pick(self, parts: list[str]) -> str:
        return parts[int(self._rng.integers(len(parts)))]


def _crowded(name: str) -> bool:
    run = 0
    for letter in name.lower():
        run = 0 if letter in _PLAIN else run + 1
        if run > 3:
            return True
    return False
