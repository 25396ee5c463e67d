"""trackio: a local dashboard (`trackio show`), or wherever its own variables, such as TRACKIO_SPACE_ID, point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import trackio

from .results import result_lines, result_numbers
from .samples import Sample, as_code


class Trackio:
    """A run of trackio.

    Args:
        name: The run's; trackio knows runs by their names, so it must be this run's alone.
    """

    def __init__(self, project: str, name: str, config: Mapping[str, Any]) -> None:
        self._last = 0
        self._run = trackio.init(
            project=project,
            name=name,
            config=dict(config),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """All metrics of a step at once."""
        self._last = step
        self._run.log(dict(metrics), step=step)

    def trajectories(self, step: int, samples: Sequence[Sample]) -> None:
        """A table "samples", one row a trajectory; trackio reads text as Markdown."""
        rows = [
            {
                "task": s.task,
                "seed": s.seed,
                "reward": s.reward,
                "advantage": s.advantage,
                "end": as_code(s.end),
                "trajectory": as_code(s.text),
                "images": [trackio.Image(image, caption=f"image {i}") for i, image in enumerate(s.images, start=1)],
            }
            for s in samples
        ]
        self._run.log({"samples": trackio.Table(data=rows)}, step=step)

    def report(self, report: Mapping[str, Any]) -> None:
        """The results as numbers and as text."""
        results = trackio.Markdown(as_code(result_lines(report)))
        self._run.log({**result_numbers(report), "results": results}, step=self._last)

    def close(self) -> None:
        """Write what is left."""
        self._run.finish()
