"""A micro-batch as a chain of blocks: what sees, what joins, the layers of the language model, the head.

Each kind of block is run once on the meta device at the recipe's own shapes (`live.footprint`); a layer that is there
36 times counts 36 times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..model.attention_parts import kernel_without_numbers
from ..model.chunked_logprobs import chunked_logprobs
from ..model.forward import has_mrope
from ..model.layout import no_mask
from .live import META, Footprint, LiveBytes, footprint
from .packed import Tree, merged
from .skeleton import Skeleton

Owner = Literal["vision activations", "language activations", "logits"]


@dataclass(frozen=True)
class Shape:
    """Of a micro-batch.

    Attributes:
        rows: Rows that are run at once.
        tokens: Of each row, padding included.
        actions: Action tokens of all rows together.
        pictures: Patches of each distinct picture of the rows.
        padded: Rows differ in length, so that attention needs a mask.
        accumulated: It is not the first of its update: gradients are there already.
        tree: All lie in one packed row, in which this says what they see; None: they are apart.
    """

    rows: int
    tokens: int
    actions: int
    pictures: tuple[int, ...] = ()
    padded: bool = True
    accumulated: bool = True
    tree: Tree | None = None

    @property
    def patches(self) -> int:
        return sum(self.pictures)


@dataclass(frozen=True)
class Head:
    """How log-probabilities are computed. `chunk`: positions at once, see `model.chunked_logprobs`."""

    temperature: float
    banned: int
    chunk: int
    entropy_gradient: bool


@dataclass(frozen=True)
class Block:
    """One block of the chain. `lingering`: bytes of gradients that wait for another block to add its own."""

    owner: Owner
    footprint: Footprint
    lingering: int = 0


def chain(skeleton: Skeleton, shape: Shape, head: Head | None) -> list[Block]:
    """The blocks of a forward pass, in order. head: None leaves it out, as a critic does."""
    with kernel_without_numbers(shape.tree is not None and shape.tree.kernel):
        return list(_Chain(skeleton, shape).blocks(head))


class _Chain:
    def __init__(self, skeleton: Skeleton, shape: Shape) -> None:
        self.shape = shape
        self.model: Any = skeleton.model
        self.qwen = has_mrope(skeleton.model)
        self.dtype = skeleton.model.dtype
        self.text = self.model.model.language_model
        self.width = self.model.config.get_text_config().hidden_size
        self.merged = merged(skeleton)
        self.upstream = False  # whether something before the next block is trained
        self._measured: dict[tuple[object, ...], Footprint] = {}

    def blocks(self, head: Head | None) -> Iterator[Block]:
        if self.shape.patches:
            yield from self._vision()
        tied = self.model.lm_head.weight is self.text.embed_tokens.weight and head is not None
        yield self._embedding()
        layers = self._layers()
        yield from layers
        yield self._block("language activations", self.text.norm, self._last_states())
        if head is not None:
            yield self._logits(head, tied)

    def _vision(self) -> Iterator[Block]:
        if not self.qwen:
            yield self._block("vision activations", self.model.model, run=self._llava_features)
            return
        tower = self.model.model.visual
        yield self._block("vision activations", tower, run=self._patches, weights=tower.patch_embed)
        width = (
            tower.merger.ln_q.weight.shape[0] if hasattr(tower.merger, "ln_q") else tower.merger.norm.weight.shape[0]
        )
        states = self._empty(self.shape.patches, width)
        position = self._empty(self.shape.patches, 2, dtype=torch.long)
        turned = tower.rotary_pos_emb(states, position)
        whole = list(self.shape.pictures)
        for index, layer in enumerate(tower.blocks):
            windowed = index not in getattr(tower, "fullatt_block_indexes", range(len(tower.blocks)))
            lengths = [part for one in whole for part in _windows(one, tower)] if windowed else whole
            ends = np.cumsum([0, *lengths])  # not a tensor: where attention is cut is asked on the host
            options = {"cu_seqlens": ends, "max_seqlen": max(lengths), "position_embeddings": turned}
            yield self._block("vision activations", layer, states, key=windowed, options=options)
            if index in getattr(tower, "deepstack_visual_indexes", ()):
                yield self._block("vision activations", tower.deepstack_merger_list[0], states)
        yield self._block("vision activations", tower.merger, states)

    def _patches(self) -> Tensor:
        tower, patches = self.model.model.visual, self.shape.patches
        made = tower.patch_embed(self._empty(patches, _pixels(tower), dtype=torch.float32))
        if hasattr(tower, "pos_embed"):
            places = self._empty(patches, 4, dtype=torch.long)
            weights = self._empty(patches, 4, dtype=torch.float32)
            made = made + (tower.pos_embed(places) * weights[:, :, None]).sum(1).to(made.dtype)
        if hasattr(tower, "window_size"):
            made = made[self._empty(patches, dtype=torch.long)]
        return made

    def _llava_features(self) -> Tensor:
        side = self.model.config.vision_config.image_size
        pixels = self._empty(len(self.shape.pictures), 3, side, side, dtype=torch.float32)
        return torch.cat(list(self.model.model.get_image_features(pixels, return_dict=True).pooler_output))

    def _embedding(self) -> Block:
        rows, tokens = self.shape.rows, self.shape.tokens
        features = min(rows * tokens, self.shape.patches // self.merged)

        def embed(*given: Tensor) -> Tensor:
            states = self.text.embed_tokens(self._empty(rows, tokens, dtype=torch.long))
            if not given:
                return states
            place = self._empty(features, dtype=torch.long)
            return states.view(-1, self.width).index_copy(0, place, given[0]).view(states.shape)

        given = (self._empty(features, self.width),) if features else ()
        return self._block("language activations", self.text.embed_tokens, *given, run=embed)

    def _layers(self) -> list[Block]:
        rows, tokens = self.shape.rows, self.shape.tokens
        states = self._empty(rows, tokens, self.width)
        position = self._empty(*((3,) if self.qwen else ()), rows, tokens, dtype=torch.long)
        with LiveBytes() as live:
            turned = self.text.rotary_emb(states, position)
            mask = self._empty(rows, 1, tokens, tokens, dtype=torch.bool) if self.shape.padded else None
            shared = live.now
        options = {"attention_mask": mask, "position_ids": position, "position_embeddings": turned}
        if self.shape.tree is not None:
            options |= {"layout": self.shape.tree, "attention_mask": no_mask(META)}
        narrow = self.shape.tree is not None and self.shape.tree.last is not None
        made = [
            self._block(
                "language activations", layer, states, key=narrow and layer is self.text.layers[-1], options=options
            )
            for layer in self.text.layers
        ]
        # What all layers share is there once; backwards where a layer of all tokens has kept it.
        first, later = made[0].footprint, shared * (len(made) > narrow)
        more = Footprint(
            first.forward + shared, first.kept + later, first.backward + later * bool(first.backward), first.gradients
        )
        return [Block("language activations", more), *made[1:]]

    def _last_states(self) -> Tensor:
        """Of the tokens that go through the last layer."""
        last = None if self.shape.tree is None else self.shape.tree.last
        return self._empty(self.shape.rows, self.shape.tokens if last is None else len(last.through), self.width)

    def _logits(self, head: Head, tied: bool) -> Block:
        count = self.shape.actions

        def run(states: Tensor) -> Tensor:
            flat = states.view(-1, self.width)
            if self.shape.tree is not None and self.shape.tree.outer is not None:
                flat = torch.cat([self._empty(self.shape.tree.prompts, self.width), flat])
            chosen = flat[self._empty(count, dtype=torch.long)]
            logprobs, entropy = chunked_logprobs(
                self.model.lm_head,
                chosen,
                self._empty(count, dtype=torch.long),
                head.temperature,
                range(head.banned),
                head.chunk,
                head.entropy_gradient,
            )
            return logprobs + entropy if head.entropy_gradient else logprobs

        block = self._block("logits", self.model.lm_head, self._last_states(), run=run)
        weight = self.model.lm_head.weight
        waits = tied and weight.requires_grad and self.shape.accumulated
        return Block("logits", block.footprint, weight.nbytes if waits else 0)

    def _block(
        self,
        owner: Owner,
        module: nn.Module,
        *inputs: Tensor,
        run: Callable[..., Tensor] | None = None,
        key: object = None,
        options: dict[str, Any] | None = None,
        weights: nn.Module | None = None,
    ) -> Block:
        held = list((weights or module).parameters())
        upstream = self.upstream
        kind = (type(module), key, upstream, sum(w.numel() for w in held), sum(w.requires_grad for w in held))
        if run is not None or kind not in self._measured:
            given = [tensor.detach().requires_grad_(upstream) for tensor in inputs]
            self._measured[kind] = footprint(
                lambda *states: (run or module)(*states, **(options or {})),
                *given,
                weights=held,
                accumulated=self.shape.accumulated,
            )
        self.upstream = upstream or any(weight.requires_grad for weight in held)
        return Block(owner, self._measured[kind])

    def _empty(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return torch.empty(shape, dtype=dtype or self.dtype, device=META)


def _pixels(tower: Any) -> int:
    config = tower.config
    return int(getattr(config, "in_channels", 3) * config.temporal_patch_size * config.patch_size**2)


def _windows(patches: int, tower: Any) -> list[int]:
    """Patches of each window of a picture; those at its edges are taken as whole ones."""
    window = (tower.window_size // tower.spatial_merge_size // tower.patch_size * tower.spatial_merge_size) ** 2
    whole, rest = divmod(patches, window)
    return [window] * whole + [rest] * bool(rest)
