"""A few trajectories of a step as text and pictures, for people who watch a run.

What an environment or a policy wrote may be anything. Here it becomes plain text without control characters, and
`as_code` gives it to those who read Markdown as a block of code, of which no line can break out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from PIL import Image

from ..model.processor import ProcessedImage
from ..report.tokens import visible
from ..types import Row, Segment, Trajectory

SAMPLES = 4
CHARACTERS = 20_000  # of one trajectory
LINE = 2_000
PICTURES = 8  # of one trajectory
LONGEST_SIDE = 448

Decode = Callable[[tuple[int, ...]], str]


@dataclass(frozen=True, eq=False)
class Sample:
    """One trajectory.

    Attributes:
        task: The number of its task; None where the environment was reset by seed alone.
        text: Prompt, turns and observations in order, plain; pictures are named by their numbers.
        images: Each (height, width, 3) uint8, at most 448 pixels a side, in the order of their numbers.
        reward: The score; None where the infrastructure broke the episode.
        advantage: Of the whole trajectory, or the mean of its tokens'.
        end: How it ended, with the reason.
    """

    task: int | None
    seed: int
    text: str
    images: tuple[np.ndarray, ...]
    reward: float | None
    advantage: float | None
    end: str

    @property
    def headline(self) -> str:
        """One line that says what this is."""
        reward = "none" if self.reward is None else f"{self.reward:.3f}"
        advantage = "none" if self.advantage is None else f"{self.advantage:+.3f}"
        return f"task {self.task}, seed {self.seed}: reward {reward}, advantage {advantage}, {self.end}"


def samples_of(
    trajectories: Sequence[Trajectory],
    pixels: Callable[[str], ProcessedImage],
    decode: Decode,
    extra: Sequence[Mapping[str, Any]],
) -> list[Sample]:
    """Best and worst sibling of the first groups whose scores differ, then of the others; `SAMPLES` at most.

    Args:
        trajectories: Of one step, siblings beside each other.
        pixels: The picture with a given hash.
        decode: What token ids say.
        extra: Of each trajectory its "advantage", or the "advantages" of its tokens.
    """
    groups: list[list[int]] = []
    for _, group in groupby(range(len(trajectories)), key=lambda i: (trajectories[i].task, trajectories[i].seed)):
        scored = sorted(
            group, key=lambda i: (trajectories[i].outcome.score is not None, trajectories[i].outcome.score or 0)
        )
        groups.append([scored[-1], scored[0]] if len(scored) > 1 else scored)
    telling = [g for g in groups if len({trajectories[i].outcome.score for i in g}) > 1]
    chosen = [i for group in [*telling, *(g for g in groups if g not in telling)] for i in group][:SAMPLES]
    return [_sample(trajectories[i], pixels, decode, extra[i]) for i in chosen]


def as_code(text: str) -> str:
    """Text as a block of code in Markdown: every line is indented, and nothing in it but "\\n" begins a line."""
    lines = [visible(line, LINE) for line in text.split("\n")]
    return "\n".join(f"    {line}" for line in lines)


def _sample(
    trajectory: Trajectory, pixels: Callable[[str], ProcessedImage], decode: Decode, extra: Mapping[str, Any]
) -> Sample:
    numbers: dict[str, int] = {}
    for row in trajectory.rows:
        for span in row.images:
            numbers.setdefault(span.sha256, len(numbers) + 1)
    rows = [_row_text(row, decode, numbers) for row in trajectory.rows]
    text = "\n\n(a new row: the context begins anew)\n\n".join(rows)
    if len(text) > CHARACTERS:
        text = f"{text[:CHARACTERS]}\n(shortened from {len(text):,} characters; the recorded rollouts have all)"
    of_tokens = extra.get("advantages")
    advantage = sum(of_tokens) / len(of_tokens) if of_tokens else extra.get("advantage")
    outcome = trajectory.outcome
    end = visible(f"{outcome.end}: {outcome.reason}" if outcome.reason else outcome.end)
    images = tuple(_small(pixels(sha256).original) for sha256 in list(numbers)[:PICTURES])
    return Sample(trajectory.task, trajectory.seed, text, images, outcome.score, advantage, end)


def _row_text(row: Row, decode: Decode, numbers: Mapping[str, int]) -> str:
    parts = []
    for segment in row.segments:
        title = segment.kind if segment.kind == "prompt" else f"{segment.kind}, turn {segment.turn}"
        told = "" if segment.reward is None else f" (reward {segment.reward:.3f})"
        lines = [visible(line, LINE) for line in _text(segment, decode, numbers).split("\n")]
        parts.append("\n".join([f"[{title}{told}]", *lines]))
    return "\n\n".join(parts)


def _text(segment: Segment, decode: Decode, numbers: Mapping[str, int]) -> str:
    """What a segment says, with a picture's number in the place of its tokens."""
    said, position = [], 0
    for span in segment.images:
        said += [decode(segment.token_ids[position : span.start]), f"⟨image {numbers[span.sha256]}⟩"]
        position = span.start + span.length
    return "".join([*said, decode(segment.token_ids[position:])])


def _small(array: np.ndarray) -> np.ndarray:
    """At most `LONGEST_SIDE` pixels a side."""
    if max(array.shape[:2]) <= LONGEST_SIDE:
        return array
    image = Image.fromarray(array)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return np.asarray(image)
