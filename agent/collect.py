"""A step's episodes: groups of siblings, replaced where they say nothing, and greedy episodes as a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .config import Config
from .objective.shaping import zero_variance
from .parts import Parts
from .roles.reward import scores_and_validity, term_scores
from .rollout.episode import Budget, EpisodeSpec
from .seeds import derive_seed, generator
from .types import Trajectory, TrajectoryGroup


@dataclass(frozen=True, eq=False)
class Collected:
    """`siblings`: the group of each trajectory. `greedy_scores`: of each trajectory's task, played without chance."""

    trajectories: list[Trajectory]
    siblings: Int[Tensor, " trajectories"]
    greedy_scores: Float[Tensor, " trajectories"] | None
    metrics: dict[str, float]


def collect(config: Config, parts: Parts, step: int) -> Collected:
    """The episodes of a step.

    A group whose scores are all equal is replaced by one of another task, for as many rounds as the recipe allows; what
    is still without variance then stays. Source: dynamic sampling, DAPO (arXiv 2503.14476), section 3.2. Where a greedy
    baseline is asked for and the greedy episode broke, its group is left out.
    """
    groups = rollout(config, parts, step)
    replaced = 0
    for attempt in range(1, config.algorithm.selection.resample_rounds + 1):
        equal = [place for place, group in enumerate(groups) if _says_nothing(group)]
        if not equal:
            break
        replaced += len(equal)
        for place, group in zip(equal, rollout(config, parts, step, equal, attempt), strict=True):
            groups[place] = group
    metrics = {"resampled": replaced / len(groups)} if config.algorithm.selection.resample_rounds else {}
    greedy = None
    if parts.algorithm.needs_greedy:
        groups, greedy = _with_greedy(config, parts, groups)
    trajectories = list(chain.from_iterable(group.trajectories for group in groups))
    sizes = torch.tensor([len(group.trajectories) for group in groups], dtype=torch.long)
    siblings = torch.arange(len(groups)).repeat_interleave(sizes)
    return Collected(trajectories, siblings, greedy, metrics)


def rollout(
    config: Config, parts: Parts, step: int, places: list[int] | None = None, attempt: int = 0
) -> list[TrajectoryGroup]:
    """`prompts_per_step` tasks, `group_size` episodes of each; or other tasks for these places of the step."""
    sizes, seed = config.rollout, config.run.seed
    specs = []
    for prompt in range(sizes.prompts_per_step) if places is None else places:
        coordinates = (step, prompt, attempt) if attempt else (step, prompt)
        reset_seed = derive_seed(seed, "task", *coordinates)
        task = None
        if parts.train_tasks is not None:
            task = int(generator(seed, "task", *coordinates).integers(parts.train_tasks))
        specs += [
            EpisodeSpec(task, reset_seed, derive_seed(seed, "sample", *coordinates, sibling))
            for sibling in range(sizes.group_size)
        ]
    trajectories = parts.driver("train").run(specs, budget(config, sizes.temperature))
    size = sizes.group_size
    return [TrajectoryGroup(tuple(trajectories[i : i + size])) for i in range(0, len(trajectories), size)]


def budget(config: Config, temperature: float) -> Budget:
    """What an episode may use."""
    sizes = config.rollout
    return Budget(temperature, sizes.max_turn_tokens, sizes.max_row_tokens, sizes.max_turns)


def _says_nothing(group: TrajectoryGroup) -> bool:
    scores, valid = scores_and_validity(group.trajectories)
    return bool(zero_variance(scores, torch.zeros(len(scores), dtype=torch.long), valid)[0])


def _with_greedy(
    config: Config, parts: Parts, groups: list[TrajectoryGroup]
) -> tuple[list[TrajectoryGroup], Float[Tensor, " trajectories"]]:
    firsts = [group.trajectories[0] for group in groups]
    specs = [EpisodeSpec(first.task, first.seed, 0) for first in firsts]
    played = parts.driver("train").run(specs, budget(config, 0.0))
    scores, valid = scores_and_validity(played)
    for added in term_scores(parts.terms, played, parts.vlm.processor.decode).values():
        scores = scores + added
    kept = [(group, score) for group, score, ok in zip(groups, scores.tolist(), valid.tolist(), strict=True) if ok]
    return [group for group, _ in kept], torch.tensor([score for group, score in kept for _ in group.trajectories])
