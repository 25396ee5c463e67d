"""Trajectories as the page shows them: every value is rounded, shortened and plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from ..types import Segment, Trajectory
from .pictures import Picture, Pictures
from .tokens import Chip, Decode, chips, visible

SEGMENTS = 24
PICTURES = 8
FACTS = 16

# A trajectory by name ("before", "sibling 1"), with its advantage where one was recorded.
Named = tuple[str, Trajectory, float | None]


@dataclass(frozen=True)
class SegmentView:
    """A prompt, an action or an observation. `pictures`: those that no segment before it showed. `facts`: what is known
    of it, in words; `sampled`: what an action was drawn with."""

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
    """Episodes of one task from one seed. `shared`, `tags`: prompt and tags, where they are the same for all."""

    title: str
    place: str
    scores: str
    tags: Mapping[str, str]
    shared: SegmentView | None
    trajectories: tuple[TrajectoryView, ...]
    more: int


class Viewer:
    """Makes views.

    Args:
        limit: Chips that a task's prompt, and each of its trajectories, may take.
    """

    def __init__(self, pictures: Pictures, decode: Decode, limit: int) -> None:
        self._pictures, self._decode, self._limit = pictures, decode, limit

    def task(self, folder: str, named: Sequence[Named], more: int) -> TaskView:
        """Episodes of one task, whose pictures are in `folder`; `more` siblings are not among them."""
        first = named[0][1]
        numbers: dict[str, int] = {}
        prompts = {t.rows[0].segments[0] if t.rows else None for _, t, _ in named}
        prompt = prompts.pop() if len(prompts) == 1 else None
        shared = self._segment(folder, prompt, numbers, self._limit) if prompt else None
        scores = [number(t.outcome.score) for _, t, _ in named]
        tags = first.tags if all(t.tags == first.tags for _, t, _ in named) else {}
        return TaskView(
            f"Seed {first.seed}" if first.task is None else f"Task {first.task}",
            f"{visible(first.env_id)}, reset with seed {first.seed}",
            " → ".join(scores) if named[0][0] == "before" else ", ".join(scores),
            _facts(tags),
            shared,
            tuple(self._trajectory(folder, each, numbers, shared is not None, bool(tags)) for each in named),
            more,
        )

    def _trajectory(
        self, folder: str, named: Named, numbers: dict[str, int], prompted: bool, tagged: bool
    ) -> TrajectoryView:
        name, trajectory, advantage = named
        found = [
            (index, position, segment)
            for index, row in enumerate(trajectory.rows)
            for position, segment in enumerate(row.segments)
        ][int(prompted) :]
        left_out = max(0, len(found) - SEGMENTS)
        limit = max(16, self._limit // max(1, len(found) - left_out))
        views = []
        for index, position, segment in found[:SEGMENTS]:
            view = self._segment(folder, segment, numbers, limit, index + 1 if index and not position else 0)
            views.append(view)
        facts = {"rewards": trajectory.rewards, "measures": trajectory.metrics, "tags": trajectory.tags}
        if trajectory.metrics == trajectory.rewards:
            facts = {"rewards and measures": trajectory.rewards, "tags": trajectory.tags}
        if tagged:
            del facts["tags"]
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

    def _segment(self, folder: str, segment: Segment, numbers: dict[str, int], limit: int, row: int = 0) -> SegmentView:
        new: list[Picture] = []
        for span in segment.images:
            if span.sha256 not in numbers:
                numbers[span.sha256] = len(numbers) + 1
                if len(new) < PICTURES:
                    new.append(self._pictures.picture(folder, span.sha256, numbers[span.sha256]))
        facts = [f"{len(segment.token_ids):,} tokens"]
        if len(segment.images) > PICTURES:
            facts.append(f"{len(segment.images)} pictures, not all of them shown")
        if segment.reward is not None:
            facts.append(f"reward {number(segment.reward)}")
        if segment.logprobs:
            facts.append(f"log-probability {sum(segment.logprobs):.2f}")
        sampled: tuple[str, ...] = ()
        if (how := segment.sampling) is not None:
            facts.append({"stop": "ended by itself", "length": "cut by the token limit"}[how.stop_reason])
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
    """A score or reward, briefly; "none" where the infrastructure failed."""
    return "none" if value is None else f"{value:.3g}"


def _facts(values: Mapping[str, object]) -> dict[str, str]:
    shown = {visible(key, 60): _fact(value) for key, value in islice(values.items(), FACTS)}
    return shown | ({"and": f"{len(values) - FACTS} more"} if len(values) > FACTS else {})


def _fact(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else visible(value, 120)
