"""Write a run's picture and page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .curve import draw_learning_curve
from .page import render_page
from .tokens import Decode

if TYPE_CHECKING:  # a run's directory has trackers, which say what a report says
    from ..run_directory import RunDirectory


def write_report(directory: RunDirectory, report: Mapping[str, Any], decode: Decode) -> None:
    """Write `learning_curve.png` (where there is something to draw) and `report.html`.

    Args:
        report: What report.json holds.
        decode: What token ids say; tokens are shown one by one.
    """
    metrics = directory.metrics()
    draw_learning_curve(metrics, report, directory.path / "learning_curve.png")
    page = render_page(directory.path, metrics, report, decode)
    partial = directory.path / ".report.html.partial"
    partial.write_text(page, encoding="utf-8", errors="replace")
    partial.replace(directory.path / "report.html")
