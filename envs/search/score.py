"""What an episode of searches and an answer is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Progress:
    """What has happened so far: turns, those in the strict form, searches, and the ids of needed passages shown."""

    turns: int = 0
    formed: int = 0
    searches: int = 0
    found: frozenset[str] = frozenset()

    def after(self, well_formed: bool) -> Progress:
        """One turn later."""
        return replace(self, turns=self.turns + 1, formed=self.formed + int(well_formed))

    @property
    def format(self) -> float:
        """The share of turns in the strict form, 0 before the first."""
        return self.formed / self.turns if self.turns else 0.0


def searching_reward(accuracy: float, progress: Progress, format_weight: float, tool_weight: float) -> float:
    """accuracy + f (format - accuracy) - t accuracy [nothing was searched], in [0, 1] for weights f, t in [0, 0.5].

    The term for the tool multiplies accuracy: a search that leads to no right answer pays nothing.
    """
    idle = accuracy if progress.searches == 0 else 0.0
    return max(accuracy + format_weight * (progress.format - accuracy) - tool_weight * idle, 0.0)
