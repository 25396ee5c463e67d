"""The adapter: an OpenEnv server as an environment of this package's contract."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np

from ..core.actions import Malformed, parse
from ..core.arguments import real, whole
from ..core.env import MAX_ACTION_CHARS, Observation
from ..core.errors import ArgumentError, EnvironmentAuthorError, EpisodeOrderError
from ..core.spaces import Image, Images, UnicodeText
from .fields import at, function, pictures_at
from .session import Answer, Refusal, Session

MAX_TEXT = 1 << 20
MAX_SIDE = 8192
SEEDS = 1 << 31  # servers give seeds to generators that take 32 bits
SEEDS_TRIED = 3
# Servers and arguments whose seeds were tried in this process; one trial serves all of a pool's environments.
_TRIED: set[str] = set()


class OpenEnv(gymnasium.Env[Observation, str]):
    """An environment that an OpenEnv server offers (openenv-core 0.3), one session of the server for each object.

    An option that says how actions become fields of the server's Action, or its Observation becomes text and pictures,
    names a field, or with a colon a function of yours, "package.module:function".

    Args:
        url: The server, "http://host:port". It must allow as many sessions (`max_concurrent_envs`) as episodes are in
            flight (`rollout.concurrency`); a session stays open between episodes.
        action: The field of Action that takes the turn's text; or a function from that text to a dict of fields. A
            ValueError of the function is told to the policy and costs it the turn.
        text: The field of Observation that is shown as text, with dots into what is nested ("messages.0.content"); or a
            function from the dict of fields to a str. What is no text is shown as JSON.
        images: None, or the field with pictures (base64 of PNG, JPEG or WebP, data URLs too; one or a list); or a
            function from the dict of fields to a sequence of uint8 (H, W, 3) arrays.
        verb: With "answer", what stands between <answer> and </answer> is the action, and a turn without exactly one of
            these gets an observation that says so; None: the whole turn is the action.
        instructions: Text shown before the first observation.
        constants: Further fields of every Action.
        reset_parameters: Further parameters of every reset.
        seed_field: The reset's parameter that is given the seed, in [0, 2^31); None: the server is given no seed.
        worlds: Give the seed modulo this number; for servers that number their levels or tasks.
        seeded: Whether the same seed must give the same first observation; tried once in a process with three seeds,
            twice each. Siblings of a group are reset with one seed and compared with each other. Where the server
            takes no seed, say False, and compare nothing inside a group: `rollout.group_size: 1`, and an advantage
            with a baseline of the batch.
        max_turns: Turns after which the episode is truncated.
        max_images: The most pictures in one observation.
        timeout: Seconds that the server may take for one step.
        attempts: How often an episode's beginning is tried before the episode is given up as lost.

    The reward is the server's (None is 0), in its own range. `terminated` is the server's `done`. An action that the
    server refuses (it does not fit Action, or its environment raises) is answered by the refusal as text, with reward
    0; `info["tags"]["refused"]` counts them. If the session ended by it, or nothing came in time from a server that
    answers others, the episode is truncated ("refused"). A server that cannot be reached, or is lost in an episode,
    raises `ServerLostError`, an infrastructure failure.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]

    def __init__(
        self,
        *,
        url: str,
        action: str,
        text: str,
        images: str | None = None,
        verb: str | None = None,
        instructions: str = "",
        constants: Mapping[str, Any] | None = None,
        reset_parameters: Mapping[str, Any] | None = None,
        seed_field: str | None = "seed",
        worlds: int | None = None,
        seeded: bool = True,
        max_turns: int = 16,
        max_images: int = 4,
        timeout: float = 60.0,
        attempts: int = 4,
        render_mode: None = None,
    ) -> None:
        self.session = Session(url, real("timeout", timeout, 0.01, 3600.0), whole("attempts", attempts, 1, 20))
        self._act = function("action", action) or (lambda text: {action: text})
        self._action_field = None if ":" in action else action
        self._tell = function("text", text) or (lambda fields: at("text", text, fields))
        self._show = function("images", images) or (lambda fields: pictures_at(images, fields))
        if verb is not None and not (isinstance(verb, str) and verb.isidentifier()):
            raise ArgumentError(f"verb must be None or the name of a tag such as 'answer'; got {verb!r}")
        self._verb, self._instructions = verb, instructions
        self._constants, self._reset_parameters = dict(constants or {}), dict(reset_parameters or {})
        self._seed_field = seed_field
        self._worlds = SEEDS if worlds is None else whole("worlds", worlds, 1, SEEDS)
        self._seeded = seeded
        self._max_turns = whole("max_turns", max_turns, 1, 1024)
        self._images = Images(max_images=max_images, max_side=MAX_SIDE)
        self.observation_space = gymnasium.spaces.Dict({"text": UnicodeText(MAX_TEXT), "images": self._images})
        self.action_space = UnicodeText(MAX_ACTION_CHARS)
        self.render_mode = None
        self._checked, self._running = False, False
        self._turn, self._refused = 0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode on the server.

        Raises:
            ArgumentError: an option (there are none), or the server's Action or Observation lacks a named field.
            EnvironmentAuthorError: the server's environment failed, or is not what its seed says.
            ServerLostError: the server cannot be reached.
        """
        super().reset(seed=seed)
        if options:
            raise ArgumentError(f"reset options: there are none here, tasks of a server have no numbers; got {options}")
        if not self._checked:
            self._check()
        self._running = False
        world = int(self.np_random.integers(SEEDS)) if seed is None else seed
        answer = self._begin(world)
        self._turn, self._refused, self._running = 0, 0, True
        return self._observation(answer, first=True), {"tags": self._tags}

    def step(self, action: str) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One turn of the policy. Raises EpisodeOrderError, EnvironmentAuthorError, ServerLostError."""
        if not self._running:
            raise EpisodeOrderError("OpenEnv: step() came before reset() or after the end; call reset() first")
        if not isinstance(action, str):
            raise TypeError(f"OpenEnv: an action must be a str, one whole turn; got {type(action).__name__}")
        self._running = False  # also if something is raised now
        answer = self._take(action)
        self._turn += 1
        reward, done, lost = 0.0, False, False
        if isinstance(answer, Refusal):
            self._refused += 1
            lost = answer.over
            observation: Observation = {"text": _clean(answer.message), "images": ()}
        else:
            observation, reward, done = self._observation(answer), _reward(answer, self.session.url), answer.done
        out_of_turns = not done and (lost or self._turn >= self._max_turns)
        terminated = done or (out_of_turns and self._max_turns == 1)
        self._running = not (terminated or out_of_turns)
        info: dict[str, Any] = {"turn": self._turn, "tags": self._tags}
        if out_of_turns and not terminated:
            info["truncated"] = "refused" if lost else "turns"
        return observation, reward, terminated, out_of_turns and not terminated, info

    def close(self) -> None:
        """End the session."""
        self.session.close()

    @property
    def _tags(self) -> dict[str, int]:
        return {"refused": self._refused}

    def _begin(self, seed: int) -> Answer:
        parameters = dict(self._reset_parameters)
        if self._seed_field is not None:
            parameters[self._seed_field] = seed % self._worlds
        answer = self.session.reset(parameters)
        if answer.done:
            raise EnvironmentAuthorError(f"{self.session.url}: the episode was over at its reset({parameters})")
        return answer

    def _take(self, turn: str) -> Answer | Refusal:
        text = _clean(turn)  # a lone surrogate has no form on the wire
        if self._verb is not None:
            parsed = parse(text, (self._verb,))
            if isinstance(parsed, Malformed):
                return Refusal(parsed.message, over=False)
            text = parsed.content.strip()
        try:
            fields = self._act(text)
        except ValueError as error:
            return Refusal(str(error), over=False)
        if not isinstance(fields, Mapping):
            raise EnvironmentAuthorError(f"the function for action must return a dict of fields; got {fields!r:.200}")
        return self.session.step({**self._constants, **fields})

    def _observation(self, answer: Answer, first: bool = False) -> Observation:
        fields = answer.observation
        text = self._tell(fields)
        if text is None:
            text = ""
        if not isinstance(text, str):
            text = json.dumps(text, ensure_ascii=False)
        if first and self._instructions:
            text = f"{self._instructions}\n\n{text}" if text else self._instructions
        pictures = tuple(self._show(fields))
        observation = {"text": _clean(text)[:MAX_TEXT], "images": pictures}
        if not self.observation_space.contains(observation):
            shapes = [np.shape(picture) for picture in pictures]
            raise EnvironmentAuthorError(
                f"{self.session.url}: pictures of shapes {shapes} are outside {self._images}; "
                "expected uint8 (H, W, 3); raise max_images if there are too many"
            )
        return observation

    def _check(self) -> None:
        """Hold the arguments against the server: names of fields at every first reset, seeds once in a process."""
        schema = self.session.schema() or {}
        properties = (schema.get("action") or {}).get("properties")
        if isinstance(properties, dict) and self._action_field is not None:
            given = {*self._constants, self._action_field}
            if unknown := sorted(map(str, given - set(properties))):
                raise ArgumentError(
                    f"action: the server's Action has no field {', '.join(unknown)}; it has {', '.join(properties)}"
                )
            if missing := sorted(set(schema["action"].get("required") or ()) - given):
                raise ArgumentError(f"constants: the server's Action also needs {', '.join(missing)}")
        arguments = json.dumps([self.session.url, self._reset_parameters, self._seed_field, self._worlds], default=str)
        if self._seeded and arguments not in _TRIED:
            for seed in range(SEEDS_TRIED):
                one, other = (self._observation(self._begin(seed)) for _ in range(2))
                if one["text"] != other["text"] or not _same(one["images"], other["images"]):
                    raise EnvironmentAuthorError(
                        f"{self.session.url}: two resets with seed {seed} showed different things, so siblings of a "
                        f"group would be given different tasks. Its reset must use {self._seed_field!r} (seed_field "
                        "says another name); or set seeded=False, with rollout.group_size=1"
                    )
            _TRIED.add(arguments)
        self._checked = True


def _reward(answer: Answer, url: str) -> float:
    if answer.reward is None:
        return 0.0
    if not isinstance(answer.reward, (bool, int, float)) or not math.isfinite(answer.reward):
        raise EnvironmentAuthorError(f"{url}: the reward must be a finite number or None; got {answer.reward!r}")
    return float(answer.reward)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _same(one: Sequence[Image], other: Sequence[Image]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))
