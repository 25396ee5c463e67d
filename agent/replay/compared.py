"""What is recorded of a step beside its episodes, compared with what came out now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from ..types import Trajectory
from .differences import EXACT, Difference, Tolerance
from .recording import Recording
from .run_folder import Recorded

LOSSES = {"loss": "policy loss", "value_loss": "value loss"}


def field_differences(
    recorded: Sequence[Recorded], again: Sequence[Mapping[str, Any]], tolerance: Tolerance = EXACT
) -> Iterator[Difference]:
    """Of each trajectory what `recording.fields_of` says, but for the rewards."""
    fields = (("advantages", "advantage"), ("advantages", "returns"), ("losses", "trainer_logprobs"))
    for part, name in fields:
        for index, ((trajectory, record), now) in enumerate(zip(recorded, again, strict=True)):
            old, new = of_tokens(record, name, trajectory), of_tokens(now, name, trajectory)
            what = {"returns": "return", "trainer_logprobs": "trainer's log-probability"}.get(name, name)
            if (old is None) != (new is None):
                told = ["nothing" if values is None else f"{len(values)} numbers" for values in (old, new)]
                yield Difference(part, what, *told, index)
            elif old is not None and new is not None:
                yield from token_differences(part, what, old, new, trajectory, index, tolerance)


def of_tokens(record: Mapping[str, Any], name: str, trajectory: Trajectory) -> list[float | None] | None:
    """A field as one number an action token; None where it is not there. The advantage is that of all tokens, or each
    has its own."""
    if name != "advantage":
        return record.get(name)
    if "advantages" in record:
        return list(record["advantages"])
    return [record["advantage"]] * trajectory.action_count if "advantage" in record else None


def token_differences(
    part: str,
    what: str,
    old: Sequence[float | None],
    new: Sequence[float | None],
    trajectory: Trajectory,
    index: int,
    tolerance: Tolerance = EXACT,
) -> Iterator[Difference]:
    """The first action token of a trajectory whose number differs."""
    turns = [(action.turn, place) for action in trajectory.actions for place in range(len(action.token_ids))]
    if len(old) != len(new) or len(old) != len(turns):
        yield Difference(part, what, f"{len(old)} numbers", f"{len(new)} numbers, {len(turns)} action tokens", index)
        return
    for (turn, place), before, after in zip(turns, old, new, strict=True):
        if not tolerance.same(before, after):
            yield Difference(part, f"{what} of action token {place}", before, after, index, turn)
            return


def loss_differences(
    recorded: Mapping[str, Tensor], again: Recording, tolerance: Tolerance, process: int | None
) -> Iterator[Difference]:
    """Losses that differ, and what was recorded and not asked for now. `process`: of which, where there are several."""
    prefix = "" if process is None else f"process {process}, "
    for key in again.about:
        if key not in recorded:
            yield Difference("losses", prefix + in_words(key), "nothing", float(again.tensors[key]))
            continue
        old, new = recorded[key].tolist(), float(again.tensors[key])
        if not tolerance.same(old, new):
            about = ", ".join(map(str, again.about[key]))
            yield Difference("losses", f"{prefix}{in_words(key)} (trajectories {about})", old, new)
    for key in sorted(set(recorded) - set(again.tensors)):
        shape = tuple(recorded[key].shape) or (1,)
        yield Difference("losses", prefix + in_words(key), f"{shape[0]} numbers", "nothing asks for them")


def in_words(key: str) -> str:
    """A tensor's name as people say it."""
    time, name, count = key.split("/")
    when = "before the first update" if time == "before" else f"of update {time.removeprefix('update_')}"
    return f"{LOSSES.get(name, name)} {when}, micro-batch {count}"
