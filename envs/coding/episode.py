"""What is remembered of an episode, and what it is worth."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ..core.actions import Action, Malformed
from ..core.spaces import Image

PROBLEMS = ("rotation90", "rotation180", "blur", "dark", "overexposure", "noise", "crop")
LABELS = (*PROBLEMS, "none")
VERBS = ("problem", "code", "answer")
MAX_KEPT = 4096  # characters of one turn that a rebuilt prompt repeats
_WORD = re.compile(r"[a-z]+[0-9]*")


@dataclass(frozen=True)
class Progress:
    """picture: the current one. written: whether a program wrote it. turns, formed: turns so far, and those in the
    strict form. programs, failed: how many were run, and how many gave no picture. named: the labels of the last
    <problem>. history: what was said and answered, for a prompt that is built anew."""

    picture: Image
    written: bool = False
    turns: int = 0
    formed: int = 0
    programs: int = 0
    failed: int = 0
    named: frozenset[str] | None = None
    history: tuple[str, ...] = ()

    def after(self, action: Action | Malformed) -> Progress:
        """One turn later."""
        return replace(self, turns=self.turns + 1, formed=self.formed + int(action.well_formed))

    def noting(self, said: str, answered: str) -> Progress:
        """With this exchange in its history."""
        return replace(self, history=(*self.history, clean(said), answered))

    @property
    def format(self) -> float:
        """The share of turns in the strict form, 0 before the first."""
        return self.formed / self.turns if self.turns else 0.0


def clean(said: str) -> str:
    """A model's text, fit to be shown again: bounded, and without what has no UTF-8 form."""
    text = said.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_KEPT else text[:MAX_KEPT] + "..."


def labels(content: str) -> frozenset[str]:
    """The labels named in the text of a <problem>; other words do not count."""
    return frozenset(_WORD.findall(content[:MAX_KEPT].lower())) & frozenset(LABELS)


def coding_reward(accuracy: float, form: float, idle: bool, format_weight: float, tool_weight: float) -> float:
    """accuracy + f (form - accuracy) - t accuracy [idle], in [0, 1] for weights f, t in [0, 0.5].

    idle: the picture needed mending and no program did it. The term multiplies accuracy: a program that leads to no
    right answer pays nothing.
    """
    return max(accuracy + format_weight * (form - accuracy) - tool_weight * (accuracy if idle else 0.0), 0.0)


def advise(named: frozenset[str]) -> str:
    """What is said to a <problem>. It tells how to go on, not whether it is right."""
    if not named:
        return f"That names no problem. The problems are: {', '.join(LABELS)}."
    if named == {"none"}:
        return "Then answer the question in <answer>."
    return "Now mend the picture with a program in <code>, or answer the question in <answer>."
