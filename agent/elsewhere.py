"""Tests in other environments than the one that is learned in, such as a published test set: before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from .collect import budget
from .config import Config, ElsewhereConfig
from .errors import ConfigError, at_least
from .evaluate import (
    evaluate_policy,
    evaluation_tasks,
    primary_metric,
    summarise,
    task_scores,
)
from .evaluation.baselines import baseline_scores
from .parts import Parts
from .rollout.environments import EnvironmentSpec
from .rollout.episode import Budget
from .rollout.episodes import EpisodeDriver

Scores = list[float | None]


def check_elsewhere(config: Config, parts: Parts) -> None:
    """Make every environment once, so that data or tools that are missing are told before anything is trained.

    Raises:
        ConfigError: two of one name, a number that is not allowed, fewer tasks than episodes, or an environment that
            cannot be made as the recipe says.
    """
    if not config.evaluation.test_episodes:
        return
    names = [other.name for other in config.evaluation.elsewhere]
    for index, other in enumerate(config.evaluation.elsewhere):
        option = f"evaluation.elsewhere[{index}]"
        if names.count(other.name) > 1:
            raise ConfigError(f"{option}.name: {other.name!r} stands twice; results are told apart by their names")
        at_least(
            (f"{option}.episodes", other.episodes, 0),
            (f"{option}.max_turns", other.max_turns, 0),
            (f"{option}.max_turn_tokens", other.max_turn_tokens, 0),
        )
        if other.max_turn_tokens >= config.rollout.max_row_tokens:
            raise ConfigError(
                f"{option}.max_turn_tokens: {other.max_turn_tokens} leaves no room for a prompt in "
                f"rollout.max_row_tokens={config.rollout.max_row_tokens}"
            )
        evaluation_tasks(_driver(parts, other).pool, _episodes(config, other))


def play_elsewhere(config: Config, parts: Parts, advance: Callable[[], None]) -> dict[str, Scores]:
    """The policy as it is in each of them: the score of every task, by name. `advance` is called after each episode."""
    found = {}
    for other in config.evaluation.elsewhere:
        driver = _driver(parts, other)
        played = evaluate_policy(
            driver, _episodes(config, other), _limits(config, other), config.run.seed, lambda _: advance(), parts.ranks
        )
        found[other.name] = task_scores(played, primary_metric(driver.pool))
        parts.renderer.forget()
    return found


def episodes_elsewhere(config: Config) -> int:
    """How many episodes that takes."""
    return sum(_episodes(config, other) for other in config.evaluation.elsewhere)


def rows_elsewhere(
    config: Config, parts: Parts, before: Mapping[str, Scores], after: Mapping[str, Scores], baselines: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows of the report: the environments' own baselines, and the policy before and after."""
    rows = []
    for other in config.evaluation.elsewhere if after else ():
        pool, seed = _driver(parts, other).pool, config.run.seed
        metric = primary_metric(pool)
        for name in baselines:
            scores = baseline_scores(pool, name, _episodes(config, other), seed)
            if scores is not None:
                rows.append(summarise(f"{name}, {other.name}", other.id, "none", metric, scores, seed))
        for name, found in (("before", before), ("after", after)):
            rows.append(summarise(f"{name}, {other.name}", other.id, "greedy", metric, found[other.name], seed))
    return [asdict(row) for row in rows]


def _driver(parts: Parts, other: ElsewhereConfig) -> EpisodeDriver:
    return parts.driver_of(f"elsewhere {other.name}", EnvironmentSpec(other.id, other.kwargs))


def _episodes(config: Config, other: ElsewhereConfig) -> int:
    return other.episodes or config.evaluation.test_episodes


def _limits(config: Config, other: ElsewhereConfig) -> Budget:
    usual = budget(config, 0.0)
    if not (other.max_turns or other.max_turn_tokens):
        return usual
    turns, tokens = other.max_turns or usual.max_turns, other.max_turn_tokens or usual.max_turn_tokens
    return replace(usual, max_turns=turns, max_turn_tokens=tokens, max_episode_tokens=0)
