"""Tiny checkpoints with random weights, as Hugging Face folders: our trainer, TRL and `generate` load the same one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from agent.config_model import TinyShape
from agent.model.load import load_processor
from agent.model.tiny import CHAT_TEMPLATE, SPECIAL_TOKENS, image_processor_settings, make_tokenizer
from agent.rollout.render import Renderer

from .world import ANSWER, QUESTION, SHORT, picture

LARGE = "qwen2_vl_2b"  # Qwen/Qwen2-VL-2B-Instruct, config.json, with random weights
HIDDEN, FEED_FORWARD, LAYERS, VISION_LAYERS, MERGE = 128, 256, 2, 2, 2
PATCHES = {"qwen2_vl": 14, "qwen2_5_vl": 14, "qwen3_vl": 16, LARGE: 14}
VOCABULARY = 608  # rows of the embedding
SCALE = HIDDEN**-0.5  # of the random weights


def texts() -> list[str]:
    """Material for the tokenizer: what the world says, and words enough that the end token is one of hundreds."""
    generator = np.random.default_rng(0)
    syllables = [a + b for a in "bcdfghjklmnprstvwz" for b in "aeiou"]
    words = ["".join(generator.choice(syllables, size=2)) for _ in range(600)]
    return [f"{QUESTION}{ANSWER}{' '.join(generator.choice(words, size=12))} 0123456789" for _ in range(300)]


def write_folder(folder: Path, family: str = "qwen2_vl") -> Path:
    """Write a checkpoint folder, unless it is there; returns it."""
    if (folder / "preprocessor_config.json").exists():
        return folder
    tokenizer = make_tokenizer(texts(), VOCABULARY)
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make_large(tokenizer) if family == LARGE else make_model(family, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    (folder / "preprocessor_config.json").write_text(json.dumps(image_settings(family), indent=1))
    return folder


def make_model(family: str, tokenizer: PreTrainedTokenizerFast) -> Any:
    """The tiny model with random weights."""
    text: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HIDDEN // 32,
        "num_key_value_heads": HIDDEN // 32,
        "max_position_embeddings": 8192,
        "initializer_range": SCALE,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 6, 6]},
    }
    vision: dict[str, Any] = {
        "depth": VISION_LAYERS,
        "num_heads": HIDDEN // 32,
        "patch_size": PATCHES[family],
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "initializer_range": SCALE,
        "hidden_size": HIDDEN,
    }
    if family == "qwen2_vl":
        vision |= {"embed_dim": HIDDEN, "mlp_ratio": 4}
        return Qwen2VLForConditionalGeneration(Qwen2VLConfig(**_parts(text, vision, tokenizer)))
    vision |= {"intermediate_size": 2 * HIDDEN, "out_hidden_size": HIDDEN}
    if family == "qwen2_5_vl":
        vision |= {"fullatt_block_indexes": [VISION_LAYERS - 1], "window_size": 112}
        return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**_parts(text, vision, tokenizer)))
    text |= {"head_dim": 32}
    text["rope_parameters"] |= {"mrope_section": [6, 5, 5], "mrope_interleaved": True}
    vision |= {"num_position_embeddings": 2304, "deepstack_visual_indexes": [0]}
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(**_parts(text, vision, tokenizer)))


def large_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2VLConfig:
    """Of two billion parameters, as published."""
    text: dict[str, Any] = {
        "vocab_size": 151_936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32_768,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [16, 24, 24]},
    }
    vision: dict[str, Any] = {
        "depth": 32,
        "embed_dim": 1280,
        "mlp_ratio": 4,
        "num_heads": 16,
        "hidden_size": 1536,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    return Qwen2VLConfig(**_parts(text, vision, tokenizer))


def make_large(tokenizer: PreTrainedTokenizerFast) -> Any:
    """In bfloat16, made on the GPU, which takes seconds."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            return Qwen2VLForConditionalGeneration(large_config(tokenizer))
    finally:
        torch.set_default_dtype(before)


def _parts(text: dict[str, Any], vision: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """What a config is made of."""
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    ends = {
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    return ends | {
        "text_config": text | ends,
        "vision_config": vision,
        "tie_word_embeddings": True,
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }


def image_settings(family: str) -> dict[str, Any]:
    """preprocessor_config.json: pictures keep their size."""
    processors = {"qwen2_5_vl": "Qwen2_5_VLProcessor", "qwen3_vl": "Qwen3VLProcessor"}
    shape = TinyShape(patch=PATCHES[family], merge=MERGE, max_pixels=1024 * 1024)
    return image_processor_settings(shape) | {"processor_class": processors.get(family, "Qwen2VLProcessor")}


def digits_for(folder: Path, side: int, prompt: int) -> int:
    """How many digits the question needs, for a prompt of so many tokens with a picture of that side; 0 tokens: a
    short question.

    Raises:
        ValueError: the prompt would be shorter than its picture and its frame.
    """
    if not prompt:
        return SHORT
    renderer = Renderer(load_processor(folder))
    frame = len(renderer.prompt(QUESTION, [picture(0, side)]).token_ids)
    if prompt < frame:
        raise ValueError(f"a prompt of {prompt} tokens has no room for the {frame} of its picture and its frame")
    return prompt - frame
