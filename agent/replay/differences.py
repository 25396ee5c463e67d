"""Where a record and its repetition differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..types import Segment, Trajectory

SHOWN = 160  # characters of a value
SAMPLING = ("temperature", "banned_ids", "max_tokens", "seed", "weight_version", "stop_reason")


@dataclass(frozen=True)
class Tolerance:
    """How far numbers may be apart: not at all, unless they were worked out on another machine."""

    relative: float = 0.0
    absolute: float = 0.0

    def same(self, recorded: Any, again: Any) -> bool:
        """Whether two values are equal: numbers to the bit, a number that is none to another; the sign of 0 counts."""
        if isinstance(recorded, bool | str | None) or not isinstance(recorded, int | float):
            return type(recorded) is type(again) and bool(recorded == again)
        if isinstance(again, bool) or not isinstance(again, int | float):
            return False
        if math.isnan(recorded) or math.isnan(again):
            return math.isnan(recorded) and math.isnan(again)
        if self.absolute:
            return math.isclose(recorded, again, rel_tol=self.relative, abs_tol=self.absolute)
        return recorded == again and math.copysign(1.0, recorded) == math.copysign(1.0, again)


EXACT = Tolerance()
OTHER_MACHINE = Tolerance(1e-4, 1e-5)


@dataclass(frozen=True)
class Difference:
    """One difference of a step, in words of the record.

    Attributes:
        part: "episodes", "rewards", "advantages" or "losses".
        what: That differs, such as "observation, token 3".
        recorded: What the record says.
        again: What came out now.
        trajectory: Its number in the step's file, from 0; None where it is of no single one.
        turn: From 0; None where it is of no single turn.
        where: Whose trajectory it is, if not one of the step's own.
    """

    part: str
    what: str
    recorded: Any
    again: Any
    trajectory: int | None = None
    turn: int | None = None
    where: str = ""

    def __str__(self) -> str:
        place = [] if self.trajectory is None else [f"{self.where}trajectory {self.trajectory}"]
        place += [] if self.turn is None else [f"turn {self.turn}"]
        told = ", ".join([self.part, *place, self.what])
        return f"{told}: recorded {_shown(self.recorded)}, now {_shown(self.again)}"


def trajectory_differences(
    recorded: Trajectory, again: Trajectory, index: int, where: str = ""
) -> Iterator[Difference]:
    """What differs between a recorded episode and the one that was played with its actions, in the order in which it
    happened."""

    def found(what: str, old: Any, new: Any, turn: int | None = None) -> Difference:
        return Difference("episodes", what, old, new, index, turn, where)

    for name in ("env_id", "task", "seed"):
        if getattr(recorded, name) != getattr(again, name):
            yield found(name, getattr(recorded, name), getattr(again, name))
    for number in range(max(len(recorded.rows), len(again.rows))):
        old = recorded.rows[number].segments if number < len(recorded.rows) else ()
        new = again.rows[number].segments if number < len(again.rows) else ()
        for place in range(max(len(old), len(new))):
            if place >= len(new):
                yield found(f"{old[place].kind} of row {number}", "there", "the episode was over", old[place].turn)
            elif place >= len(old):
                yield found(f"{new[place].kind} of row {number}", "the episode was over", "there", new[place].turn)
            else:
                for what, before, after in _segment_differences(old[place], new[place]):
                    yield found(what, before, after, old[place].turn)
    for name in ("end", "reason", "score"):
        before, after = getattr(recorded.outcome, name), getattr(again.outcome, name)
        if not EXACT.same(before, after):
            yield found(f"outcome, {name}", before, after)
    for kind in ("rewards", "metrics", "tags"):
        for what, before, after in mapping_differences(getattr(recorded, kind), getattr(again, kind)):
            yield found(f"{kind}, {what}", before, after)


def mapping_differences(
    recorded: Mapping[str, Any], again: Mapping[str, Any], tolerance: Tolerance = EXACT
) -> Iterator[tuple[str, Any, Any]]:
    """(name, recorded, now) of each entry that differs or is on one side alone."""
    for name in dict.fromkeys((*recorded, *again)):
        before, after = recorded.get(name, "nothing"), again.get(name, "nothing")
        if not tolerance.same(before, after):
            yield name, before, after


def _segment_differences(old: Segment, new: Segment) -> Iterator[tuple[str, Any, Any]]:
    kind = old.kind
    if new.kind != kind:
        yield "kind of segment", kind, new.kind
        return
    if old.turn != new.turn:
        yield f"{kind}, turn", old.turn, new.turn
    if len(old.images) != len(new.images):
        yield f"{kind}, number of pictures", len(old.images), len(new.images)
    for number, (before, after) in enumerate(zip(old.images, new.images, strict=False)):
        for name in ("sha256", "grid", "start", "length"):
            if getattr(before, name) != getattr(after, name):
                yield f"{kind}, picture {number}, {name}", getattr(before, name), getattr(after, name)
    yield from _first_of(f"{kind}, token", old.token_ids, new.token_ids)
    if kind != "action":
        return
    if not EXACT.same(old.reward, new.reward):
        yield "reward", old.reward, new.reward
    if old.sampling is not None and new.sampling is not None:
        for name in SAMPLING:
            before, after = getattr(old.sampling, name), getattr(new.sampling, name)
            if before != after:
                yield f"sampling, {name}", before, after


def _first_of(what: str, old: Sequence[int], new: Sequence[int]) -> Iterator[tuple[str, Any, Any]]:
    """The first place at which two sequences differ."""
    for place, (before, after) in enumerate(zip(old, new, strict=False)):
        if before != after:
            yield f"{what} {place}", before, after
            return
    if len(old) != len(new):
        yield f"{what} {min(len(old), len(new))}", f"{len(old)} tokens", f"{len(new)} tokens"


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
