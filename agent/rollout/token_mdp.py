"""The token-level Markov decision process as an environment: one action is one token id.

States are sequences of vocabulary tokens and pictures, S = (V + I)*; actions are the vocabulary, A = V. A transition
appends the token. Where it ends the turn (it is an end token, or the turn's tokens are used up), the environment behind
is given the turn's text, and the tokens and pictures of its answer are appended too. The reward is the environment's at
the end of a turn and 0 before. Episode and Renderer do the work, as they do for the batched driver; nobody trains on
this form, it says what the batched one computes. Source: RLLaVA (arXiv 2512.21450), section 3.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from ..types import Trajectory
from .engine import Completion
from .environments import EnvironmentPool
from .episode import Budget, Episode, EpisodeSpec
from .render import Renderer

State = dict[str, Any]  # {"token_ids": tuple of int, one placeholder a picture; "images": tuple of uint8 (H, W, 3)}


class Picture(gymnasium.Space[np.ndarray]):
    """uint8 arrays of shape (height, width, 3), of any size."""

    def __init__(self) -> None:
        super().__init__(None, np.uint8)

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> np.ndarray:
        return self.np_random.integers(0, 256, size=(*self.np_random.integers(1, 64, size=2), 3), dtype=np.uint8)

    def contains(self, x: Any) -> bool:
        return isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim == 3 and x.shape[2] == 3 and x.size > 0


class TokenMDP(gymnasium.Env[State, int]):
    """One environment, seen token by token.

    Args:
        pool: Environments of one spec; closed with this one.
        renderer: Of the checkpoint whose vocabulary the tokens are of.
        budget: As for the driver; its temperature is the policy's business and not used here.

    `reset` takes the environment's own seed and `{"task": i}`. `info` has `action_mask` (int8, 1 for what a policy
    may choose), `turn`, and `outcome` once the episode is over. A state is a row: where the environment rebuilds its
    prompt, or the chat family rewrites history, the next state is the new prompt alone.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]

    def __init__(self, pool: EnvironmentPool, renderer: Renderer, budget: Budget) -> None:
        processor = renderer.processor
        self.pool, self.renderer, self.budget = pool, renderer, budget
        self.action_space = spaces.Discrete(processor.vocabulary)  # type: ignore[assignment]
        tokens, pictures = spaces.Sequence(spaces.Discrete(processor.vocabulary)), spaces.Sequence(Picture())
        self.observation_space = spaces.Dict({"token_ids": tokens, "images": pictures})
        self._allowed = np.ones(processor.vocabulary, dtype=np.int8)
        self._allowed[list(processor.banned_ids)] = 0
        self._episode: Episode | None = None
        self._turn_tokens: tuple[int, ...] = ()

    @property
    def trajectory(self) -> Trajectory:
        """The episode that is over, as the driver would return it; its actions have no log-probabilities."""
        return self._running.trajectory

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[State, dict[str, Any]]:
        """Begin an episode.

        Raises:
            RuntimeError: it was over before its first token: the prompt exceeds the budget, or infrastructure failed.
        """
        super().reset(seed=seed)
        self._release()
        world = int(self.np_random.integers(1 << 62)) if seed is None else seed
        spec = EpisodeSpec((options or {}).get("task"), world, sampling_seed=0)
        self._episode = Episode(0, spec, self.pool, self.renderer, self.budget)
        self._turn_tokens = ()
        self._episode.open()
        self._episode.receive(self._episode.reset())
        if self._episode.done:
            raise RuntimeError(f"the episode was over before its first token: {self._episode.outcome}")
        return self._state(), self._info()

    def step(self, action: int) -> tuple[State, float, bool, bool, dict[str, Any]]:
        """Append one token.

        Raises:
            ValueError: the token is outside the vocabulary or banned (`info["action_mask"]`).
        """
        token = int(action)
        if not 0 <= token < len(self._allowed) or not self._allowed[token]:
            raise ValueError(f"token {token} cannot be chosen: outside the vocabulary, or banned (see action_mask)")
        if self._running.done:
            raise RuntimeError("the episode is over: call reset()")
        self._turn_tokens += (token,)
        stopped = token in self.renderer.processor.stop_ids
        if not stopped and len(self._turn_tokens) < self._running.turn_limit:
            return self._state(), 0.0, False, False, self._info()
        episode = self._running
        turn = Completion(episode.id, self._turn_tokens, None, "stop" if stopped else "length", 0)
        self._turn_tokens = ()
        episode.receive(episode.step(turn), turn)
        action = [segment for row in episode.rows[-2:] for segment in row.actions][-1]
        terminated = episode.outcome is not None and episode.outcome.end == "terminated"
        return self._state(), action.reward or 0.0, terminated, episode.done and not terminated, self._info()

    def close(self) -> None:
        self._release()
        self.pool.close()

    @property
    def _running(self) -> Episode:
        if self._episode is None:
            raise RuntimeError("there is no episode: call reset()")
        return self._episode

    def _release(self) -> None:
        if self._episode is not None:
            self._episode.close()

    def _state(self) -> State:
        row = self._running.rows[-1]
        pictures = tuple(picture.original for picture in self.renderer.pictures(row))
        return {"token_ids": row.collapsed + self._turn_tokens, "images": pictures}

    def _info(self) -> dict[str, Any]:
        told: dict[str, Any] = {"action_mask": self._allowed, "turn": self._running.turn}
        return told | ({"outcome": self._running.outcome} if self._running.done else {})
