"""Time and memory of a whole step over sizes, of pictures, groups, responses and turns: ours, TRL's, ours unshared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from .figures import PLAIN, has_plain, tried_rows
from .job import MICRO, Job
from .rounds import Effort

Points: TypeAlias = dict[str, list[dict[str, Any]]]
BASE = Job("step", side=224, warm=1, measured=3)  # in one round
OURS, THEIRS, OURS_PLAIN = "ours", "TRL", f"ours, {PLAIN}"


@dataclass(frozen=True)
class Axis:
    """One size, by the name of a job's field, while the others stay as in `BASE`."""

    name: str
    label: str
    values: tuple[int, ...]


AXES = (
    Axis("side", "side of a picture, pixels", (56, 112, 224, 336, 448)),
    Axis("group", "siblings of a prompt", (2, 4, 8, 16)),
    Axis("tokens", "tokens of a response", (16, 32, 64, 128)),
    Axis("turns", "turns of an episode (TRL plays one)", (1, 2, 4)),
)


def curves(effort: Effort, keep: Callable[[Points], None]) -> None:
    """Measure the curves; `keep` is given all that is known after each axis, by axis its points: {"at": size, way:
    {"seconds": .., "MiB": ..}}."""
    effort = replace(effort, rounds=1)
    known: dict[Job, dict[str, Any]] = {}
    found: Points = {}
    for axis in AXES:
        found[axis.name] = []
        for value in axis.values[:2] if effort.quick else axis.values:
            job = replace(BASE, **{axis.name: value})
            if job not in known:
                quiet = replace(effort, tell=lambda told, at=f"{axis.name} {value}": effort.tell(f"{at}: {told}"))
                known[job] = _point(quiet, job)
            found[axis.name].append({"at": value} | known[job])
        keep(found)


def _point(effort: Effort, job: Job) -> dict[str, Any]:
    tried = tried_rows(effort, replace(job, kind="trl step")) if job.turns == 1 else {}
    rows = next(iter(tried), MICRO)
    jobs = {OURS: replace(job, rows=rows)}
    if has_plain():
        jobs[OURS_PLAIN] = replace(job, rows=rows, way="plain")
    ways = effort.interleaved(jobs) | ({THEIRS: tried[rows]} if tried else {})
    return {name: {"seconds": round(of.seconds, 4), "MiB": round(of.peak, 1)} for name, of in ways.items()}


def draw(points: Mapping[str, list[dict[str, Any]]], folder: Path) -> list[str]:
    """A picture an axis, of seconds and of memory; the names of the files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for axis in AXES:
        if axis.name not in points:
            continue
        figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        for panel, measure, label in zip(
            panels, ("seconds", "MiB"), ("processor time of a step, s", "peak of memory, MiB"), strict=True
        ):
            for way, colour in ((OURS, "tab:blue"), (THEIRS, "tab:red"), (OURS_PLAIN, "tab:grey")):
                at = [point["at"] for point in points[axis.name] if way in point]
                values = [point[way][measure] for point in points[axis.name] if way in point]
                if at:
                    panel.plot(at, values, "o-", color=colour, label=way)
            panel.set(xlabel=axis.label, ylabel=label, ylim=(0, None))
            panel.grid(alpha=0.3)
            panel.spines[["top", "right"]].set_visible(False)
        panels[0].legend(frameon=False)
        names.append(f"{axis.name}.png")
        figure.savefig(folder / names[-1], dpi=110)
        plt.close(figure)
    return names
