"""The most that a forward and a backward pass need at once, and whose bytes those are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from .blocks import Block


def most(blocks: Sequence[Block], before: Mapping[str, int], backward: bool = True) -> dict[str, int]:
    """Bytes by owner at the moment of the peak.

    Forward, each block leaves what it keeps; backward, each takes it away again, last block first, and leaves the
    gradients of its weights if they were not there before.

    Args:
        blocks: In the order of the forward pass.
        before: Bytes by owner that are there all the time.
        backward: Whether there is a backward pass; without one nothing is kept but a block's output.
    """
    live: Counter[str] = Counter(before)
    best = dict(live)

    def look(owner: str, extra: int) -> None:
        nonlocal best
        if sum(live.values()) + extra > sum(best.values()):
            best = {**live, owner: live[owner] + extra}

    for index, block in enumerate(blocks):
        look(block.owner, block.footprint.forward)
        live[block.owner] += block.footprint.kept
        if index and not backward:
            live[blocks[index - 1].owner] -= blocks[index - 1].footprint.kept
    for block in reversed(blocks) if backward else ():
        live[block.owner] -= block.footprint.kept
        look(block.owner, block.footprint.backward)
        live["gradients"] += block.footprint.gradients + block.lingering
    return {owner: held for owner, held in best.items() if held}
