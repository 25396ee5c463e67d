"""Making environments by id, and lending them. The trainer knows Gymnasium and nothing of what is behind an id."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import gymnasium
from gymnasium import spaces

from ..errors import ConfigError, ObservationError, outages_told


@dataclass(frozen=True)
class EnvironmentSpec:
    """An environment's id and the keyword arguments that it is made with."""

    id: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def import_modules(names: Sequence[str]) -> None:
    """Import the modules that register a recipe's environments.

    Raises:
        ConfigError: a module is not found or fails while it is imported.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"modules: {name!r} cannot be imported ({error}). Give the module that calls gymnasium.register; "
                "a file beside the recipe or in the current folder is found by its name without .py."
            ) from error
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{last.filename}:{last.lineno}"
            raise ConfigError(
                f"modules: {name!r} cannot be imported: {type(error).__name__}: {error} ({where})"
            ) from error


def make_environment(spec: EnvironmentSpec) -> gymnasium.Env:
    """Make one environment and check that its spaces are those of the contract.

    Raises:
        ConfigError: unknown id (the nearest are named), or arguments that the environment refuses.
        ObservationError: its spaces are not text and images in, text out.
        OutageError: the infrastructure that it needs is down.
    """
    try:
        with outages_told(f"{spec.id} cannot be made"):
            env = gymnasium.make(spec.id, disable_env_checker=True, **spec.kwargs)
    except (gymnasium.error.UnregisteredEnv, ModuleNotFoundError) as error:
        known = sorted(gymnasium.registry)
        near = get_close_matches(spec.id, known, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else f"{len(known)} ids are registered"
        raise ConfigError(
            f"env.id: {spec.id!r} is not registered; {hint} List the module that registers it under `modules`."
        ) from error
    except gymnasium.error.Error as error:
        raise ConfigError(f"env.id: {spec.id!r} cannot be made: {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"env.kwargs: {spec.id} refuses {dict(spec.kwargs)}: {error}") from error
    space = env.observation_space
    if not isinstance(space, spaces.Dict) or not {"text", "images"} <= set(space.spaces):
        raise ObservationError(f'{spec.id}: observation_space must be a Dict with "text" and "images", got {space}')
    return env


def optional(env: gymnasium.Env, name: str) -> Any | None:
    """An optional part of the contract, or None where the environment does not provide it."""
    return getattr(env.unwrapped, name, None)


class EnvironmentPool:
    """Environments of one spec, made on demand and used again by later episodes."""

    def __init__(
        self, spec: EnvironmentSpec, make: Callable[[EnvironmentSpec], gymnasium.Env] = make_environment
    ) -> None:
        self.spec = spec
        self._make = make
        self._free: list[gymnasium.Env] = [make(spec)]

    @property
    def sample(self) -> gymnasium.Env:
        """One of them, to ask for its optional parts."""
        if not self._free:
            self._free.append(self._make(self.spec))
        return self._free[-1]

    def take(self) -> gymnasium.Env:
        return self._free.pop() if self._free else self._make(self.spec)

    def give_back(self, env: gymnasium.Env) -> None:
        self._free.append(env)

    def close(self) -> None:
        while self._free:
            self._free.pop().close()
