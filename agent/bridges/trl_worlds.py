"""Which world a prompt is of: a data set that says so in its messages, and environments that are reset to it.

A `rollout_func` of TRL 1.16 is given the prompts and no other column. So the coordinates (split, task, seed) stand in
the user message itself, beside `role` and `content`; chat templates pass over them, and TRL keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from datasets import Dataset
from PIL import Image

from ..errors import ConfigError, ObservationError
from ..model.load import PROCESSORS
from ..model.processor import Processor, read_json
from ..rollout.environments import EnvironmentPool, EnvironmentSpec, make_environment, optional
from ..rollout.render import Renderer, checked_observation
from ..seeds import derive_seed

KEYS = ("split", "task", "seed")
Messages = Sequence[Mapping[str, Any]]  # a conversational prompt, as TRL has it


@dataclass(frozen=True)
class Coordinates:
    """A world: the environment's split (None: as it is made by default), its task or None, and the reset seed."""

    split: str | None
    task: int | None
    seed: int


def to_dataset(env_id: str, split: str | None, n: int, seed: int = 0, **kwargs: Any) -> Dataset:
    """The first observations of `n` worlds, as TRL's trainers take them.

    Args:
        env_id: A registered environment of text and pictures.
        split: Given to the environment as `split=`; None for an environment that has none.
        n: Rows. Where the environment numbers its tasks, row i is task i; otherwise a world by seed.
        seed: From which the rows' seeds are derived.
        kwargs: As the environment is made with; give the same to the reward or rollout function.

    Returns:
        A column `prompt` (one user message, with the coordinates beside `role` and `content`) and, if the environment
        shows any, `images`. TRL puts the pictures before the text, as we do.

    Raises:
        ConfigError: no such environment, or fewer tasks than `n`.
        ObservationError: it breaks its contract.
    """
    env = make_environment(_spec(env_id, split, kwargs))
    try:
        num_tasks = optional(env, "num_tasks")
        if num_tasks is not None and n > (num_tasks() if split is None else num_tasks(split)):
            raise ConfigError(f"to_dataset: {env_id} has fewer than {n} tasks in split {split!r}; ask for fewer rows")
        rows = []
        for i in range(n):
            world = Coordinates(split, None if num_tasks is None else i, derive_seed(seed, "data set", split, i))
            text, images = shown(env, world)
            message = {"role": "user", "content": text, "split": world.split, "task": world.task, "seed": world.seed}
            rows.append({"prompt": [message], "images": [Image.fromarray(image) for image in images]})
    finally:
        env.close()
    made = Dataset.from_list(rows)
    return made if any(row["images"] for row in rows) else made.remove_columns("images")


def coordinates(prompt: Messages) -> Coordinates:
    """Those that `to_dataset` wrote into a prompt.

    Raises:
        ConfigError: there are none.
    """
    message = prompt[-1] if isinstance(prompt, Sequence) and not isinstance(prompt, str) and prompt else None
    if not isinstance(message, Mapping) or not set(KEYS) <= set(message):
        raise ConfigError(
            f"a prompt does not say which world it is of (its message has no {', '.join(KEYS)}): {prompt!r:.200}. "
            "Make the data set with agent.bridges.trl_worlds.to_dataset"
        )
    return Coordinates(*(message[key] for key in KEYS))


def content(prompt: Messages) -> tuple[str, tuple[np.ndarray, ...]]:
    """Text and pictures of a prompt's last message, before or after TRL has put the pictures in."""
    parts = prompt[-1]["content"]
    if isinstance(parts, str):
        return parts, ()
    text = "".join(part["text"] for part in parts if part["type"] == "text")
    pictures = (part.get("image") for part in parts if part["type"] == "image")
    return text, tuple(np.asarray(picture.convert("RGB")) for picture in pictures if picture is not None)


def shown(env: gymnasium.Env, world: Coordinates) -> tuple[str, tuple[np.ndarray, ...]]:
    """What the environment shows at the beginning of a world.

    Raises:
        ObservationError: not text and pictures.
    """
    options = None if world.task is None else {"task": world.task}
    return checked_observation(env.reset(seed=world.seed, options=options)[0], f"{env}: {world}")


def differs(env_id: str, prompt: Messages) -> ObservationError:
    """The policy answers what the data set shows, and the environment asks something else."""
    return ObservationError(
        f"{env_id}: {coordinates(prompt)} shows another text or other pictures than the data set has. Give the reward "
        "or rollout function the keyword arguments that the data set was made with, and make the data set again after "
        f"the environment has changed. The data set says {content(prompt)[0]!r:.200}"
    )


class Pools:
    """Environments of one id and its keyword arguments, one pool for each split that prompts are of."""

    def __init__(self, env_id: str, kwargs: Mapping[str, Any]) -> None:
        self.env_id, self.kwargs = env_id, dict(kwargs)
        self._pools: dict[str | None, EnvironmentPool] = {}

    def of(self, split: str | None) -> EnvironmentPool:
        if split not in self._pools:
            self._pools[split] = EnvironmentPool(_spec(self.env_id, split, self.kwargs))
        return self._pools[split]

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()


def renderer_of(checkpoint: str | Path) -> Renderer:
    """The renderer of a checkpoint folder: how tokens become the text that environments are given.

    Raises:
        CheckpointError: no checkpoint of a supported family.
    """
    folder = Path(checkpoint)
    family = read_json(folder / "config.json", "the model's config").get("model_type")
    return Renderer(PROCESSORS.get(str(family), Processor)(folder))


def _spec(env_id: str, split: str | None, kwargs: Mapping[str, Any]) -> EnvironmentSpec:
    return EnvironmentSpec(env_id, {**kwargs, **({} if split is None else {"split": split})})
