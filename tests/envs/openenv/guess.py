"""Guess a number: an environment's logic, for the servers of these tests. The standard library is all that it needs."""

import random
import time
from typing import Any

LONGEST = 2000  # characters of a message


class Guess:
    """`seed` decides the number, and the clue; "raise" fails, "sleep" takes three seconds."""

    def __init__(self) -> None:
        self.secret = 0

    def reset(self, seed: int | None) -> dict[str, Any]:
        dice = random.Random(seed)
        self.secret = dice.randrange(8)
        return {"reply": f"Below 8. Clue {dice.randrange(1000)}, {'even' if self.secret % 2 == 0 else 'odd'}."}

    def step(self, message: str) -> tuple[dict[str, Any], float, bool]:
        if message == "raise":
            raise RuntimeError("that move is not allowed")
        if message == "sleep":
            time.sleep(3)
        hit = message.strip() == str(self.secret)
        return {"reply": "yes" if hit else "no"}, float(hit), hit
