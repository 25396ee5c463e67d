"""Write a run's pictures and page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..run_directory import RunDirectory
from .curve import draw_learning_curve


def write_report(
    directory: RunDirectory, report: dict[str, Any], decode: Callable[[tuple[int, ...]], str]
) -> None:
    """Write `learning_curve.png` and `report.html`."""
    draw_learning_curve(directory.metrics(), report, directory.path / "learning_curve.png")
