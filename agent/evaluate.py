"""A policy on numbered tasks of a split, as a run tests it; means with 95% intervals. `agent.evaluation` does more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .engine.ranks import ALONE, Ranks
from .errors import ConfigError
from .rollout.environments import EnvironmentPool, optional
from .rollout.episode import Budget, EpisodeSpec
from .rollout.episodes import EpisodeDriver
from .seeds import derive_seed, generator
from .types import Trajectory

RESAMPLES = 2000


@dataclass(frozen=True)
class Result:
    """One row of a table: a metric's mean over episodes, with the bounds of its 95% bootstrap interval."""

    name: str
    env_id: str
    decoding: str
    metric: str
    value: float
    low: float
    high: float
    episodes: int
    seed: int


def evaluation_tasks(pool: EnvironmentPool, episodes: int) -> list[tuple[int | None, int]]:
    """(task, reset seed) of each episode: the split's first tasks, or seeds where an environment has no numbered tasks.

    Raises:
        ConfigError: the split has fewer tasks than episodes are asked for.
    """
    count = task_count(pool)
    if count is None:
        return [(None, derive_seed("evaluation", i)) for i in range(episodes)]
    if episodes > count:
        raise ConfigError(
            f"{pool.spec.id}: {episodes} evaluation episodes were asked for, the split has {count} tasks; "
            "lower evaluation.validation_episodes or evaluation.test_episodes"
        )
    return [(i, derive_seed("evaluation", i)) for i in range(episodes)]


def task_count(pool: EnvironmentPool) -> int | None:
    """Numbered tasks of the pool's split, or None where the environment does not number them."""
    count = optional(pool.sample, "num_tasks")
    if count is None:
        return None
    return int(count(pool.spec.kwargs["split"]) if "split" in pool.spec.kwargs else count())


def episode_spec(index: int, task: int | None, seed: int, sample: int = 0) -> EpisodeSpec:
    """The episode at a place of a split: its world and its dice. Every sample of a task sees the same world, and the
    first one's dice do not depend on how many there are."""
    dice = derive_seed(seed, "evaluation", index, *([sample] if sample else []))
    return EpisodeSpec(task, derive_seed("evaluation", index), dice)


def evaluate_policy(
    driver: EpisodeDriver,
    episodes: int,
    budget: Budget,
    seed: int,
    on_finished: Callable[[Trajectory], None] = lambda trajectory: None,
    ranks: Ranks = ALONE,
) -> list[Trajectory]:
    """One episode of each task, with dice that depend on the seed and the task alone; each process plays its share."""
    tasks = evaluation_tasks(driver.pool, episodes)
    specs = [episode_spec(index, task, seed) for index, (task, _) in enumerate(tasks)]
    return ranks.spread(driver.run(ranks.mine(specs), budget, on_finished))


def primary_metric(pool: EnvironmentPool) -> str | None:
    """The measure that the environment is judged by, or None: then by the sum of rewards."""
    metric = optional(pool.sample, "primary_metric")
    return None if metric is None else str(metric)


def scores_of(trajectories: Sequence[Trajectory], metric: str | None) -> list[float]:
    """The metric of each episode. One that ended without the measure (truncated before an answer) scores 0; one that
    the infrastructure broke is left out."""
    return [score for score in task_scores(trajectories, metric) if score is not None]


def task_scores(trajectories: Sequence[Trajectory], metric: str | None) -> list[float | None]:
    """As `scores_of`, with None where the infrastructure broke an episode, so that tasks keep their places."""
    return [_score(trajectory, metric) if trajectory.valid else None for trajectory in trajectories]


def _score(trajectory: Trajectory, metric: str | None) -> float:
    return float(trajectory.outcome.score or 0.0) if metric is None else float(trajectory.metrics.get(metric, 0.0))


def summarise(
    name: str, env_id: str, decoding: str, metric: str | None, scores: Sequence[float | None], seed: int
) -> Result:
    """A row of a table; episodes that the infrastructure broke (None) are left out and not counted."""
    scores = [score for score in scores if score is not None]
    low, high = bootstrap_interval(scores)
    mean = float(np.mean(scores)) if len(scores) else float("nan")
    return Result(name, env_id, decoding, metric or "return", mean, low, high, len(scores), seed)


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """95% percentile bootstrap interval of the mean (2,000 resamples, always the same ones).

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    if not len(values):
        return float("nan"), float("nan")
    data = np.asarray(values, dtype=np.float64)
    draws = generator("bootstrap").integers(0, len(data), size=(RESAMPLES, len(data)))
    low, high = np.percentile(data[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def paired_difference(before: Sequence[float | None], after: Sequence[float | None]) -> tuple[float, float, float]:
    """Mean and 95% interval of after - before over the same tasks in the same order; a task that has no score (None,
    see `task_scores`) on either side is left out."""
    if len(before) != len(after):
        raise ValueError(f"paired scores need the same tasks, got {len(before)} and {len(after)}")
    pairs = [(b, a) for b, a in zip(before, after, strict=True) if b is not None and a is not None]
    difference = [a - b for b, a in pairs]
    mean = float(np.mean(difference)) if pairs else float("nan")
    return (mean, *bootstrap_interval(difference))
