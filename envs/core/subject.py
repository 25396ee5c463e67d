"""The environment under examination: making it anew, playing it, and taking the fingerprint of what it shows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import gymnasium

from .images import image_hash

LONGEST_EPISODE = 256  # turns; an episode that goes on longer is called endless


class NotProvidedError(Exception):
    """An optional part of the contract is absent; says which."""


class BrokenLawError(Exception):
    """A law does not hold; says what was expected and what came."""


def hold(condition: bool, message: str) -> None:
    """Hold somebody to a law. No `assert`: a check must also fail where Python leaves assertions out (-O).

    Raises:
        BrokenLawError: the condition is false.
    """
    if not condition:
        raise BrokenLawError(message)


@dataclass(frozen=True)
class Episode:
    """One episode played to its end: fingerprints of all observations, rewards, and the last info."""

    seen: tuple[str, ...]
    rewards: tuple[float, ...]
    terminated: bool
    truncated: bool
    info: dict[str, Any]

    @property
    def score(self) -> float:
        """The sum of its rewards."""
        return math.fsum(self.rewards)


@dataclass(frozen=True)
class Subject:
    """An environment, and its registered specification if it has one."""

    env: gymnasium.Env[Any, Any]
    spec: gymnasium.envs.registration.EnvSpec | None

    def part(self, name: str) -> Any:
        """An optional attribute of the environment itself.

        Raises:
            NotProvidedError: it has none.
        """
        found = getattr(self.env.unwrapped, name, None)
        if found is None:
            raise NotProvidedError(f"it has no {name}")
        return found

    def make(self, **kwargs: Any) -> gymnasium.Env[Any, Any]:
        """Another environment of the same specification, with some keyword arguments changed.

        Raises:
            NotProvidedError: the environment was not made from a registered id.
        """
        if self.spec is None:
            raise NotProvidedError("it was not made by gymnasium.make, so a second one cannot be made")
        return gymnasium.make(self.spec, disable_env_checker=True, **kwargs)

    def play(self, actions: Iterable[str], seed: int) -> Episode:
        """Reset with the seed and take the actions until the episode ends; what comes after its end is not used.

        Raises:
            BrokenLawError: an observation outside the space, a reward that is no finite number in [0, 1], an episode
                that does not end within 256 turns.
        """
        observation, info = self.env.reset(seed=seed)
        seen, rewards = [self.look(observation)], []
        terminated = truncated = False
        for turn, action in enumerate(actions):
            hold(turn < LONGEST_EPISODE, f"the episode with seed {seed} is still not over after {turn} turns")
            observation, reward, terminated, truncated, info = self.env.step(action)
            seen.append(self.look(observation))
            number = float(reward) if isinstance(reward, (int, float)) and not isinstance(reward, bool) else math.nan
            hold(
                0.0 <= number <= 1.0,
                f"the reward of turn {turn + 1} with seed {seed} is {reward!r}; expected a finite float in [0, 1]",
            )
            rewards.append(number)
            if terminated or truncated:
                break
        return Episode(tuple(seen), tuple(rewards), bool(terminated), bool(truncated), info)

    def look(self, observation: Any) -> str:
        """The fingerprint of an observation, which must lie in the space."""
        hold(
            self.env.observation_space.contains(observation),
            f"an observation lies outside {self.env.observation_space}: {str(observation)[:200]}",
        )
        return fingerprint(observation)


def fingerprint(observation: dict[str, Any]) -> str:
    """SHA-256 over the text and every pixel of an observation, 64 hexadecimal digits."""
    digest = hashlib.sha256(observation["text"].encode("utf-8", "surrogatepass"))
    for picture in observation["images"]:
        digest.update(image_hash(picture).encode())
    return digest.hexdigest()
