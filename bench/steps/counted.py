"""Operations that a Qwen2-VL cannot do without: multiplications and additions of its matrix products.

A linear layer takes 2 x weights a token; attention 4 x length^2 x channels, of scores and of values, the masked half
included, as kernels on a CPU compute it. A backward pass takes twice the forward one. The vision tower's patches need
no gradient themselves. Norms, activations and sampling are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

GIGA = 1e9


@dataclass(frozen=True)
class Shape:
    """Of a Qwen2-VL: layers, widths, and the numbers of weights that every token meets in one layer."""

    layers: int
    hidden: int
    channels: int  # of all attention heads together
    weights: int  # of a layer's matrices
    key_weights: int  # of those, the ones that make keys and values
    vocabulary: int
    vision_layers: int
    vision_hidden: int
    vision_weights: int
    patch_inputs: int
    merge: int

    @staticmethod
    def of(config: Any) -> Shape:
        """Of a `Qwen2VLConfig`."""
        text, vision = config.text_config, config.vision_config
        head = text.hidden_size // text.num_attention_heads
        channels, keys = text.num_attention_heads * head, text.num_key_value_heads * head
        return Shape(
            layers=text.num_hidden_layers,
            hidden=text.hidden_size,
            channels=channels,
            weights=text.hidden_size * (2 * channels + 2 * keys + 3 * text.intermediate_size),
            key_weights=text.hidden_size * 2 * keys,
            vocabulary=text.vocab_size,
            vision_layers=vision.depth,
            vision_hidden=vision.embed_dim,
            vision_weights=vision.embed_dim**2 * 4 + 2 * vision.embed_dim * int(vision.embed_dim * vision.mlp_ratio),
            patch_inputs=vision.in_channels * vision.temporal_patch_size * vision.patch_size**2,
            merge=vision.spatial_merge_size,
        )


@dataclass(frozen=True)
class Work:
    """Of one step. `image_tokens`: of a prompt's picture, which are among its `prompt` tokens."""

    prompts: int
    group: int
    prompt: int
    image_tokens: int
    response: int

    @property
    def rows(self) -> int:
        return self.prompts * self.group


def embedding(shape: Shape, image_tokens: int) -> float:
    """From pixels to patches."""
    return 2.0 * image_tokens * shape.merge**2 * shape.patch_inputs * shape.vision_hidden


def tower(shape: Shape, image_tokens: int) -> float:
    """From patches to the language model, of one picture."""
    patches, wide = image_tokens * shape.merge**2, shape.vision_hidden * shape.merge**2
    layers = shape.vision_layers * (2.0 * patches * shape.vision_weights + 4.0 * patches**2 * shape.vision_hidden)
    return layers + 2.0 * image_tokens * (wide**2 + wide * shape.hidden)


def vision(shape: Shape, image_tokens: int) -> float:
    """The forward pass of one picture."""
    return embedding(shape, image_tokens) + tower(shape, image_tokens)


def text(shape: Shape, new: float, before: float = 0, asked: float | None = None) -> float:
    """The forward pass of `new` tokens of a row, which also see `before` others whose keys are kept; without head.
    asked: Of how many the last state is wanted; None: of all."""

    def layer(through: float) -> float:
        products = through * (shape.weights - shape.key_weights) + new * shape.key_weights
        return 2.0 * products + 4.0 * through * (before + new) * shape.channels

    return (shape.layers - 1) * layer(new) + layer(new if asked is None else asked)


def head(shape: Shape, tokens: float) -> float:
    return 2.0 * tokens * shape.hidden * shape.vocabulary


def forward(shape: Shape, work: Work, shared: bool) -> float:
    """A pass over prompts and responses. `shared`: a prompt and its picture once a group, and not once a row."""
    times = work.prompts if shared else work.rows
    if shared:
        words = work.prompts * text(shape, work.prompt, asked=1) + work.rows * text(shape, work.response, work.prompt)
    else:
        words = work.rows * text(shape, work.prompt + work.response)
    return times * vision(shape, work.image_tokens) + words + head(shape, work.rows * work.response)


def update(shape: Shape, work: Work, shared: bool) -> float:
    """That, and its backward pass."""
    times = work.prompts if shared else work.rows
    return 3 * forward(shape, work, shared) - times * embedding(shape, work.image_tokens)


def rollout(shape: Shape, work: Work, shared: bool) -> float:
    """The prompts, then one token a row at a time; the last one drawn is not run."""
    times = work.prompts if shared else work.rows
    words = text(shape, work.prompt, asked=1 if shared else None)
    prompts = times * (vision(shape, work.image_tokens) + words + head(shape, 1))
    tokens = work.response - 1
    decoded = sum(text(shape, 1, work.prompt + index) + head(shape, 1) for index in range(tokens))
    return prompts + work.rows * decoded


def step(shape: Shape, work: Work, shared: bool) -> float:
    """Rollout and one update."""
    return rollout(shape, work, shared) + update(shape, work, shared)
