"""What a tracker takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .samples import Sample


class Tracker(Protocol):
    """Somewhere a run is shown. Steps may come a second time, after a run that was cut off continues from a checkpoint
    before them. A tracker may raise whatever it likes; `Background` keeps that from the run.
    """

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """The metrics of a step; some may not be numbers (nan)."""

    def trajectories(self, step: int, samples: Sequence[Sample]) -> None:
        """A few trajectories of a step."""

    def report(self, report: Mapping[str, Any]) -> None:
        """What report.json holds, once the run is finished."""

    def close(self) -> None:
        """Whatever is still to be written is written."""
