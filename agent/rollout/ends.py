"""How episodes and turns ended, as shares: the metrics of a step that say where its budget was too small.

end/terminated        of the episodes: an answer was given
end/truncated         of the episodes: cut off, for whatever reason
end/truncated/REASON  of the episodes: "turns", "context" (the next observation and a whole turn do not fit in the
                      row), "tokens" (the episode's own are used up), or what the environment says
end/failed            of the episodes: the infrastructure broke
stop/length           of the sampled turns: cut at their limit of tokens
turns                 an episode
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ..types import Trajectory

_NAME = re.compile(r"[\w-]{1,32}")


def ends(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Shares in [0, 1] and a mean, see the top of the file; all but the reasons are always there.

    An environment may give any text as its reason. One that is not a short word counts as "other": a metric needs a
    name that comes again.
    """
    found = Counter(trajectory.outcome.end for trajectory in trajectories)
    reasons = Counter(_name(t.outcome.reason) for t in trajectories if t.outcome.end == "truncated")
    actions = [action for trajectory in trajectories for action in trajectory.actions]
    sampled = [action.sampling for action in actions if action.sampling is not None]
    count = max(1, len(trajectories))
    return {
        "end/terminated": found["terminated"] / count,
        "end/truncated": found["truncated"] / count,
        **{f"end/truncated/{name}": number / count for name, number in sorted(reasons.items())},
        "end/failed": found["failed"] / count,
        "stop/length": sum(sampling.stop_reason == "length" for sampling in sampled) / max(1, len(sampled)),
        "turns": len(actions) / count,
    }


def _name(reason: str) -> str:
    return reason if _NAME.fullmatch(reason) else "other"
