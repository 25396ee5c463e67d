"""Which trajectories of a run the page shows: the same test tasks before and after training, and siblings of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from ..records import read_trajectories
from ..types import Trajectory
from .pictures import Pictures
from .tokens import Decode
from .views import Named, TaskView, Viewer

TRAJECTORIES = 48
PAIRS = 12
GROUPS = 2
SIBLINGS = 8
CHIPS = 20_000  # about 70 bytes each
PICTURE_BYTES = 1_000_000


@dataclass(frozen=True)
class Section:
    """Tasks under one heading. `file`: where the rest of them is, relative to the page."""

    title: str
    explanation: str
    file: str
    tasks: tuple[TaskView, ...]


@dataclass(frozen=True)
class _Chosen:
    title: str
    explanation: str
    file: str
    tasks: Sequence[tuple[Sequence[Named], int]]


def sections(run: Path, decode: Decode) -> tuple[Section, ...]:
    """Every section that the run has records for; together at most `TRAJECTORIES` trajectories."""
    groups = _rollouts(run)
    shown = sum(len(named) for section in groups for named, _ in section.tasks)
    chosen = [section for section in [*_tested(run, min(PAIRS, (TRAJECTORIES - shown) // 2)), *groups] if section.tasks]
    count = sum(len(named) + 1 for section in chosen for named, _ in section.tasks)
    show = Viewer(Pictures(run, PICTURE_BYTES), decode, CHIPS // max(1, count))
    return tuple(
        Section(
            section.title,
            section.explanation,
            section.file,
            tuple(show.task(section.file.partition("/")[0], named, more) for named, more in section.tasks),
        )
        for section in chosen
    )


def _tested(run: Path, limit: int) -> list[_Chosen]:
    """The first tasks of the test, greedily decoded where that was recorded."""
    files = {path.name: path for path in sorted((run / "evaluations").glob("*.jsonl"))}
    decodings = [name.removeprefix("before_").removesuffix(".jsonl") for name in files if name.startswith("before_")]
    if not decodings:
        return []
    decoding = "greedy" if "greedy" in decodings else decodings[0]
    before = list(islice(read_trajectories(files[f"before_{decoding}.jsonl"]), limit))
    path = files.get(f"after_{decoding}.jsonl")
    after = {_coordinates(t): t for t, _ in read_trajectories(path)} if path else {}
    tasks = []
    for trajectory, _ in before:
        named: list[Named] = [("before", trajectory, None)]
        if (other := after.get(_coordinates(trajectory))) is not None:
            named.append(("after", other, None))
        tasks.append((named, 0))
    title = "Before and after" if after else "Before training"
    text = f"The first {len(tasks)} test tasks in order, not selected; {decoding} decoding, same task and same seed."
    return [_Chosen(title, text, f"evaluations/before_{decoding}.jsonl", tasks)]


def _rollouts(run: Path) -> list[_Chosen]:
    """Groups of the first and of the last recorded training step."""
    files = sorted((run / "rollouts").glob("step_*.jsonl"))
    sections = []
    for path in dict.fromkeys([*files[:1], *files[-1:]]):
        step = path.stem.removeprefix("step_").lstrip("0") or "0"
        tasks = [(named[:SIBLINGS], max(0, len(named) - SIBLINGS)) for named in _groups(path)]
        text = (
            f"Siblings: episodes of one task from one seed, sampled in training step {step}. Their scores are "
            "compared with each other, and the advantage says what follows: above 0, the tokens of that sibling are "
            "made more likely; below 0, less. The first groups are shown, those whose scores differ before others."
        )
        sections.append(_Chosen(f"Training step {step}", text, f"rollouts/{path.name}", tasks))
    return sections


def _groups(path: Path) -> list[list[Named]]:
    """The first groups whose scores differ; if there are too few, the first of the others too."""
    telling: list[list[Named]] = []
    others: list[list[Named]] = []
    for _, group in groupby(read_trajectories(path), key=lambda pair: _coordinates(pair[0])):
        named = [(f"sibling {i}", t, _advantage(record)) for i, (t, record) in enumerate(group)]
        scores = {t.outcome.score for _, t, _ in named if t.valid}
        (telling if len(scores) > 1 else others).append(named)
        if len(telling) == GROUPS:
            break
        del others[GROUPS:]
    return [*telling, *others][:GROUPS]


def _advantage(record: dict[str, Any]) -> float | None:
    """Of the whole trajectory; where each token has its own, their mean."""
    of_tokens = record.get("advantages")
    return sum(of_tokens) / len(of_tokens) if of_tokens else record.get("advantage")


def _coordinates(trajectory: Trajectory) -> tuple[str, int | None, int]:
    return trajectory.env_id, trajectory.task, trajectory.seed
