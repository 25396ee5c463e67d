"""A sampler that holds every prompt once for all siblings, and what each row has written (`rollout.hf_shared`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..config import Config
from ..model.forward import has_mrope
from ..model.last_layer import narrows
from ..model.layout import no_mask, takes_layouts
from ..model.rotations import most_steps
from ..rollout.hf_own import ROOM
from .blocks import Shape, chain
from .drawing import apart, drawing, empty, prompts_of, rows_of, vocabulary
from .live import META, FusedAttention, LiveBytes
from .packed import Siblings, cache_bytes, row_parts
from .skeleton import Skeleton
from .timeline import most


def shares_cache(config: Config, skeleton: Skeleton) -> bool:
    """Whether the recipe's sampler is one, as `rollout.hf` will find."""
    return config.engine.sharing != "none" and takes_layouts(skeleton.model)


def shared_moments(
    config: Config, skeleton: Skeleton, patches: tuple[int, ...], accelerator: bool, kept: int
) -> list[dict[str, int]]:
    """Bytes by owner: prompts at once, or what all rows have written, beside their prompts, with the logits of one
    token each. kept: Bytes of prompts with their graphs; where they are kept, they are run a few at a time."""
    prefill = _prefill(config, skeleton, patches, accelerator)
    with_kept = {"kept prompts": kept} if kept else {}
    return [prefill, *(moment | with_kept for moment in _decode(config, skeleton, patches))]


def _prefill(config: Config, skeleton: Skeleton, patches: tuple[int, ...], accelerator: bool) -> dict[str, int]:
    """All distinct prompts that may be open, in one packed forward pass. Their pictures count as encoded at once, which
    is an upper bound on a CPU."""
    sizes, prompts = config.rollout, prompts_of(config)
    tokens = max(1, sizes.max_row_tokens - sizes.max_turn_tokens)
    tree = Siblings(tokens, 0, (0,) * prompts).tree(not accelerator, narrows(skeleton.model))
    with torch.no_grad():
        shape = Shape(1, prompts * tokens, 0, patches * prompts, padded=False, tree=tree)
        blocks = chain(skeleton, shape, None)
    return apart(most(blocks, {"key-value cache": cache_bytes(skeleton, prompts * tokens)}, backward=False))


def _decode(config: Config, skeleton: Skeleton, patches: tuple[int, ...]) -> list[dict[str, int]]:
    """Every row at its longest: a token is drawn, and then run."""
    rows, prompts = rows_of(config), prompts_of(config)
    prompt, own = row_parts(config, skeleton, patches)
    one = vocabulary(skeleton) * skeleton.model.dtype.itemsize
    room, before = _room(own)
    shared, written = cache_bytes(skeleton, prompts * prompt) + prompts * one, cache_bytes(skeleton, rows * room)
    layers = len(skeleton.model.model.language_model.layers)
    turned, turning = _rotations(skeleton, rows)
    moments = [
        {"key-value cache": shared + written + turned, "logits": drawing(config, skeleton, rows)},
        {"key-value cache": shared + written + turned + _one_token(skeleton, rows), "logits": rows * one},
        {"key-value cache": shared + written + turning, "logits": rows * one},
        # The last buffer of all has grown, and the old one is still there.
        {"key-value cache": shared + written + cache_bytes(skeleton, rows * before) // (2 * layers)},
    ]
    if config.rollout.max_turns > 1:
        # What finished turns have written is put together anew, beside copies of it, when the next turn begins.
        moments.append({"key-value cache": shared + 2 * cache_bytes(skeleton, rows * own)})
    return moments


def _room(own: int) -> tuple[int, int]:
    """Columns of the buffer that holds so many tokens a row, but for the last, which is never run; and of the one
    before it. See `rollout.hf_own`."""
    before, room = 0, ROOM
    while room < own - 1:
        before, room = room, room + room // 2
    return room, before


class _Nothing:
    """A layout that looks at no key: what a token sees is there already, and products of one query a row are small."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        return torch.empty_like(query).transpose(1, 2)


def _rotations(skeleton: Skeleton, rows: int) -> tuple[int, int]:
    """Those of several steps of all rows: what they need while they wait, and while the next ones are made."""
    with torch.no_grad(), LiveBytes() as live:
        held = sum(each.nbytes for each in _turned(skeleton, rows, most_steps(rows)))
    return held, held + live.peak


def _turned(skeleton: Skeleton, rows: int, steps: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines."""
    model: Any = skeleton.model
    positions = empty(3, rows, steps) if has_mrope(model) else empty(rows, steps)
    turned: tuple[Tensor, Tensor] = model.model.language_model.rotary_emb(empty(1, dtype=model.dtype), positions)
    return turned


def _one_token(skeleton: Skeleton, rows: int) -> int:
    """The most that one layer needs to run a token of each row."""
    model: Any = skeleton.model
    text, turned = model.model.language_model, _turned(skeleton, rows, 1)
    states = empty(rows, 1, model.config.get_text_config().hidden_size, dtype=model.dtype)
    text.eval()  # gradient checkpointing is for training
    with torch.no_grad(), FusedAttention(), LiveBytes() as live:
        text.layers[0](states, attention_mask=no_mask(META), position_embeddings=turned, layout=_Nothing())
    text.train()
    return live.peak
