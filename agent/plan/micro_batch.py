"""The largest micro-batch that a recipe allows."""

from __future__ import annotations

from math import ceil

from ..algorithm import resolve
from ..config import Config
from ..model.last_layer import narrows
from .blocks import Shape
from .packed import Siblings, cache_bytes, packed_rows, packs, row_parts
from .skeleton import Skeleton


def micro_batch(config: Config, skeleton: Skeleton, patches: tuple[int, ...], accelerator: bool) -> Shape:
    """Packed, it counts a prompt once; padded, whole rows, and siblings, which are neighbours, share their pictures
    unless nothing is shared at all."""
    sizes, total = config.rollout, _rows(config)
    if packs(config, skeleton, accelerator):
        rows = _siblings(config, skeleton, patches)
        return Shape(
            1,
            rows.tokens,
            _actions(config, rows),
            patches * len(rows.groups),
            padded=False,
            accumulated=total > sum(rows.groups),
            tree=rows.tree(not accelerator, narrows(skeleton.model)),
        )
    count = min(total, max(1, config.optimizer.micro_batch_tokens // sizes.max_row_tokens))
    return Shape(
        count,
        sizes.max_row_tokens,
        count * min(sizes.episode_tokens, sizes.max_row_tokens - 1),
        patches * (count if config.engine.sharing == "none" else ceil(count / sizes.group_size)),
        padded=count > 1,
        accumulated=total > count,
    )


def micro_batch_below(
    config: Config, skeleton: Skeleton, patches: tuple[int, ...], accelerator: bool
) -> tuple[Shape, int]:
    """The packed one without its prompts, which were run already; and the bytes of their keys and values, which lie
    beside each other for it."""
    rows = _siblings(config, skeleton, patches)
    shape = Shape(
        1,
        rows.own * sum(rows.groups),
        _actions(config, rows),
        padded=False,
        accumulated=_rows(config) > sum(rows.groups),
        tree=rows.below(skeleton, not accelerator),
    )
    return shape, cache_bytes(skeleton, len(rows.groups) * rows.prompt)


def _rows(config: Config) -> int:
    """Of an update."""
    return ceil(config.rollout.prompts_per_step * config.rollout.group_size / resolve(config).config.mini_batches)


def _siblings(config: Config, skeleton: Skeleton, patches: tuple[int, ...]) -> Siblings:
    parts = row_parts(config, skeleton, patches)
    return packed_rows(config.optimizer.micro_batch_tokens, _rows(config), config.rollout.group_size, *parts)


def _actions(config: Config, rows: Siblings) -> int:
    return sum(rows.groups) * min(config.rollout.episode_tokens, rows.own)
