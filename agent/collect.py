"""A step's episodes: groups of siblings, replaced where they say nothing, and greedy episodes as a baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain, count

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .config import Config
from .failures import NO_BASELINE, Tally, dropped, tally, wait_out, without_lonely
from .objective.shaping import zero_variance
from .parts import Parts
from .roles.reward import scores_and_validity, term_scores
from .rollout.episode import Budget, EpisodeSpec
from .seeds import derive_seed, generator
from .types import Trajectory, TrajectoryGroup


@dataclass(frozen=True, eq=False)
class Collected:
    """`siblings`: the group of each trajectory. `greedy`: the episode of each group's task that was played without
    chance; `greedy_scores`: its score for each trajectory, 0 where it failed. `failures`: of all episodes that were
    played for the step.
    """

    trajectories: list[Trajectory]
    siblings: Int[Tensor, " trajectories"]
    greedy_scores: Float[Tensor, " trajectories"] | None
    metrics: dict[str, float]
    failures: Tally
    greedy: list[Trajectory] | None = None


def collect_or_wait(
    config: Config, parts: Parts, step: int, warn: Callable[[str], None], stop: Callable[[], bool]
) -> Collected | None:
    """The episodes of a step, played again after a pause while too many of them fail at the infrastructure: the same
    tasks with the same dice, so that an outage that was waited out leaves no trace. None if `stop` says so meanwhile.

    Raises:
        OutageError: the infrastructure stayed down. Nothing was learned from the step.
    """
    for tries in count(1):
        collected = collect(config, parts, step)
        if collected.failures.share <= config.failures.max_share:
            return replace(collected, metrics={**collected.metrics, "failed/pauses": tries - 1.0})
        parts.renderer.forget()  # what was seen before the pause
        wait_out(config.failures, collected.failures, tries, step + 1, warn, stop)
        if stop():
            return None
    raise AssertionError("there is always another try, or an error")


def collect(config: Config, parts: Parts, step: int) -> Collected:
    """The episodes of a step.

    A group whose scores are all equal is replaced by one of another task, for as many rounds as the recipe allows; what
    is still without variance then stays. Source: dynamic sampling, DAPO (arXiv 2503.14476), section 3.2. A group of
    which the infrastructure left fewer than two, or not the greedy episode that is its baseline, is dropped: its
    trajectories are there and not valid.
    """
    groups = rollout(config, parts, step)
    played = [trajectory for group in groups for trajectory in group.trajectories]
    replaced = 0
    for attempt in range(1, config.algorithm.selection.resample_rounds + 1):
        equal = [place for place, group in enumerate(groups) if _says_nothing(group)]
        if not equal:
            break
        replaced += len(equal)
        for place, group in zip(equal, rollout(config, parts, step, equal, attempt), strict=True):
            groups[place] = group
            played += group.trajectories
    metrics = {"resampled": replaced / len(groups)} if config.algorithm.selection.resample_rounds else {}
    groups, alone, greedy_scores = [without_lonely(group) for group in groups], None, None
    if parts.algorithm.needs_greedy:
        alone, greedy_scores = _greedy(config, parts, groups)
        groups = [group if t.valid else dropped(group, NO_BASELINE) for group, t in zip(groups, alone, strict=True)]
        played += alone
    failures = tally(played, parts.vlm.processor.decode)
    metrics |= failures.metrics
    metrics["failed/groups"] = float(sum(not any(t.valid for t in group.trajectories) for group in groups))
    trajectories = list(chain.from_iterable(group.trajectories for group in groups))
    sizes = torch.tensor([len(group.trajectories) for group in groups], dtype=torch.long)
    siblings = torch.arange(len(groups)).repeat_interleave(sizes)
    return Collected(trajectories, siblings, greedy_scores, metrics, failures, alone)


def rollout(
    config: Config, parts: Parts, step: int, places: list[int] | None = None, attempt: int = 0
) -> list[TrajectoryGroup]:
    """`prompts_per_step` tasks, `group_size` episodes of each; or other tasks for these places of the step. Each
    process plays those of its own places, and knows all."""
    size = config.rollout.group_size
    wanted = list(range(config.rollout.prompts_per_step)) if places is None else places
    specs = specs_of(config, parts, step, wanted, attempt)
    trajectories = parts.driver("train").run(specs, budget(config, config.rollout.temperature))
    groups = [TrajectoryGroup(tuple(trajectories[i : i + size])) for i in range(0, len(trajectories), size)]
    shares = [iter(share) for share in parts.ranks.gathered(groups)]
    return [next(shares[prompt % parts.ranks.size]) for prompt in wanted]


def reset_ahead(config: Config, parts: Parts, step: int) -> None:
    """Reset the environments of a step's episodes meanwhile."""
    specs = specs_of(config, parts, step, list(range(config.rollout.prompts_per_step)), 0)
    parts.driver("train").begin(specs, budget(config, config.rollout.temperature))


def specs_of(config: Config, parts: Parts, step: int, places: list[int], attempt: int) -> list[EpisodeSpec]:
    """The episodes that this process plays."""
    sizes, seed = config.rollout, config.run.seed
    specs = []
    for prompt in [place for place in places if place % parts.ranks.size == parts.ranks.rank]:
        coordinates = (step, prompt, attempt) if attempt else (step, prompt)
        reset_seed = derive_seed(seed, "task", *coordinates)
        task = None
        if parts.train_tasks is not None:
            task = int(generator(seed, "task", *coordinates).integers(parts.train_tasks))
        specs += [
            EpisodeSpec(task, reset_seed, derive_seed(seed, "sample", *coordinates, sibling))
            for sibling in range(sizes.group_size)
        ]
    return specs


def budget(config: Config, temperature: float) -> Budget:
    """What an episode may use."""
    sizes = config.rollout
    return Budget(temperature, sizes.max_turn_tokens, sizes.max_row_tokens, sizes.max_turns, sizes.max_episode_tokens)


def _says_nothing(group: TrajectoryGroup) -> bool:
    scores, valid = scores_and_validity(group.trajectories)
    return bool(zero_variance(scores, torch.zeros(len(scores), dtype=torch.long), valid)[0])


def _greedy(
    config: Config, parts: Parts, groups: list[TrajectoryGroup]
) -> tuple[list[Trajectory], Float[Tensor, " trajectories"]]:
    """The greedy episode of each group's task, and its score for each of the group's trajectories."""
    firsts = [group.trajectories[0] for group in groups]
    specs = [EpisodeSpec(first.task, first.seed, 0) for first in firsts]
    played = parts.ranks.spread(parts.driver("train").run(parts.ranks.mine(specs), budget(config, 0.0)))
    sizes = torch.tensor([len(group.trajectories) for group in groups])
    return played, greedy_scores_of(parts, played).repeat_interleave(sizes)


def greedy_scores_of(parts: Parts, played: list[Trajectory]) -> Float[Tensor, " groups"]:
    """The scores of greedy episodes, with the recipe's terms; 0 for those that failed."""
    scores, _ = scores_and_validity(played)
    for added in term_scores(parts.terms, played, parts.vlm.processor.decode).values():
        scores = scores + added
    return scores
