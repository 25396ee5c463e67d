"""Prompts that a rollout keeps for the update with their graphs (`model.kept_prompts`): bytes, and what uses them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from ..config import Config
from ..engine.memory import MIB
from ..model.kept_prompts import SHEAF
from ..model.last_layer import narrows
from .blocks import Block, Shape, chain
from .packed import Siblings, cache_bytes, packs
from .skeleton import Skeleton


@dataclass(frozen=True)
class Kept:
    """What a rollout keeps.

    Attributes:
        nbytes: Of all graphs.
        gradients: Of keys and values, which gather there until the graphs go backward.
        sheaf: The blocks of one graph.
        each: Bytes of that.
    """

    nbytes: int
    gradients: int
    sheaf: list[Block]
    each: int


def kept_prompts(config: Config, skeleton: Skeleton, patches: tuple[int, ...], accelerator: bool) -> Kept | None:
    """What the recipe's rollouts keep; None: nothing. The first step and every `check.every`-th keep nothing."""
    engine, sizes = config.engine, config.rollout
    alike = engine.shared and engine.offload == "none" and config.check.every > 1
    if not alike or not engine.keep_prompts_mib or config.model.gradient_checkpointing:
        return None
    if not packs(config, skeleton, accelerator):
        return None
    prompt = max(1, sizes.max_row_tokens - sizes.max_turn_tokens)
    together = min(sizes.prompts_per_step, max(1, SHEAF // prompt))
    tree = Siblings(prompt, 0, (0,) * together).tree(not accelerator, narrows(skeleton.model))
    shape = Shape(1, together * prompt, 0, patches * together, padded=False, tree=tree)
    sheaf = chain(skeleton, shape, None)
    each = sum(block.footprint.kept for block in sheaf)
    room = int(engine.keep_prompts_mib * MIB) // each
    sheaves = min(ceil(sizes.prompts_per_step / together), room)
    if not sheaves:
        return None
    prompts = min(sizes.prompts_per_step, sheaves * together)
    return Kept(each * prompts // together, cache_bytes(skeleton, prompts * prompt), sheaf, each)
