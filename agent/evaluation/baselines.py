"""An environment's own players: its expert ("oracle"), and those who do not look (constant, random, blind)."""

from __future__ import annotations

from collections.abc import Sequence

import gymnasium
import numpy as np

from ..chat import ChatMessage
from ..errors import AgentError, EnvironmentFault
from ..evaluate import evaluation_tasks, primary_metric
from ..rollout.environments import EnvironmentPool, optional
from ..seeds import generator
from .scores import score
from .text_episode import Said, Speaker, TextEpisode

TURNS = 256  # a baseline never gives up by itself, and an environment without a limit of turns would never end


def provides(pool: EnvironmentPool, name: str) -> bool:
    """Whether the environment has this baseline: one that it does not know is a ValueError by its contract."""
    env = pool.sample
    if optional(env, "solve" if name == "oracle" else "baseline") is None:
        return False
    if name != "oracle":
        env.reset(seed=0)
        try:
            optional(env, "baseline")(name, generator("baseline", name))  # type: ignore[misc]
        except ValueError:
            return False
    return True


def speaker(name: str, seed: int, index: int, env_id: str) -> Speaker:
    """Who plays the task at place `index` as this baseline. Raises EnvironmentFault where the environment raises."""
    dice, script = generator(seed, "baseline", name, index), []

    def speak(env: gymnasium.Env, messages: Sequence[ChatMessage], turn: int) -> Said:
        try:
            if name != "oracle":
                return Said(str(_guess(env, name, dice)))
            if not turn:
                script.extend(map(str, optional(env, "solve")()))  # type: ignore[misc]
            return Said(script[turn] if turn < len(script) else "")
        except AgentError:
            raise
        except Exception as error:
            raise EnvironmentFault(
                f"{env_id}: {'solve' if name == 'oracle' else 'baseline'}() raised {type(error).__name__}: {error}"
            ) from error

    return speak


def baseline_scores(pool: EnvironmentPool, name: str, episodes: int, seed: int) -> list[float | None] | None:
    """Scores of a baseline; None where the environment does not provide it, and None for an episode that the
    infrastructure broke.

    Raises:
        EnvironmentFault: the environment raised.
    """
    if not provides(pool, name):
        return None
    # Asked before one is taken: with none left to ask, the pool would make another.
    metric, tasks, spec = primary_metric(pool), evaluation_tasks(pool, episodes), pool.spec
    env = pool.take()
    try:
        scores = []
        for index, (task, reset) in enumerate(tasks):
            episode = TextEpisode(f"{spec.id} (task {task}, seed {reset}), played by {name!r}")
            episode.play(env, task, reset, speaker(name, seed, index, spec.id), TURNS)
            scores.append(score(episode.record(spec.id, task, reset), metric))
        return scores
    finally:
        pool.give_back(env)


def _guess(env: gymnasium.Env, name: str, dice: np.random.Generator) -> str:
    return optional(env, "baseline")(name, dice)  # type: ignore[misc]
