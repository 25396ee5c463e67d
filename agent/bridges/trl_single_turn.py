"""Single-turn environments in TRL: it generates, and the environment itself scores what was said.

    trainer = GRPOTrainer(
        model=folder,
        reward_funcs=reward_function(env_id, folder, **kwargs),
        train_dataset=to_dataset(env_id, "train", 1000, **kwargs),
        processing_class=...,
    )

TRL makes the tokens of the prompt itself, from the data set's text. Unlike our renderer it takes control tokens that
are spelled there for control tokens; otherwise it trains on the same prompt, token for token.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AgentError, ConfigError, EnvironmentFault, is_outage
from ..rollout.environments import EnvironmentPool
from .trl_worlds import Coordinates, Messages, Pools, content, coordinates, differs, renderer_of, shown


class EnvironmentReward:
    """A reward function of TRL: an environment's own reward for one turn. See `reward_function`."""

    def __init__(self, env_id: str, checkpoint: str | Path, kwargs: dict[str, Any]) -> None:
        self._pools = Pools(env_id, kwargs)
        self._renderer = renderer_of(checkpoint)

    def __call__(
        self, prompts: Sequence[Messages], completion_ids: Sequence[Sequence[int]], **_: Any
    ) -> list[float | None]:
        """One reward a completion, or None where the infrastructure failed.

        Raises:
            ConfigError: the environment is not over after one turn, or a prompt says no world.
            EnvironmentFault: the environment raised.
            ObservationError: it shows another world than the data set has.
        """
        return [self._score(prompt, ids) for prompt, ids in zip(prompts, completion_ids, strict=True)]

    def close(self) -> None:
        """Close the environments."""
        self._pools.close()

    def _score(self, prompt: Messages, ids: Sequence[int]) -> float | None:
        world = coordinates(prompt)
        pool = self._pools.of(world.split)
        try:
            return self._played(pool, prompt, world, self._renderer.action_text(ids))
        except AgentError:
            raise
        except Exception as error:
            # TRL leaves None out of mean and deviation, and gives such a completion no advantage.
            if is_outage(error):
                return None
            raise EnvironmentFault(f"{pool.spec.id} ({world}) raised {type(error).__name__}: {error}") from error

    def _played(self, pool: EnvironmentPool, prompt: Messages, world: Coordinates, action: str) -> float:
        env = pool.take()
        try:
            asked, answered = shown(env, world), content(prompt)
            if asked[0] != answered[0] or not _same(asked[1], answered[1]):
                raise differs(pool.spec.id, prompt)
            _, reward, terminated, truncated, _ = env.step(action)
        finally:
            pool.give_back(env)
        if not (terminated or truncated):
            raise ConfigError(
                f"{pool.spec.id} is not over after one turn, and a reward function of TRL sees one: play it with "
                "rollout_func=agent.bridges.trl_many_turns.rollout_function(...), or give it max_turns=1 if it has that"
            )
        return float(reward)


def reward_function(env_id: str, checkpoint: str | Path, **kwargs: Any) -> EnvironmentReward:
    """What TRL's `reward_funcs` takes: resets the environment to the prompt's world and steps it with the completion.

    Args:
        env_id: As for `to_dataset`.
        checkpoint: The model's folder, whose tokenizer says what was said: special tokens spelled out, but for the end
            token. (TRL's own text leaves them out, and its parsers may drop a thought.)
        kwargs: As for `to_dataset`.
    """
    return EnvironmentReward(env_id, checkpoint, kwargs)


def _same(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))
