"""Write a run's picture and page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .curve import draw_learning_curve
from .folders import Folder, read_run
from .page import render_page
from .tokens import Decode

if TYPE_CHECKING:  # a run's directory has trackers, which say what a report says
    from ..run_directory import RunDirectory


def write_report(directory: RunDirectory, report: Mapping[str, Any], decode: Decode) -> None:
    """Write `learning_curve.png` (where there is something to draw) and `report.html`.

    Args:
        report: What report.json will hold.
        decode: What token ids say; tokens are shown one by one.
    """
    draw_learning_curve(directory.metrics(), report, directory.path / "learning_curve.png")
    write_page(directory.path / "report.html", [(read_run(directory.path, report), decode)])


def write_page(path: Path, folders: Sequence[tuple[Folder, Decode | None]]) -> None:
    """Write the page, whole or not at all."""
    page = render_page(folders)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(page, encoding="utf-8", errors="replace")
    partial.replace(path)
