"""A tiny vision-language model, made on the spot: a real Qwen2.5-VL architecture, random weights, in the stock files.

Nothing is downloaded. The tokenizer is a byte-level BPE trained on texts that the caller gives (an environment's own
prompts and demonstrations), so common words are one token and any Unicode text still has tokens. The folder has the
layout of a published checkpoint: transformers loads it, and so does vLLM (which is why a head has 32 channels).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from ..config_model import TinyShape

FAMILY = "qwen2_5_vl"
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Ordinary words to the tokenizer: a policy writes them and an environment may mention them. Other tags that the texts
# hold become tokens too.
TAG_TOKENS = ("<think>", "</think>", "<answer>", "</answer>")
TAG = re.compile(r"</?[a-z]{2,16}>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Words are split as in Qwen's tokenizers: digits one by one, punctuation apart, a leading space kept with its word.
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def make_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE over `texts`, with Qwen's special tokens and the tags that the texts are written with."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern=Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    texts = list(texts)
    found = {tag for text in texts for tag in TAG.findall(text)}
    tags = (*TAG_TOKENS, *sorted(found.difference(TAG_TOKENS)))
    plain = ["user\n assistant\n system\n"] * 2  # the template's own words, which no environment says
    plain += [TAG.sub("\n", text) for text in texts]
    tokenizer.train_from_iterator(
        plain,
        trainers.BpeTrainer(
            vocab_size=vocabulary - len(SPECIAL_TOKENS) - len(tags),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in tags])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def make_tiny_vlm(folder: Path, texts: Iterable[str], seed: int, shape: TinyShape | None = None) -> Path:
    """Write a checkpoint folder with random weights drawn from `seed`; returns the folder."""
    shape = shape or TinyShape()
    if shape.hidden % 32:
        raise ValueError(f"the tiny model's hidden size must be a multiple of 32 (heads of 32), got {shape.hidden}")
    tokenizer = make_tokenizer(texts, shape.vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
        model = Qwen2_5_VLForConditionalGeneration(tiny_config(shape, len(tokenizer), ids))
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    (folder / "preprocessor_config.json").write_text(json.dumps(image_processor_settings(shape), indent=2))
    return folder


def tiny_config(shape: TinyShape, vocabulary: int, ids: Mapping[str, int] | None = None) -> Qwen2_5_VLConfig:
    """The model's config. ids: of the special tokens; without them, whatever comes first."""
    ids = ids or {token: index for index, token in enumerate(SPECIAL_TOKENS)}
    scale = shape.hidden**-0.5  # transformers' 0.02 suits wide models; at width 64 it learns many times more slowly
    return Qwen2_5_VLConfig(
        text_config={
            # A multiple of 64 is what inference kernels pad to anyway.
            "vocab_size": -(-vocabulary // 64) * 64,
            "hidden_size": shape.hidden,
            "intermediate_size": shape.feed_forward,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.hidden // 32,
            "num_key_value_heads": shape.hidden // 32,
            "max_position_embeddings": 4096,
            "initializer_range": scale,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": shape.vision_layers,
            "hidden_size": shape.hidden,
            "intermediate_size": shape.feed_forward,
            "num_heads": shape.hidden // 32,
            "patch_size": shape.patch,
            "spatial_merge_size": shape.merge,
            "temporal_patch_size": 2,
            "window_size": 8 * shape.patch * shape.merge,
            "out_hidden_size": shape.hidden,
            "fullatt_block_indexes": [shape.vision_layers - 1],
            "initializer_range": scale,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        bos_token_id=ids["<|endoftext|>"],
        eos_token_id=ids["<|im_end|>"],
        pad_token_id=ids["<|endoftext|>"],
        tie_word_embeddings=True,
        dtype="float32",
    )


def image_processor_settings(shape: TinyShape) -> dict[str, Any]:
    """What its preprocessor_config.json says."""
    side = shape.patch * shape.merge
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "patch_size": shape.patch,
        "merge_size": shape.merge,
        "temporal_patch_size": 2,
        "size": {"shortest_edge": side * side, "longest_edge": shape.max_pixels},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "resample": 3,
    }
