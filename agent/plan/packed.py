"""Rows without padding, prompts once: how many tokens that is, and what attention to them needs.

Attention is the trainer's and the sampler's own (`model.tree_attention`), run on tensors without numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..config import Config
from ..model.forward import has_mrope
from ..model.layout import takes_layouts
from ..model.narrowed import Narrowed, narrowed
from ..model.tree_attention import Above, Bucket, Sight, sight, tree_attention
from .live import META
from .skeleton import Skeleton

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Tree:
    """A layout without numbers.

    Attributes:
        seen: What each packed token sees.
        kernel: Attention has a fused kernel that tells its sums, as on a CPU.
        outer: Keys, and values, of a layer that were computed in another pass; they have gradients.
        prompts: How many prompts these are of.
        last: Which tokens go through the last layer; None: all.
    """

    seen: Sight
    kernel: bool
    outer: tuple[Tensor, Tensor] | None = None
    prompts: int = 0
    last: Narrowed | None = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """See `model.layout.Layout`."""
        if self.outer is not None:
            key, value = (torch.cat([outer, own], 2) for outer, own in zip(self.outer, (key, value), strict=True))
        return tree_attention(query, key, value, self.seen, scale).transpose(1, 2)

    def attend_last(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, scale: float
    ) -> Tensor:
        """See `model.last_layer.Narrowing`."""
        assert self.last is not None
        key, value = torch.cat([keys, key], 2), torch.cat([values, value], 2)
        return tree_attention(query, key, value, self.last.sight, scale).transpose(1, 2)


@dataclass(frozen=True)
class Siblings:
    """Rows of groups: `groups` says how many of each; every row has `own` tokens beside its group's `prompt`."""

    prompt: int
    own: int
    groups: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Distinct ones."""
        return len(self.groups) * self.prompt + sum(self.groups) * self.own

    def tree(self, kernel: bool, narrow: bool) -> Tree:
        """The packed row: each prompt, and behind it what follows it. narrow: Of a prompt only the last token goes
        through the last layer."""
        pieces: list[tuple[int, int, int]] = []
        above, at = [], 0
        wanted = np.ones(self.tokens, dtype=bool)
        for rows in self.groups:
            lengths = [self.prompt, *[self.own] * rows]
            ends = torch.tensor([at, *lengths]).cumsum(0).tolist()
            pieces += [(start, stop, stop) for start, stop in pairwise(ends) if stop > start]
            wanted[ends[0] : ends[1] - 1] = False
            if rows and self.own:
                pieces[-1 - rows] = (ends[0], ends[1], ends[-1])
                above.append(Above((ends[1], ends[-1]), (ends[0], ends[1])))
            at = ends[-1]
        last = narrowed(pieces, wanted, (), 0, CPU) if narrow else None
        if last is not None:
            last = replace(last, through=last.through.to(META), seen=last.seen.to(META), sight=_bare(last.sight))
        seen = sight([(start, stop) for start, stop, _ in pieces], above, 0, CPU)
        return Tree(_bare(seen), kernel, last=last)

    def below(self, skeleton: Skeleton, kernel: bool) -> Tree:
        """What follows prompts that were run already, alone."""
        outer = len(self.groups) * self.prompt
        ends = [row * self.own for row in range(sum(self.groups) + 1)]
        above, first = [], 0
        for place, rows in enumerate(self.groups):
            keys = (place * self.prompt, (place + 1) * self.prompt)
            above.append(Above((ends[first], ends[first + rows]), keys))
            first += rows
        heads, channels = cached(skeleton)
        made = [
            torch.empty((1, heads, outer, channels), dtype=skeleton.model.dtype, device=META, requires_grad=True)
            for _ in range(2)
        ]
        seen = _bare(sight(pairwise(ends), above, outer, CPU))
        return Tree(seen, kernel, (made[0], made[1]), len(self.groups))


def _bare(made: Sight) -> Sight:
    """With places that have no numbers either. How many they are must be found out while they do."""
    buckets = []
    for bucket in made.buckets:
        bare = Bucket(bucket.places.to(META), bucket.real.to(META))
        slots = bucket.slots
        vars(bare).update(rows=bucket.rows.to(META), slots=None if slots is None else slots.to(META))
        buckets.append(bare)
    return replace(made, buckets=tuple(buckets))


def packs(config: Config, skeleton: Skeleton, accelerator: bool) -> bool:
    """Whether micro-batches are packed rows, as `model.states.packs` will say of the model itself."""
    asked = config.engine.sharing
    return (asked == "tree" or (asked == "auto" and not accelerator)) and takes_layouts(skeleton.model)


def row_parts(config: Config, skeleton: Skeleton, patches: Sequence[int]) -> tuple[int, int]:
    """Tokens of the prompt of the longest row, and of what follows it. An episode of one turn writes all of the latter;
    of more turns nothing is known but that the prompt has its pictures."""
    sizes = config.rollout
    least = max(1, sum(patches) // merged(skeleton))
    own = sizes.episode_tokens if sizes.max_turns == 1 else sizes.max_row_tokens
    own = max(1, min(own, sizes.max_row_tokens - least))
    return max(1, sizes.max_row_tokens - own), own


def packed_rows(most: int, total: int, group: int, prompt: int, own: int) -> Siblings:
    """As many of `total` rows, in groups of `group`, as `most` tokens hold, at least one."""
    whole, rest = divmod(most, prompt + group * own)
    rows = min(total, max(1, whole * group + max(0, rest - prompt) // own))
    return Siblings(prompt, own, (group,) * (rows // group) + (rows % group,) * bool(rows % group))


def merged(skeleton: Skeleton) -> int:
    """Patches of an image token."""
    model = skeleton.model
    return int(model.model.visual.spatial_merge_size) ** 2 if has_mrope(model) else 1


def cached(skeleton: Skeleton) -> tuple[int, int]:
    """Heads of keys and values, and their channels."""
    text = skeleton.model.config.get_text_config()
    channels = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return text.num_key_value_heads, channels


def cache_bytes(skeleton: Skeleton, tokens: int) -> int:
    """Keys and values of every layer."""
    heads, channels = cached(skeleton)
    layers = len(skeleton.model.model.language_model.layers)
    return tokens * layers * heads * channels * 2 * skeleton.model.dtype.itemsize
