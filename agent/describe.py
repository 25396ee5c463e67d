"""What a practitioner looks at: the metrics of a step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from .lesson import Lesson
from .objective.advantage import group_statistics
from .types import Trajectory


def describe(lesson: Lesson) -> dict[str, float]:
    """Rewards with their terms, groups, lengths and ends of a step's trajectories."""
    trajectories, rewards = lesson.trajectories, lesson.rewards
    scores, valid, groups = rewards.scores, rewards.valid, lesson.episodes.groups
    _, deviation, _ = group_statistics(scores, groups, valid)
    actions = [action for trajectory in trajectories for action in trajectory.actions]
    turn_tokens = [len(action.token_ids) for action in actions]
    cut = [a for a in actions if a.sampling is not None and a.sampling.stop_reason == "length"]
    count = max(1, len(trajectories))
    counts = lesson.episodes.mask & valid[:, None]
    metrics = {
        "reward": float(scores[valid].mean()) if bool(valid.any()) else float("nan"),
        "group_deviation": float(deviation.mean()),
        "zero_variance_groups": float((deviation == 0).float().mean()),
        "turn_tokens": sum(turn_tokens) / max(1, len(turn_tokens)),
        "episode_tokens": sum(turn_tokens) / count,
        "longest_turn": float(max(turn_tokens, default=0)),
        "turns": len(actions) / count,
        "cut_turns": len(cut) / max(1, len(actions)),
        "failed": sum(not t.valid for t in trajectories) / count,
        "truncated": sum(t.outcome.end == "truncated" for t in trajectories) / count,
    }
    if bool(counts.any()):
        metrics["advantage_largest"] = float(lesson.credit.advantages[counts].abs().max())
    for reason, number in _reasons(trajectories).items():
        metrics[f"stopped/{reason}"] = number / count
    terms = {name for trajectory in trajectories for name in trajectory.rewards}
    for name in sorted(terms):
        values = [t.rewards[name] for t in trajectories if name in t.rewards]
        metrics[f"reward/{name}"] = sum(values) / len(values)
    for name, added in rewards.terms.items():
        metrics[f"reward/{name}"] = float(added[valid].mean()) if bool(valid.any()) else math.nan
    return metrics


def mean_of(pieces: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over the updates of a step; of a largest one the largest."""
    names = dict.fromkeys(name for piece in pieces for name in piece)
    found = {name: [piece[name] for piece in pieces if name in piece] for name in names}
    return {
        name: max(values) if name.endswith("largest") else sum(values) / len(values) for name, values in found.items()
    }


def peak_memory() -> float:
    """Largest memory so far in MiB: of the accelerator's allocator, where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _reasons(trajectories: Sequence[Trajectory]) -> dict[str, int]:
    """How often episodes ended for each reason. Only the kind of a reason: what failed may name anything."""
    found: dict[str, int] = {}
    for trajectory in trajectories:
        outcome = trajectory.outcome
        reason = outcome.reason if outcome.end == "truncated" and outcome.reason else outcome.end
        found[reason] = found.get(reason, 0) + 1
    return found
