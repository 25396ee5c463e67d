"""A checkpoint folder with random weights in the shape of Qwen3-VL-4B, or of a small one of the same family."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from agent.model.tiny import CHAT_TEMPLATE, SPECIAL_TOKENS, make_tokenizer


@dataclass(frozen=True)
class Size:
    """What is published in a model's config.json."""

    hidden: int
    feed_forward: int
    layers: int
    heads: int
    key_value_heads: int
    head: int
    vocabulary: int
    vision_hidden: int
    vision_feed_forward: int
    vision_layers: int
    deepstack: tuple[int, ...]


SIZES = {
    # Qwen/Qwen3-VL-4B-Instruct, config.json: 4.4 billion parameters.
    "4b": Size(2560, 9728, 36, 32, 8, 128, 151_936, 1024, 4096, 24, (5, 11, 17)),
    "small": Size(256, 768, 6, 4, 2, 64, 8192, 128, 384, 6, (1, 3)),
}


def make_checkpoint(folder: Path, name: str, texts: list[str], device: str, dtype: torch.dtype) -> Path:
    """Write it, unless it is there; returns the folder."""
    if (folder / "preprocessor_config.json").exists():
        return folder
    size, tokenizer = SIZES[name], make_tokenizer(texts, 1024)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    text = {
        "vocab_size": size.vocabulary,
        "hidden_size": size.hidden,
        "intermediate_size": size.feed_forward,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.key_value_heads,
        "head_dim": size.head,
        "max_position_embeddings": 262_144,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 5_000_000.0,
            "mrope_section": [size.head // 2 - 2 * (size.head // 6 - 1), size.head // 6 - 1, size.head // 6 - 1],
            "mrope_interleaved": True,
        },
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    vision = {
        "depth": size.vision_layers,
        "hidden_size": size.vision_hidden,
        "intermediate_size": size.vision_feed_forward,
        "num_heads": 16 if name == "4b" else 4,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": size.hidden,
        "deepstack_visual_indexes": list(size.deepstack),
        "num_position_embeddings": 2304,
    }
    config = Qwen3VLConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=True,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = Qwen3VLForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    settings = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "patch_size": 16,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "min_pixels": 65_536,
        "max_pixels": 16_777_216,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=2))
    return folder
