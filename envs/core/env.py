"""The episode: what is the same in every environment of this package.

An author writes hooks about the world and gets the contract: seeds, splits, numbered tasks, turns, information and
checks of what the hooks return. In the order in which they are called:

    plan(rng)            what must keep its distribution however many worlds are refused (the answer, the question)
    build(plan, rng)     a world after that plan, or None to draw again
    state(world)         the bytes that decide the world's split; worlds that must not be shared agree in them
    admit(world)         a last, expensive look (is everything visible?); False draws again
    observe(world)       the first observation
    respond(world, text) the answer to one action
    tags(world)          labels for tables: difficulty, kind of question, position

Everything about the episode lives here; hooks see worlds and text only and keep no state of their own between calls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import gymnasium
import numpy as np

from .arguments import one_of, whole
from .errors import ArgumentError, EnvironmentAuthorError, EpisodeOrderError
from .spaces import Image, Images, UnicodeText
from .tasks import NUM_TASKS, SPLITS, Task, draw_task

World = TypeVar("World")
Observation = dict[str, Any]  # {"text": str, "images": tuple of uint8 (H, W, 3)}

MAX_ACTION_CHARS = 1 << 20
MAX_TURNS = 64


@dataclass(frozen=True)
class Prompt:
    """What the policy is shown: text, and pictures uint8 (H, W, 3)."""

    text: str
    images: tuple[Image, ...] = ()


@dataclass(frozen=True)
class Response:
    """An environment's answer to one action.

    done: an answer was given, the episode is over.
    reward: in [0, 1]. rewards: its parts. metrics: the benchmark's measures in [0, 1], those of the episode so far.
    text, images: what is shown next; leave them empty when done.
    restart: what is shown next is the whole new prompt and not an addition (`info["context"]` is then "restart").
    """

    done: bool
    reward: float
    rewards: Mapping[str, float]
    metrics: Mapping[str, float]
    text: str = ""
    images: tuple[Image, ...] = field(default=())
    restart: bool = False


class Environment(gymnasium.Env[Observation, str], Generic[World]):
    """Base of the environments here. See the module docstring for the hooks.

    Args:
        images: the space of this environment's pictures.
        split: "train", "validation" or "test"; they share no world.
        max_turns: actions per episode, at least 1. An episode of one turn always ends as `terminated`: whatever is said
            in it is the answer. With more, an episode that runs out of turns ends as `truncated`.
        max_text: the longest observation, in characters.
        render_mode: None or "rgb_array", which makes `render()` return the picture shown last.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 1}  # type: ignore[misc]
    primary_metric: ClassVar[str] = "accuracy"
    splits: ClassVar[tuple[str, ...]] = SPLITS

    def __init__(
        self,
        *,
        images: Images,
        split: str = "train",
        max_turns: int = 1,
        max_text: int = 8192,
        render_mode: str | None = None,
    ) -> None:
        self.split = one_of("split", split, self.splits)
        self.max_turns = whole("max_turns", max_turns, 1, MAX_TURNS)
        self.render_mode = None if render_mode is None else one_of("render_mode", render_mode, ("rgb_array",))
        self._parts: dict[str, gymnasium.Space[Any]] = {"text": UnicodeText(max_text), "images": images}
        self.observation_space = gymnasium.spaces.Dict(self._parts)
        self.action_space = UnicodeText(MAX_ACTION_CHARS)
        self._task: Task[World] | None = None
        self._turn = 0
        self._over = False
        self._shown: tuple[Image, ...] = ()

    # The hooks.

    def plan(self, rng: np.random.Generator) -> object:
        """Draw what must not depend on which worlds are refused. Nothing, unless overridden."""
        return None

    def build(self, plan: Any, rng: np.random.Generator) -> World | None:
        """Draw a world after `plan`, or None when this trial failed."""
        raise NotImplementedError(f"{type(self).__name__} must define build(plan, rng) -> world")

    def state(self, world: World) -> bytes:
        """The part of the world that decides its split. Its repr, unless overridden."""
        return repr(world).encode()

    def admit(self, world: World) -> bool:
        """Whether the world may be used. Always, unless overridden."""
        return True

    def observe(self, world: World) -> Prompt:
        """The first observation."""
        raise NotImplementedError(f"{type(self).__name__} must define observe(world) -> Prompt")

    def respond(self, world: World, text: str) -> Response:
        """The answer to one action. Any string may come; none may raise."""
        raise NotImplementedError(f"{type(self).__name__} must define respond(world, text) -> Response")

    def tags(self, world: World) -> dict[str, str | int]:
        """Labels by which tables are split. None, unless overridden."""
        return {}

    # The contract.

    def draw(self, index: int | None, seed: int | None) -> Task[World]:
        """The task with this number in the split's list, or the one that `seed` gives; one of the two is None."""
        return draw_task(type(self).__name__, self.split, index, seed, self.plan, self.build, self.state, self.admit)

    def num_tasks(self, split: str | None = None) -> int:
        """How many numbered tasks a split has (this environment's own split by default)."""
        return NUM_TASKS[one_of("split", self.split if split is None else split, self.splits)]

    @property
    def published(self) -> Mapping[str, Mapping[str, float]]:
        """What papers report for these very tasks: label -> metric, as in `info["metrics"]`, -> value in [0, 1]. Shown
        beside results and never mixed with them. Nothing, unless overridden."""
        return {}

    def aggregate(self, results: Sequence[Mapping[str, float]], protocol: str = "strict") -> dict[str, float]:
        """The mean of every metric over `results`, the `info["metrics"]` of episodes. An empty list gives {}.

        Raises:
            ArgumentError: an unknown protocol, or results that differ in their metrics.
        """
        one_of("protocol", protocol, ("strict",))
        if any(result.keys() != results[0].keys() for result in results):
            raise ArgumentError("results must all have the same metrics; some have others: were environments mixed?")
        return {name: math.fsum(r[name] for r in results) / len(results) for name in (results[0] if results else ())}

    @property
    def task(self) -> Task[World]:
        """The task of the current episode.

        Raises:
            EpisodeOrderError: before the first reset.
        """
        if self._task is None:
            raise EpisodeOrderError(f"{self._name}: there is no task before reset(); call reset() first")
        return self._task

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode.

        seed=s gives the world of (split, s), always the same one. options={"task": i} gives world i of the split's
        list, 0 <= i < num_tasks(split), whatever the seed. Neither: the next seed of this environment's generator.

        Returns the observation and info: `split`, `world` (the hash of the world's state), `tags`, and `task` if given.

        Raises:
            ArgumentError: an unknown option, or a task outside the list.
        """
        super().reset(seed=seed)
        index = self._task_option(options)
        if index is None and seed is None:
            seed = int(self.np_random.integers(1 << 62))
        self._task = self.draw(index, None if index is not None else seed)
        self._turn, self._over = 0, False
        prompt = self.observe(self._task.world)
        if not isinstance(prompt, Prompt):
            raise self._blame(f"observe() must return a Prompt; got {type(prompt).__name__}")
        observation = self._observation(prompt.text, prompt.images, "observe()")
        info: dict[str, Any] = {"split": self.split, "world": self._task.key, "tags": dict(self.tags(self._task.world))}
        if index is not None:
            info["task"] = index
        return observation, info

    def step(self, action: str) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One turn of the policy. Any str is accepted; see the class for how episodes end.

        info has `rewards` (the parts of the reward), `metrics` (measures in [0, 1]), `tags` and `turn` (from 1).

        Raises:
            EpisodeOrderError: before reset() or after the end.
            TypeError: the action is no str.
            EnvironmentAuthorError: a hook returned what the contract forbids.
        """
        if self._task is None:
            raise EpisodeOrderError(f"{self._name}: step() came before reset(); call reset() first")
        if self._over:
            raise EpisodeOrderError(
                f"{self._name}: step() came after the end of the episode; call reset() to begin another"
            )
        if not isinstance(action, str):
            raise TypeError(
                f"{self._name}: an action must be a str, one whole turn of the model; got {type(action).__name__}"
            )
        response = self.respond(self._task.world, action)
        self._turn += 1
        self._inspect(response)
        out_of_turns = not response.done and self._turn >= self.max_turns
        terminated = response.done or (out_of_turns and self.max_turns == 1)
        truncated = out_of_turns and not terminated
        self._over = terminated or truncated
        info = {
            "rewards": dict(response.rewards),
            "metrics": dict(response.metrics),
            "tags": dict(self.tags(self._task.world)),
            "turn": self._turn,
        }
        if response.restart and not self._over:
            info["context"] = "restart"
        return (
            self._observation(response.text, response.images, "respond()"),
            response.reward,
            terminated,
            truncated,
            info,
        )

    def render(self) -> Any:
        """With render_mode="rgb_array" the first picture shown last, uint8 (H, W, 3); otherwise None."""
        if self.render_mode is None:
            return None
        if not self._shown:
            raise EpisodeOrderError(f"{self._name}: nothing has been shown; call reset() before render()")
        return self._shown[0].copy()

    # What is checked, and whose fault it is.

    @property
    def _name(self) -> str:
        return self.spec.id if self.spec is not None else type(self).__name__

    def _blame(self, what: str) -> EnvironmentAuthorError:
        return EnvironmentAuthorError(f"{self._name}: {what}. This is a mistake in the environment, not in the policy")

    def _task_option(self, options: dict[str, Any] | None) -> int | None:
        unknown = sorted(set(options or {}) - {"task"})
        if unknown:
            raise ArgumentError(
                f'reset options must be {{"task": number}}; got unknown {", ".join(map(repr, unknown))}'
            )
        index = (options or {}).get("task")
        if index is None:
            return None
        if isinstance(index, np.integer):
            index = int(index)
        return whole('options["task"]', index, 0, self.num_tasks() - 1)

    def _observation(self, text: str, images: tuple[Image, ...], hook: str) -> Observation:
        observation = {"text": text, "images": images}
        for key, value in observation.items():
            if not self._parts[key].contains(value):
                raise self._blame(f"{hook} gave {key} outside {self._parts[key]}: {_describe(value)}")
        if images:
            self._shown = images
        return observation

    def _inspect(self, response: Response) -> None:
        if not isinstance(response, Response):
            raise self._blame(f"respond() must return a Response; got {type(response).__name__}")
        if not isinstance(response.done, bool):
            raise self._blame(f"respond() gave done={response.done!r}; expected True or False")
        numbers = {"reward": response.reward}
        numbers |= {f"rewards[{k!r}]": v for k, v in response.rewards.items()}
        numbers |= {f"metrics[{k!r}]": v for k, v in response.metrics.items()}
        for name, value in numbers.items():
            if type(value) is not float or not 0.0 <= value <= 1.0:
                raise self._blame(f"respond() gave {name}={value!r}; expected a float in [0, 1]")


def _describe(value: Any) -> str:
    if isinstance(value, tuple):
        return (
            "(" + ", ".join(f"{getattr(v, 'dtype', type(v).__name__)} {getattr(v, 'shape', '')}" for v in value) + ")"
        )
    return (
        f"{type(value).__name__} of {len(value)} characters" if isinstance(value, str) else f"a {type(value).__name__}"
    )
