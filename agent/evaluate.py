"""Evaluation: a policy, or a baseline, on numbered tasks of a split; means with 95% intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .engine.ranks import ALONE, Ranks
from .errors import ConfigError, EnvironmentFault, is_outage
from .rollout.environments import EnvironmentPool, optional
from .rollout.episode import Budget, EpisodeSpec
from .rollout.episodes import EpisodeDriver
from .seeds import derive_seed, generator
from .types import Trajectory

RESAMPLES = 2000
BASELINE_TURNS = 256  # a baseline never gives up by itself; an environment without a limit of turns would never end


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
    specs = [EpisodeSpec(task, reset, derive_seed(seed, "evaluation", i)) for i, (task, reset) in enumerate(tasks)]
    return ranks.spread(driver.run(ranks.mine(specs), budget, on_finished))


def evaluate_baseline(pool: EnvironmentPool, name: str, episodes: int, seed: int) -> list[float | None] | None:
    """Scores of the environment's expert ("oracle") or of one of its baselines; None where it does not provide it, and
    None for an episode that the infrastructure broke.

    Raises:
        EnvironmentFault: the environment raised.
    """
    env = pool.take()
    try:
        if not _provides(env, name):
            return None
        metric = primary_metric(pool)
        scores: list[float | None] = []
        for index, (task, reset) in enumerate(evaluation_tasks(pool, episodes)):
            dice = generator(seed, "baseline", name, index)
            try:
                scores.append(_play(env, task, reset, name, dice, metric))
            except Exception as error:
                if not is_outage(error):
                    raise EnvironmentFault(
                        f"{pool.spec.id} (task {task}, seed {reset}), played by {name!r}: "
                        f"{type(error).__name__}: {error}"
                    ) from error
                scores.append(None)
        return scores
    finally:
        pool.give_back(env)


def _provides(env: Any, name: str) -> bool:
    """Whether the environment has this baseline: one that it does not know is a ValueError by its contract."""
    if optional(env, "solve" if name == "oracle" else "baseline") is None:
        return False
    if name != "oracle":
        env.reset(seed=0)
        try:
            optional(env, "baseline")(name, generator("baseline", name))
        except ValueError:
            return False
    return True


def _play(env: Any, task: int | None, reset: int, name: str, dice: np.random.Generator, metric: str | None) -> float:
    env.reset(seed=reset, options=None if task is None else {"task": task})
    score, info = 0.0, {}
    script = iter(optional(env, "solve")()) if name == "oracle" else iter(())
    for _ in range(BASELINE_TURNS):
        action = next(script, "") if name == "oracle" else optional(env, "baseline")(name, dice)
        _, reward, terminated, truncated, info = env.step(action)
        score += float(reward)
        if terminated or truncated:
            break
    return float((info.get("metrics") or {}).get(metric, 0.0)) if metric else score


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


def by_tag(trajectories: Sequence[Trajectory], metric: str | None) -> Mapping[str, tuple[float, int]]:
    """Mean and number of episodes for each value of each tag, such as "kind=colour"; broken episodes are left out."""
    groups: dict[str, list[Trajectory]] = {}
    for trajectory in (t for t in trajectories if t.valid):
        for tag, value in trajectory.tags.items():
            groups.setdefault(f"{tag}={value}", []).append(trajectory)
    return {name: (float(np.mean(scores_of(group, metric))), len(group)) for name, group in sorted(groups.items())}
