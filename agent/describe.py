"""What a practitioner looks at: the metrics of a step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from .lesson import Lesson
from .objective.advantage import group_statistics
from .rollout.ends import ends


def describe(lesson: Lesson) -> dict[str, float]:
    """Rewards with their terms, groups, lengths and ends of a step's trajectories."""
    trajectories, rewards = lesson.trajectories, lesson.rewards
    scores, valid, groups = rewards.scores, rewards.valid, lesson.episodes.groups
    _, deviation, _ = group_statistics(scores, groups, valid)
    actions = [action for trajectory in trajectories for action in trajectory.actions]
    turn_tokens = [len(action.token_ids) for action in actions]
    count = max(1, len(trajectories))
    counts = lesson.episodes.mask & valid[:, None]
    metrics = {
        "reward": float(scores[valid].mean()) if bool(valid.any()) else float("nan"),
        "group_deviation": float(deviation[valid].mean()),
        "zero_variance_groups": float((deviation[valid] == 0).float().mean()),
        "turn_tokens": sum(turn_tokens) / max(1, len(turn_tokens)),
        "episode_tokens": sum(turn_tokens) / count,
        "longest_turn": float(max(turn_tokens, default=0)),
    } | ends(trajectories)
    if bool(counts.any()):
        metrics["advantage_largest"] = float(lesson.credit.advantages[counts].abs().max())
    told = [t.rewards for t in trajectories if t.valid]  # what was told before an episode broke is no result
    for name in sorted({name for terms in told for name in terms}):
        values = [terms[name] for terms in told if name in terms]
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
