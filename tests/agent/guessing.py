"""An environment for tests of evaluation: every optional part of the contract is there, and nothing takes time."""

from typing import Any

import gymnasium
import numpy as np

from agent.rollout.environments import EnvironmentPool, EnvironmentSpec


class Guessing(gymnasium.Env):
    """Guess a number below 10 in two tries. Every optional part is there."""

    primary_metric = "right"

    def __init__(self, split: str = "train", tasks: int = 5, endless: bool = False) -> None:
        self.tasks, self.split, self.endless = tasks, split, endless
        self.resets: list[tuple[int | None, Any]] = []

    def num_tasks(self, split: str | None = None) -> int:
        return self.tasks + (10 if (split or self.split) == "test" else 0)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.resets.append((seed, options))
        self.number = (options or {}).get("task", 0) % 10
        self.tries = 0
        return {"text": "Guess", "images": ()}, {}

    def step(self, action: str) -> Any:
        self.tries += 1
        right = action == str(self.number)
        over = (right or self.tries == 2) and not self.endless
        info = {"metrics": {"right": float(right)}} if right or action else {}
        return {"text": "No", "images": ()}, 0.5 if right else -0.25, over, False, info

    def solve(self) -> list[str]:
        return [str(self.number)]

    def baseline(self, name: str, rng: np.random.Generator) -> str:
        if name not in ("constant", "random", "silent"):
            raise ValueError(f"no baseline {name}")
        return {"constant": "3", "random": str(rng.integers(10)), "silent": ""}[name]


class Bare(Guessing):
    num_tasks = solve = baseline = None  # type: ignore[assignment]
    primary_metric = None  # type: ignore[assignment]


def pool(kind: type[Guessing] = Guessing, **kwargs: Any) -> EnvironmentPool:
    return EnvironmentPool(EnvironmentSpec("Test/Guessing-v0", kwargs), lambda spec: kind(**spec.kwargs))
