"""One episode in words: an environment on one side, whoever answers messages on the other.

The same environment and the same order of calls as an episode in tokens (`agent.rollout.episode`); there are no token
ids, so nothing of it can be trained on, and its record says so (`"tokens": false`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

import gymnasium
import numpy as np

from ..chat import ChatMessage, ContextOverflow
from ..errors import AgentError, EnvironmentFault, ObservationError
from ..model.picture_hash import image_sha256
from ..rollout.episode import outcome_of_failure
from ..rollout.render import checked_observation
from ..types import Outcome


@dataclass(frozen=True)
class Said:
    """One turn of whoever plays. `limit`: it was cut by the token limit. Tokens as a server counts them."""

    text: str
    limit: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0


# Given the environment, the conversation so far and the number of the turn, what is said.
Speaker = Callable[[gymnasium.Env, Sequence[ChatMessage], int], Said]


@dataclass(eq=False)
class TextEpisode:
    """An episode while it is played. `play` once, then `record` and `pictures`."""

    where: str
    rows: list[list[dict[str, Any]]] = field(default_factory=list)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None
    used: dict[str, int] = field(default_factory=dict)
    _messages: list[ChatMessage] = field(default_factory=list)

    def play(self, env: gymnasium.Env, task: int | None, seed: int, speak: Speaker, max_turns: int) -> None:
        """To its end.

        Raises:
            EnvironmentFault, ObservationError: the environment broke its contract.
            AgentError: whoever speaks cannot go on, and it is not the infrastructure's doing.
        """
        score = 0.0
        options = None if task is None else {"task": task}
        try:
            observation, self.info = self._called(env.reset, seed=seed, options=options)
            self._hear(observation, 0, anew=True)
            for turn in range(max_turns):
                try:
                    said = speak(env, self._messages, turn)
                except ContextOverflow:
                    self.outcome = Outcome("truncated", score, "context")
                    return
                for name in ("prompt_tokens", "completion_tokens"):
                    self.used[name] = self.used.get(name, 0) + getattr(said, name)
                self._messages.append(ChatMessage("assistant", said.text))
                action = {"kind": "action", "turn": turn, "text": said.text, "images": [], "reward": None}
                self.rows[-1].append({**action, "stop_reason": "length" if said.limit else "stop"})
                observation, reward, terminated, truncated, self.info = self._called(env.step, said.text)
                if not isfinite(float(reward)):
                    raise ObservationError(f"{self.where}, turn {turn}: the reward must be finite, got {reward!r}")
                self.rows[-1][-1]["reward"] = float(reward)
                score += float(reward)
                if terminated or truncated:
                    reason = "" if terminated else str(self.info.get("truncated", "turns"))
                    self.outcome = Outcome("terminated" if terminated else "truncated", score, reason)
                    return
                if turn + 1 < max_turns:
                    self._hear(observation, turn + 1, anew=self.info.get("context") == "restart")
            self.outcome = Outcome("truncated", score, "turns")
        except Exception as error:
            # An outage ends the episode and not the evaluation, whether it is the sandbox's or the chat server's.
            if (failed := outcome_of_failure(error)) is None:
                raise
            self.outcome = failed

    def record(self, env_id: str, task: int | None, seed: int) -> dict[str, Any]:
        """The episode as plain data, in the form of `agent.records`."""
        assert self.outcome is not None, "play() comes first"
        return {
            "env_id": env_id,
            "task": task,
            "seed": seed,
            "tokens": False,
            "rows": [{"segments": row} for row in self.rows],
            "outcome": asdict(self.outcome),
            "rewards": _numbers(self.info.get("rewards")),
            "metrics": _numbers(self.info.get("metrics")),
            "tags": dict(self.info.get("tags") or {}),
            "dropped": "",
            "usage": self.used,
        }

    def _hear(self, observation: object, turn: int, anew: bool) -> None:
        text, images = checked_observation(observation, f"{self.where}, turn {turn}")
        shown = []
        for image in images:
            sha256 = image_sha256(np.asarray(image))
            self.pictures.setdefault(sha256, np.array(image))
            shown.append(self.pictures[sha256])
        segment = {"turn": turn, "text": text, "images": [{"sha256": image_sha256(image)} for image in shown]}
        message = ChatMessage("user", text, tuple(shown))
        if anew:
            self.rows.append([{"kind": "prompt", **segment}])
            self._messages = [message]
        else:
            self.rows[-1].append({"kind": "observation", **segment})
            self._messages.append(message)

    def _called(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except Exception as error:
            if isinstance(error, AgentError) or outcome_of_failure(error) is not None:
                raise
            raise EnvironmentFault(f"{self.where}: {call.__name__}() raised {type(error).__name__}: {error}") from error


def _numbers(found: Any) -> dict[str, float]:
    return {str(name): float(value) for name, value in (found or {}).items()}
