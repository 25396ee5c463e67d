"""What a recipe may say of the policy's model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class TinyShape:
    """Shape of the model that is made on the spot.

    Args:
        hidden: Width of the language model and of the vision tower; a multiple of 32.
        feed_forward: Inner width of both feed-forward layers.
        layers: Depth of the language model.
        vision_layers: Depth of the vision tower.
        patch: Side of a patch in pixels.
        merge: Patches per side that become one image token.
        vocabulary: Upper bound of the tokenizer's size, 256 bytes and special tokens included.
        max_pixels: Larger pictures are scaled down to this many pixels.
    """

    hidden: int = 64
    feed_forward: int = 192
    layers: int = 2
    vision_layers: int = 2
    patch: int = 14
    merge: int = 1
    vocabulary: int = 768
    max_pixels: int = 448 * 448


@dataclass(frozen=True)
class ComposeConfig:
    """What a model is composed of.

    Args:
        vision: A Hugging Face folder with a vision encoder such as CLIP's or SigLIP's (a whole CLIP or SigLIP model is
            fine), or its config as a mapping with `model_type`, for random weights.
        language: A folder with a causal language model and its tokenizer, or its config as a mapping.
        tokenizer: A folder with the tokenizer, where `language` is a mapping or has none.
        chat_template: A Jinja template, where the tokenizer has none.
        connector_layers: 1 to 4. With 2 the folder is an ordinary LLaVA, which other tools load.
        connector_act: The activation between them.
        vision_feature_layer: Which hidden state of the encoder is taken; -1: that of its last layer.
        select_strategy: "default" leaves the first feature (CLIP's class token) out; "full" takes all; "auto" is
            "default" for an encoder that has more features than patches.
        image_fit: How a picture becomes square: "pad" (LLaVA 1.5) or "stretch".
        image_token: What stands for a picture; added to the tokenizer.
        image_text: What the chat template writes for a picture; it holds the image token once.
    """

    vision: str | dict[str, Any]
    language: str | dict[str, Any]
    tokenizer: str | None = None
    chat_template: str | None = None
    connector_layers: int = 2
    connector_act: str = "gelu"
    vision_feature_layer: int = -2
    select_strategy: Literal["auto", "default", "full"] = "auto"
    image_fit: Literal["pad", "stretch"] = "pad"
    image_token: str = "<image>"
    image_text: str = "<image>\n"


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters in place of full training. There is no dropout: the trainer would see another policy than the
    one that sampled.

    Args:
        rank: Of the adapters; 0: the weights themselves are trained.
        alpha: Adapters are scaled by alpha / rank.
        target: "language" (the language model's linear layers), "all-linear", or a regular expression of module names.
        quantize: "nf4": the weights under the adapters are kept in four bits (QLoRA), which is meant for GPUs; "none":
            as they are.
    """

    rank: int = 0
    alpha: float = 16.0
    target: str = "language"
    quantize: Literal["none", "nf4"] = "none"


@dataclass(frozen=True)
class ModelConfig:
    """The policy's model.

    Args:
        path: A Hugging Face checkpoint folder, "tiny" for a model made on the spot, or "composed".
        tiny: Shape of the tiny model.
        composed: What a composed model is made of.
        dtype: Of the weights; "auto" is bfloat16 on a GPU that has it and float32 elsewhere.
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".
        torch_threads: Threads of one operation on the CPU; 0 leaves torch's default. A tiny model is fastest with 1.
        gradient_checkpointing: Compute activations again in the backward pass instead of keeping them.
        lora: Low-rank adapters in place of full training.
    """

    path: str = "tiny"
    tiny: TinyShape = field(default_factory=TinyShape)
    composed: ComposeConfig | None = None
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"
    torch_threads: int = 0
    gradient_checkpointing: bool = False
    lora: LoraConfig = field(default_factory=LoraConfig)
