"""An environment for measuring speed: a few words and a picture in, any text out, and a score that chance decides.

The score is a hash of what was said, so siblings that say different things score differently: every group has a
gradient, whatever a model without training says. Pictures are drawn once, for all siblings, as those of TRL's data set
are: to draw is not what is measured. Registers "Bench/World-v0".
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.core.spaces import Images, UnicodeText

ENV_ID = "Bench/World-v0"
CELLS = 8
QUESTION = "How many circles are there in the picture? "
ANSWER = "Look again. "
SHORT = 8  # digits of a short question
Observation = dict[str, Any]


class World(gymnasium.Env[Observation, str]):
    """One picture and one question a turn.

    Args:
        side: Of the pictures, in pixels; a multiple of 8.
        digits: In the question's text: each is one token, so that a prompt can have any length.
        turns: Until the episode is over. Each shows another picture.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]

    def __init__(self, side: int = 56, digits: int = SHORT, turns: int = 1) -> None:
        if side < CELLS or side % CELLS or digits < 0 or turns < 1:
            raise ValueError(
                f"expected a side that is a multiple of {CELLS}, digits of at least 0 and turns of at "
                f"least 1; got {side}, {digits} and {turns}"
            )
        self.side, self.digits, self.turns = side, digits, turns
        self.observation_space = spaces.Dict({"text": UnicodeText(8192), "images": Images(1, max_side=side)})
        self.action_space = UnicodeText(65_536)
        self._turn = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self._turn = 0
        return self._shown(QUESTION, self.digits), {}

    def step(self, action: str) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        self._turn += 1
        over = self._turn >= self.turns
        # After the last turn nobody looks.
        return {"text": "", "images": ()} if over else self._shown(ANSWER, 4), score(action), over, False, {}

    def _shown(self, text: str, digits: int) -> Observation:
        drawn = self.np_random.integers(10, size=digits)
        number = int(self.np_random.integers(2**63))
        return {"text": text + "".join(map(str, drawn)), "images": (picture(number, self.side).copy(),)}


@lru_cache(maxsize=64)
def picture(number: int, side: int) -> np.ndarray:
    """Eight by eight cells of colours, uint8 (side, side, 3): no two numbers have equal ones."""
    cells = np.random.default_rng(number).integers(256, size=(CELLS, CELLS, 3), dtype=np.uint8)
    return cells.repeat(side // CELLS, axis=0).repeat(side // CELLS, axis=1)


def score(action: str) -> float:
    """In [0, 1)."""
    return zlib.crc32(action.encode("utf-8", "surrogatepass")) / 2**32


if ENV_ID not in gymnasium.registry:
    gymnasium.register(ENV_ID, entry_point=World)
