"""Sample trajectories of a run, chosen and turned into what the page shows: the same test tasks before and after training,
and siblings of a training step side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from ..records import read_trajectories
from ..types import Segment, Trajectory
from .pictures import Picture, Pictures
from .tokens import Chip, Decode, chips, visible

TRAJECTORIES = 48
PAIRS = 12
GROUPS = 2
SIBLINGS = 8
CHIPS = 24_000
PICTURE_BYTES = 1_000_000
SEGMENTS = 24
FACTS = 16

# A trajectory by name ("before", "sibling 1"), with its advantage where one was recorded.
Named = tuple[str, Trajectory, float | None]


@dataclass(frozen=True)
class SegmentView:
    """A prompt, an action or an observation. `facts`: what is known of it, in words; `row`: its number where a
    trajectory has several, and the segment opens one."""

    kind: str
    title: str
    chips: tuple[Chip, ...]
    pictures: tuple[Picture, ...]
    facts: tuple[str, ...]
    sampled: tuple[str, ...]


@dataclass(frozen=True)
class TrajectoryView:
    """One episode. `direction`: "up", "down" or "flat", as its advantage."""

    name: str
    score: str
    advantage: str
    direction: str
    end: str
    reason: str
    segments: tuple[SegmentView, ...]
    left_out: int
    facts: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class TaskView:
    """Episodes of one task from one seed. `shared`: the prompt, where it is the same for all."""

    title: str
    seed: str
    scores: str
    pictures: tuple[Picture, ...]
    shared: SegmentView | None
    trajectories: tuple[TrajectoryView, ...]
    more: int


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
    show = _Show(Pictures(run, PICTURE_BYTES), decode, CHIPS // max(1, count))
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
            f"Siblings: episodes of one task from one seed, sampled in training step {step}. Their scores are compared with each "
            "other, and the advantage says what follows: tokens of a sibling above 0 are made more likely, below 0 less. "
            "Shown: the first groups whose scores differ."
        )
        sections.append(_Chosen(f"Training step {step}", text, f"rollouts/{path.name}", tasks))
    return sections


def _groups(path: Path) -> list[list[Named]]:
    """The first groups whose scores differ; if there are too few, the first of the others too."""
    telling: list[list[Named]] = []
    others: list[list[Named]] = []
    for _, group in groupby(read_trajectories(path), key=lambda pair: _coordinates(pair[0])):
        named = [(f"sibling {i}", t, record.get("advantage")) for i, (t, record) in enumerate(group)]
        scores = {t.outcome.score for _, t, _ in named if t.valid}
        (telling if len(scores) > 1 else others).append(named)
        if len(telling) == GROUPS:
            break
        del others[GROUPS:]
    return [*telling, *others][:GROUPS]


def _coordinates(trajectory: Trajectory) -> tuple[str, int | None, int]:
    return trajectory.env_id, trajectory.task, trajectory.seed


class _Show:
    """Makes views. `limit`: chips that one trajectory may take."""

    def __init__(self, pictures: Pictures, decode: Decode, limit: int) -> None:
        self._pictures, self._decode, self._limit = pictures, decode, limit

    def task(self, folder: str, named: Sequence[Named], more: int) -> TaskView:
        first = named[0][1]
        numbers: dict[str, int] = {}
        prompts = {t.rows[0].segments[0] if t.rows else None for _, t, _ in named}
        prompt = prompts.pop() if len(prompts) == 1 else None
        shared = self._segment(folder, prompt, numbers, self._limit) if prompt else None
        scores = [number(t.outcome.score) for _, t, _ in named]
        place = "no task number" if first.task is None else f"task {first.task}"
        return TaskView(
            f"{visible(first.env_id)}, {place}",
            str(first.seed),
            " → ".join(scores) if named[0][0] == "before" else ", ".join(scores),
            shared.pictures if shared else (),
            shared,
            tuple(self._trajectory(folder, *each, numbers, skip=bool(shared)) for each in named),
            more,
        )

    def _trajectory(
        self, folder: str, name: str, trajectory: Trajectory, advantage: float | None, numbers: dict[str, int], skip: bool
    ) -> TrajectoryView:
        found = [
            (index, position, segment)
            for index, row in enumerate(trajectory.rows)
            for position, segment in enumerate(row.segments)
        ][int(skip) :]
        left_out = max(0, len(found) - SEGMENTS)
        limit = max(16, self._limit // max(1, len(found) - left_out))
        views = []
        for index, position, segment in found[:SEGMENTS]:
            view = self._segment(folder, segment, numbers, limit, index + 1 if index and not position else 0)
            views.append(view)
        facts = {"rewards": trajectory.rewards, "measures": trajectory.metrics, "tags": trajectory.tags}
        outcome = trajectory.outcome
        return TrajectoryView(
            name,
            number(outcome.score),
            "" if advantage is None or not trajectory.valid else f"{advantage:+.2f}",
            "" if advantage is None else "up" if advantage > 0 else "down" if advantage < 0 else "flat",
            outcome.end,
            visible(outcome.reason, 400),
            tuple(views),
            left_out,
            {what: _facts(values) for what, values in facts.items() if values},
        )

    def _segment(
        self, folder: str, segment: Segment, numbers: dict[str, int], limit: int, row: int = 0
    ) -> SegmentView:
        new = []
        for span in segment.images:
            if span.sha256 not in numbers:
                numbers[span.sha256] = len(numbers) + 1
                new.append(self._pictures.picture(folder, span.sha256, numbers[span.sha256]))
        facts = [f"{len(segment.token_ids):,} tokens"]
        if segment.reward is not None:
            facts.append(f"reward {number(segment.reward)}")
        if segment.logprobs:
            facts.append(f"log-probability {sum(segment.logprobs):.2f} in all")
        sampled: tuple[str, ...] = ()
        if (how := segment.sampling) is not None:
            facts.append({"stop": "stopped by itself", "length": "cut by the token limit"}[how.stop_reason])
            greedy = " (greedy)" if how.temperature == 0 else ""
            sampled = (
                f"temperature {how.temperature:g}{greedy}",
                f"at most {how.max_tokens} tokens",
                f"{len(how.banned_ids)} token ids banned",
                f"weights after {how.weight_version} updates",
                f"seed {how.seed}",
            )
        title = f"{segment.kind}, turn {segment.turn}" + (f", context {row} begins" if row else "")
        return SegmentView(
            segment.kind, title, chips(segment, self._decode, limit, numbers), tuple(new), tuple(facts), sampled
        )


def number(value: float | None) -> str:
    """A score or reward, briefly; "no score" where the infrastructure failed."""
    return "no score" if value is None else f"{value:.3g}"


def _facts(values: Mapping[str, object]) -> dict[str, str]:
    shown = {visible(key, 60): _fact(value) for key, value in islice(values.items(), FACTS)}
    return shown | ({"and": f"{len(values) - FACTS} more"} if len(values) > FACTS else {})


def _fact(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else visible(value, 120)
