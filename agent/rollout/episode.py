"""One episode as a state machine: an environment on one side, token requests on the other.

Its rules: an image goes in whole or not at all; a turn begins only if its whole token budget is free; whatever ends the
episode leaves a trajectory that says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import gymnasium
import numpy as np

from ..errors import AgentError, EnvironmentFault, ObservationError, is_outage
from ..model.processor import Picture, ProcessedImage
from ..seeds import derive_seed
from ..types import Outcome, Row, SampledWith, Segment, Trajectory
from .dialogue import Dialogue
from .engine import Completion, Request, SamplingParams
from .environments import EnvironmentPool
from .render import Renderer, checked_observation

# What `reset` (2 values) or `step` (5 values) returned, or how the episode ended because infrastructure failed.
Received: TypeAlias = "tuple[Any, ...] | Outcome"


@dataclass(frozen=True)
class EpisodeSpec:
    """Which world, and whose dice.

    Attributes:
        task: The environment's task index, or None to reset by seed alone.
        seed: The reset seed; siblings of a group share it.
        sampling_seed: From which the seed of each turn's tokens is derived; siblings differ in it.
    """

    task: int | None
    seed: int
    sampling_seed: int


@dataclass(frozen=True)
class Budget:
    """What an episode may use.

    Attributes:
        temperature: Of sampling; 0 is greedy.
        max_turn_tokens: Tokens the policy may write in one turn.
        max_row_tokens: Expanded tokens a row may have: prompt, images, observations and actions.
        max_turns: Turns after which the episode is truncated, whatever the environment says.
        max_episode_tokens: Tokens the policy may write in the whole episode; 0: as many as its turns allow. The last
            turn is given what is left, and an episode with nothing left is truncated.

    The three are separate: what a tool returns counts for the row alone, and never shortens a turn. Either a whole turn
    still fits behind it, or the episode is truncated.
    """

    temperature: float
    max_turn_tokens: int
    max_row_tokens: int
    max_turns: int
    max_episode_tokens: int = 0


class Episode:
    """Plays one episode.

    `open`, then `reset`, `receive`, and `step`, `receive` for each turn until `done`. `reset` and `step` call the
    environment and may run in any thread; all else belongs to the driver's own, where equal pictures of siblings are
    processed once.
    """

    def __init__(self, id: int, spec: EpisodeSpec, pool: EnvironmentPool, renderer: Renderer, budget: Budget) -> None:
        self.id = id
        self.spec = spec
        self.pool = pool
        self.renderer = renderer
        self.budget = budget
        self.rows: list[Row] = []
        self.turn = 0
        self.score = 0.0
        self._written = 0
        self.info: Mapping[str, Any] = {}
        self.outcome: Outcome | None = None
        self._dialogue = Dialogue(renderer)
        self._env: gymnasium.Env | None = None
        self._unopened: Outcome | None = None
        self._seeds: tuple[int, int] | None = None
        self._processed: tuple[ProcessedImage, ...] | None = None  # the pictures of what the environment said last

    def open(self) -> None:
        """Take an environment; it is given back when the episode ends. If it has to be made and its infrastructure
        fails, the episode has failed, as `reset` will say."""
        try:
            self._env = self.pool.take()
        except Exception as error:
            self._unopened = outcome_of_failure(error)
            if self._unopened is None:
                raise

    def close(self) -> None:
        """Give the environment back, also if the episode is not over. Not while a thread is in it."""
        if self._env is not None:
            self.pool.give_back(self._env)
            self._env = None

    @property
    def done(self) -> bool:
        return self.outcome is not None

    @property
    def trajectory(self) -> Trajectory:
        if self.outcome is None:
            raise RuntimeError("the episode is not over")
        return Trajectory(
            self.pool.spec.id,
            self.spec.task,
            self.spec.seed,
            tuple(self.rows),
            self.outcome,
            rewards=self._numbers("rewards"),
            metrics=self._numbers("metrics"),
            tags=dict(self.info.get("tags") or {}),
        )

    def request(self) -> Request:
        """The turn that is to be generated now."""
        row = self.rows[-1]
        sampling = SamplingParams(
            self.budget.temperature,
            self.turn_limit,
            self._turn_seed(),
            self.renderer.processor.stop_ids,
            self.renderer.processor.banned_ids,
        )
        return Request(self.id, self.id, row.collapsed, tuple(self.renderer.pictures(row)), sampling)

    def reset(self) -> Received:
        """Reset the environment."""
        if self._unopened is not None:
            return self._unopened
        options = None if self.spec.task is None else {"task": self.spec.task}
        return self._foreseen(self._call("reset", 2, seed=self.spec.seed, options=options))

    def step(self, completion: Completion) -> Received:
        """Give the environment the finished turn."""
        return self._foreseen(self._call("step", 5, self.renderer.action_text(completion.token_ids)))

    def receive(self, returned: Received, completion: Completion | None = None) -> None:
        """Append the finished turn, if one led here, and what the environment answered; or end the episode."""
        if isinstance(returned, Outcome):
            if completion is not None:
                self._append_action(completion, None)
            self._end(returned)
            return
        if completion is None:
            observation, self.info = returned
            text, images = self._observed(observation)
            self._open(self._rendered(lambda: self._dialogue.opened(text, images, self.turn)))
            return
        observation, reward, terminated, truncated, self.info = returned
        self._append_action(completion, self._checked_reward(reward))
        self.turn += 1
        if terminated or truncated or self.turn >= self.budget.max_turns:
            reason = "" if terminated else str(self.info.get("truncated", "turns"))
            self._end(Outcome("terminated" if terminated else "truncated", self.score, reason))
            return
        if self.turn_limit < 1:
            self._end(Outcome("truncated", self.score, "tokens"))
            return
        text, images = self._observed(observation)
        if self.info.get("context") == "restart":
            self._open(self._rendered(lambda: self._dialogue.opened(text, images, self.turn)))
        else:
            self._continue(text, images, completion)

    def _open(self, prompt: Segment) -> None:
        if self._fits(0, prompt):
            self.rows.append(Row((prompt,)))

    def _continue(self, text: str, images: tuple[Picture, ...], completion: Completion) -> None:
        answer, ended = completion.token_ids, completion.stop_reason == "stop"
        segment = self._rendered(lambda: self._dialogue.continued(answer, ended, text, images, self.turn))
        if segment.kind == "prompt":
            self._open(segment)
        elif self._fits(len(self.rows[-1]), segment):
            self.rows[-1] = self.rows[-1].append(segment)

    def _fits(self, used: int, segment: Segment) -> bool:
        if used + len(segment.token_ids) + self.turn_limit <= self.budget.max_row_tokens:
            return True
        self._end(Outcome("truncated", self.score, "context"))
        return False

    def _append_action(self, completion: Completion, reward: float | None) -> None:
        sampled = None
        if completion.logprobs is not None:
            sampled = SampledWith(
                self.budget.temperature,
                self.renderer.processor.banned_ids,
                self.turn_limit,
                self._turn_seed(),
                completion.weight_version,
                completion.stop_reason,
            )
        action = Segment("action", completion.token_ids, self.turn, (), completion.logprobs, sampled, reward)
        self.rows[-1] = self.rows[-1].append(action)
        self._written += len(completion.token_ids)

    @property
    def turn_limit(self) -> int:
        """Tokens that the next turn may have; below 1: the episode has used up its own."""
        if not self.budget.max_episode_tokens:
            return self.budget.max_turn_tokens
        return min(self.budget.max_turn_tokens, self.budget.max_episode_tokens - self._written)

    def _turn_seed(self) -> int:
        """The seed of this turn's tokens; asked for twice a turn."""
        if self._seeds is None or self._seeds[0] != self.turn:
            self._seeds = (self.turn, derive_seed(self.spec.sampling_seed, self.turn))
        return self._seeds[1]

    def _foreseen(self, returned: Received) -> Received:
        """What an environment returned, with its pictures processed already: here, in the environment's thread, so that
        the thread that computes need not wait for them. What is wrong with them is found out by `receive`."""
        self._processed = None
        if isinstance(returned, tuple) and not (len(returned) == 5 and (returned[2] or returned[3])):
            with suppress(Exception):
                self._processed = tuple(map(self.renderer.processor.process, returned[0]["images"]))
        return returned

    def _observed(self, observation: object) -> tuple[str, tuple[Picture, ...]]:
        """Text and pictures of an observation, processed or not."""
        text, images = checked_observation(observation, self._where)
        return text, images if self._processed is None else self._processed

    def _call(self, name: str, values: int, *arguments: Any, **named: Any) -> Received:
        """What the environment returned, or the outcome if its infrastructure failed."""
        try:
            returned = getattr(self._env, name)(*arguments, **named)
        except AgentError:
            raise
        except Exception as error:
            if (outcome := outcome_of_failure(error)) is not None:
                return outcome
            raise EnvironmentFault(f"{self._where}: {name}() raised {type(error).__name__}: {error}") from error
        if not isinstance(returned, tuple) or len(returned) != values:
            raise ObservationError(f"{self._where}: {name}() must return {values} values, got {returned!r:.200}")
        if not isinstance(returned[-1], Mapping):
            raise ObservationError(f"{self._where}: {name}() must return info as a dict, got {returned[-1]!r:.200}")
        if values == 5 and not all(isinstance(over, (bool, np.bool_)) for over in returned[2:4]):
            raise ObservationError(
                f"{self._where}: step() must return terminated and truncated as bools, got {returned[2:4]!r:.200}"
            )
        return returned

    def _checked_reward(self, reward: object) -> float:
        if not _finite(reward):
            raise ObservationError(
                f"{self._where}: the reward must be a finite number, got {reward!r}; "
                f"rewards by term: {self.info.get('rewards') or {}!r:.200}"
            )
        self.score += float(reward)  # type: ignore[arg-type]
        return float(reward)  # type: ignore[arg-type]

    def _rendered(self, render: Callable[[], Segment]) -> Segment:
        try:
            return render()
        except ObservationError as error:
            raise ObservationError(f"{self._where}: {error}") from error

    def _numbers(self, name: str) -> dict[str, float]:
        """`info["rewards"]` or `info["metrics"]`: means are taken of these; what is not a number would spoil them."""
        numbers = self.info.get(name) or {}
        if not isinstance(numbers, Mapping) or not all(map(_finite, numbers.values())):
            raise ObservationError(
                f'{self._where}: info["{name}"] must be a dict of finite numbers, got {numbers!r:.200}'
            )
        return {str(key): float(value) for key, value in numbers.items()}

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.close()

    @property
    def _where(self) -> str:
        return f"{self.pool.spec.id} (task {self.spec.task}, seed {self.spec.seed}, turn {self.turn})"


def outcome_of_failure(error: Exception) -> Outcome | None:
    """How an episode ends if this is the infrastructure's failure: sandboxes and services mark their own. Everything
    else is a fault of the environment's author."""
    if is_outage(error):
        return Outcome("failed", None, f"{type(error).__name__}: {error}")
    return None


def _finite(value: object) -> bool:
    # Asking whether a float is a Real costs ten times as much as asking whether it is a float.
    return (type(value) is float or isinstance(value, Real)) and math.isfinite(value)  # type: ignore[arg-type]
