"""Episodes that the infrastructure broke: what is dropped with them, what is counted, and when it is too much.

A broken episode is nobody's result: it has no score and enters no mean, no deviation and no loss. Where siblings are
compared, a group in which fewer than two are left is dropped whole. All of it is counted:

    failed               share of the episodes played for a step, replaced and greedy ones among them
    failed/groups        groups of the step in which nothing counts
    failed/pauses        how often the step was played again because too much failed
    failed/cause/NAME    episodes by the class of what was raised
    failed/after/ACTION  of the turns with this action, the share whose environment failed

The last says whether a policy can bring failures about: an action that fails more often than others must not be a way
out of a bad score. An action is named by the last tag in it, `search` for "<think>..</think><search>..</search>", or
"text"; "reset" stands for the beginning of an episode.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from .config import FailuresConfig
from .errors import ConfigError, OutageError, at_least
from .types import Trajectory, TrajectoryGroup

Decode = Callable[[Sequence[int]], str]

LONELY = "fewer than two siblings are left"
NO_BASELINE = "the greedy episode of its task failed"
SLICE = 0.2  # seconds between looks at whether the user wants to stop
_TAG = re.compile(r"</?([A-Za-z][\w-]{0,23})>")


@dataclass(frozen=True)
class Tally:
    """What was played for a step and what of it failed. `first`: the first cause, in the order of episodes."""

    played: int
    causes: Mapping[str, int]
    rates: Mapping[str, float]
    first: str = ""

    @property
    def failed(self) -> int:
        return sum(self.causes.values())

    @property
    def share(self) -> float:
        return self.failed / max(1, self.played)

    @property
    def metrics(self) -> dict[str, float]:
        """See the top of the file."""
        by_cause = {f"failed/cause/{name}": float(count) for name, count in self.causes.items()}
        return {"failed": self.share, **by_cause, **{f"failed/after/{name}": rate for name, rate in self.rates.items()}}

    def __str__(self) -> str:
        causes = ", ".join(f"{name} {count}" for name, count in self.causes.items())
        told = f"{causes}; the first: {self.first:.300}"
        return f"{self.failed} of {self.played} episodes failed at the infrastructure ({told})"


def tally(trajectories: Sequence[Trajectory], decode: Decode) -> Tally:
    """Count failures by cause, and by action those actions after which there were some."""
    broken = [t for t in trajectories if t.outcome.end == "failed"]
    if not broken:
        return Tally(len(trajectories), {}, {})
    causes = Counter(t.outcome.reason.partition(":")[0] for t in broken)  # the class of what was raised
    kinds = [["reset", *(action_kind(decode(action.token_ids)) for action in t.actions)] for t in trajectories]
    taken = Counter(kind for of_one in kinds for kind in of_one)
    after = Counter(of_one[-1] for of_one, t in zip(kinds, trajectories, strict=True) if t.outcome.end == "failed")
    rates = {kind: count / taken[kind] for kind, count in after.items()}
    return Tally(len(trajectories), dict(causes.most_common()), rates, broken[0].outcome.reason)


def action_kind(text: str) -> str:
    """The name of the last tag in an action, in lower case; "text" where there is none."""
    names = _TAG.findall(text)
    return names[-1].lower() if names else "text"


def without_lonely(group: TrajectoryGroup) -> TrajectoryGroup:
    """The group, dropped if fewer than two of several siblings are valid. A group of one has nobody to lose."""
    if len(group.trajectories) == 1 or sum(t.valid for t in group.trajectories) > 1:
        return group
    return dropped(group, LONELY)


def dropped(group: TrajectoryGroup, why: str) -> TrajectoryGroup:
    """The group with none of its trajectories valid: they keep their scores, which count nowhere."""
    return TrajectoryGroup(tuple(replace(t, dropped=why) if t.valid else t for t in group.trajectories))


def check(options: FailuresConfig) -> None:
    """Raises ConfigError for a value that is not allowed."""
    at_least(("failures.retries", options.retries, 0), ("failures.wait", options.wait, 0.0))
    if not 0.0 <= options.max_share <= 1.0:
        raise ConfigError(f"failures.max_share: must be a share from 0 to 1, got {options.max_share}")


def wait_out(
    options: FailuresConfig, found: Tally, tries: int, step: int, warn: Callable[[str], None], stop: Callable[[], bool]
) -> None:
    """Pause before step `step` (1 is the first) is played again, after `tries` times in which too much failed. The
    pause ends early when `stop` says so.

    Raises:
        OutageError: it was played as often as `failures.retries` allows.
    """
    if tries > options.retries:
        raise OutageError(
            f"step {step}: {found}. That is more than failures.max_share={options.max_share:g}, and playing the step "
            f"again {options.retries} times did not help. Nothing was learned from it. Once the service works, the "
            f"same command continues with step {step}"
        )
    seconds = options.wait * 2.0 ** (tries - 1)
    warn(
        f"step {step}: {found}. Nothing is learned from them; the step is played again in {seconds:g} s "
        f"({tries} of {options.retries})"
    )
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not stop():
        time.sleep(min(left, SLICE))
