"""Weights & Biases. `WANDB_MODE`, `WANDB_ENTITY` and the like mean what they always do; without a login or a network
the run is kept in its folder, from where `wandb sync` uploads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from .results import result_numbers
from .samples import Sample

INIT_SECONDS = 30
FINISH_SECONDS = 60
COLUMNS = ("task", "seed", "reward", "advantage", "end", "trajectory")


class WandB:
    """A run of Weights & Biases.

    Args:
        folder: Of the run; files go to `wandb/` in it unless WANDB_DIR names another place.
        identity: The id that a continued run has too.
        warn: Told if the run is kept offline although that was not asked for.

    Raises:
        Exception: whatever wandb raises where not even that is possible.
    """

    def __init__(
        self,
        folder: Path,
        project: str,
        name: str,
        identity: str,
        config: Mapping[str, Any],
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        def begin(**options: Any) -> Any:
            return wandb.init(
                project=project,
                name=name,
                id=identity,
                resume="allow",
                dir=os.environ.get("WANDB_DIR") or str(folder),
                config=dict(config),
                reinit="create_new",
                settings=wandb.Settings(
                    silent=True, console="off", init_timeout=INIT_SECONDS, finish_timeout=FINISH_SECONDS
                ),
                **options,
            )

        try:
            if wandb.setup().settings.mode == "online" and not wandb.login(prompt=False):
                raise wandb.UsageError("no login; `wandb login` makes one")
            self._run = begin()
        except Exception as error:
            warn(f"it is kept in {folder / 'wandb'}, and `wandb sync` uploads it from there ({error})")
            self._run = begin(mode="offline")
        # Steps by a metric of their own: wandb's must never fall, and a run that was cut off goes back to a checkpoint.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """All metrics of a step at once."""
        self._run.log({"step": step, **metrics})

    def trajectories(self, step: int, samples: Sequence[Sample]) -> None:
        """A table "samples", one row a trajectory, and its pictures as "pictures"."""
        count = max((len(s.images) for s in samples), default=0)
        # A column a picture: of a list of pictures in one cell, wandb keeps none.
        table = wandb.Table(columns=[*COLUMNS, *(f"image {i + 1}" for i in range(count))])
        for s in samples:
            images = [wandb.Image(image) for image in s.images] + [None] * (count - len(s.images))
            table.add_data(s.task, s.seed, s.reward, s.advantage, s.end, s.text, *images)
        # A table's pictures wait outside of the run's folder until they are uploaded; these are in it.
        pictures = [wandb.Image(image, caption=s.headline) for s in samples for image in s.images]
        self._run.log({"step": step, "samples": table, "pictures": pictures})

    def report(self, report: Mapping[str, Any]) -> None:
        """The summary's `test/...`, and the rows as a table "results"."""
        self._run.summary.update(result_numbers(report))
        rows = [*report.get("rows", ()), *report.get("measures", ())]
        if rows:
            columns = list(rows[0])
            self._run.log({"results": wandb.Table(columns=columns, data=[[row[c] for c in columns] for row in rows])})

    def close(self) -> None:
        """Upload what is left, for a minute at most."""
        self._run.finish()
