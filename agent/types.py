"""The token-level Markov decision process, as data.

A *trajectory* is one episode. It is a tuple of *rows*; a row is a frozen, append-only sequence of *segments*
(prompt, action, observation, action, ...), so that the tokens of turn k are a prefix of those of turn k + 1. A new row
begins only where the environment rebuilds its whole prompt. Token ids are kept *expanded*: an image takes as many
placeholder tokens as it has features, which is what the trainer is given; what the sampler is given (one placeholder an
image) is `Row.collapsed`. Text is always derived from tokens, never the other way round.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

SegmentKind = Literal["prompt", "action", "observation"]
EndKind = Literal["terminated", "truncated", "failed"]


@dataclass(frozen=True, slots=True)
class ImageSpan:
    """Where one image stands in a segment.

    `start`, `length`: the run of placeholder tokens, in the segment's expanded `token_ids`. `grid`: (frames, rows,
    columns) of patches before merging. `sha256`: of the picture's shape and bytes, the key of its pixels.
    """

    start: int
    length: int
    grid: tuple[int, int, int]
    sha256: str

    def __post_init__(self) -> None:
        if self.start < 0 or self.length < 1:
            raise ValueError(f"an image span needs start >= 0 and length >= 1, got {self.start} and {self.length}")


@dataclass(frozen=True, slots=True)
class SampledWith:
    """What an action's tokens were drawn with: enough to compute their distribution again.

    `temperature` > 0, or 0 for greedy decoding. `banned_ids` had probability 0. `seed` keys the counter-based generator
    that made the uniforms. `weight_version` counts the updates that the sampler had been given.
    """

    temperature: float
    banned_ids: tuple[int, ...]
    max_tokens: int
    seed: int
    weight_version: int
    stop_reason: Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a row. Only an action has `logprobs` (nats, one a token) and `sampling`; both are None for an action
    that was not sampled by the policy (a demonstration). `reward` is what the environment paid for the action.
    """

    kind: SegmentKind
    token_ids: tuple[int, ...]
    turn: int
    images: tuple[ImageSpan, ...] = ()
    logprobs: tuple[float, ...] | None = None
    sampling: SampledWith | None = None
    reward: float | None = None

    def __post_init__(self) -> None:
        if self.kind == "action":
            if self.images:
                raise ValueError("an action cannot hold images: the policy's actions are vocabulary tokens")
        elif self.logprobs is not None or self.sampling is not None or self.reward is not None:
            raise ValueError(f"only actions have log-probabilities, sampling and reward; this is a {self.kind}")
        if self.logprobs is not None and len(self.logprobs) != len(self.token_ids):
            raise ValueError(f"{len(self.logprobs)} log-probabilities for {len(self.token_ids)} tokens")
        end = 0
        for span in self.images:
            if span.start < end:
                raise ValueError(f"image spans overlap or are out of order at token {span.start}")
            end = span.start + span.length
        if end > len(self.token_ids):
            raise ValueError(f"an image span ends at token {end} of {len(self.token_ids)}")


@dataclass(frozen=True, slots=True)
class Row:
    """Segments that one context window holds. Frozen: `append` gives a new row that shares the old segments."""

    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        if not self.segments or self.segments[0].kind != "prompt":
            raise ValueError("a row begins with a prompt")
        for before, after in pairwise(self.segments):
            if after.kind == "prompt":
                raise ValueError("a prompt opens a row; a rebuilt prompt begins a new row")
            if (after.kind == "observation") != (before.kind == "action"):
                raise ValueError(f"{after.kind} cannot follow {before.kind}: prompt, action, observation, action, ...")
            if after.turn < before.turn:
                raise ValueError(f"turn {after.turn} cannot follow turn {before.turn}")

    def append(self, segment: Segment) -> Row:
        return Row((*self.segments, segment))

    def __len__(self) -> int:
        return sum(len(segment.token_ids) for segment in self.segments)

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The trainer's view: (length,) with every image expanded to one token a feature."""
        return tuple(token for segment in self.segments for token in segment.token_ids)

    @property
    def collapsed(self) -> tuple[int, ...]:
        """The sampler's view: the same tokens with one placeholder an image."""
        kept: list[int] = []
        for segment in self.segments:
            position = 0
            for span in segment.images:
                kept += segment.token_ids[position : span.start + 1]
                position = span.start + span.length
            kept += segment.token_ids[position:]
        return tuple(kept)

    @property
    def images(self) -> tuple[ImageSpan, ...]:
        """All spans in order, `start` counted from the beginning of the row."""
        spans, offset = [], 0
        for segment in self.segments:
            spans += [replace(span, start=span.start + offset) for span in segment.images]
            offset += len(segment.token_ids)
        return tuple(spans)

    @property
    def action_mask(self) -> tuple[bool, ...]:
        """(length,): True exactly at the tokens that the policy generated."""
        return tuple(segment.kind == "action" for segment in self.segments for _ in segment.token_ids)

    @property
    def actions(self) -> Iterator[Segment]:
        return (segment for segment in self.segments if segment.kind == "action")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an episode ended. `score`: the sum of its rewards, None when it `failed` (the infrastructure's fault: such a
    trajectory enters no mean, no deviation, no loss). `reason`: why it was truncated, or what failed.
    """

    end: EndKind
    score: float | None
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.score is None) != (self.end == "failed"):
            raise ValueError(f"a failed episode has no score and every other has one; got {self.end}, {self.score}")


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One episode. `task` is the index that the environment was reset to (None: by seed alone). The mappings are what
    the environment told in `info` at the last step: reward terms, the benchmark's measures, tags. `dropped`: why it
    counts nowhere although it has a score: those that it is compared with failed.
    """

    env_id: str
    task: int | None
    seed: int
    rows: tuple[Row, ...]
    outcome: Outcome
    rewards: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, object] = field(default_factory=dict)
    dropped: str = ""

    @property
    def valid(self) -> bool:
        """False for a trajectory that the infrastructure broke, or that was dropped with those that it broke."""
        return self.outcome.end != "failed" and not self.dropped

    @property
    def actions(self) -> Iterator[Segment]:
        return (segment for row in self.rows for segment in row.actions)

    @property
    def action_count(self) -> int:
        return sum(len(segment.token_ids) for segment in self.actions)


@dataclass(frozen=True, slots=True)
class TrajectoryGroup:
    """Siblings: trajectories of one task from one reset seed, whose scores are compared with each other."""

    trajectories: tuple[Trajectory, ...]

    def __post_init__(self) -> None:
        coordinates = {(t.env_id, t.task, t.seed) for t in self.trajectories}
        if len(coordinates) != 1:
            raise ValueError(
                f"siblings share environment, task and seed; these differ: {sorted(map(str, coordinates))}"
            )
