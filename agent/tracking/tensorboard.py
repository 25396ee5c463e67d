"""TensorBoard: scalars, sample trajectories with their pictures, the configuration and the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import scalar

from .results import result_lines
from .samples import Sample, as_code


class TensorBoard:
    """Event files in `folder`.

    Args:
        step: The steps done; numbers and pictures of later ones are forgotten. (TensorBoard keeps texts: a step that
            was done again has two.)
        config: The resolved options, shown as text.
    """

    def __init__(self, folder: Path, step: int, config: Mapping[str, Any]) -> None:
        begun = any(folder.glob("events.*"))
        self._writer = SummaryWriter(str(folder), purge_step=step + 1)
        self._last = step
        if not begun:
            self._writer.add_text(
                "config", as_code(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)), 0
            )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """A scalar for each. They are one event: each event wakes the thread that writes."""
        self._last = step
        values = [value for name, number in metrics.items() for value in scalar(name, number).value]
        assert self._writer.file_writer is not None
        self._writer.file_writer.add_summary(Summary(value=values), step)

    def trajectories(self, step: int, samples: Sequence[Sample]) -> None:
        """Text and pictures under `samples/N`."""
        for number, sample in enumerate(samples, start=1):
            self._writer.add_text(f"samples/{number}", as_code(f"{sample.headline}\n\n{sample.text}"), step)
            for index, image in enumerate(sample.images, start=1):
                self._writer.add_image(f"samples/{number}/image_{index}", image, step, dataformats="HWC")

    def report(self, report: Mapping[str, Any]) -> None:
        """The results as text."""
        self._writer.add_text("results", as_code(result_lines(report)), self._last)

    def close(self) -> None:
        """Close the event file; what a full disk does not take raises OSError."""
        self._writer.close()
