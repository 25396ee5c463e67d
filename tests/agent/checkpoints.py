"""Tiny checkpoints of every family with random weights, in the layout of the published ones."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from agent.config_model import ComposeConfig
from agent.model.compose import compose
from agent.model.tiny import make_tokenizer

# As in the published tokenizer_config.json files: Qwen2-VL has the first list, Qwen2.5-VL and Qwen3-VL the others too.
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Not marked special, and yet control tokens by their meaning.
CODE_CONTROL = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>")
# Not special: words that a policy writes and an environment may mention.
TOOL_TAGS = ("<tool_call>", "</tool_call>")
QWEN3_TAGS = ("<tool_response>", "</tool_response>", "<think>", "</think>")

QWEN2_TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN3_TEMPLATE = """\
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].content is string %}
        {{- messages[0].content }}
    {%- else %}
        {%- for content in messages[0].content %}
            {%- if 'text' in content %}
                {{- content.text }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- set image_count = namespace(value=0) %}
{%- for message in messages %}
    {%- if message.role == "user" %}
        {{- '<|im_start|>' + message.role + '\\n' }}
        {%- if message.content is string %}
            {{- message.content }}
        {%- else %}
            {%- for content in message.content %}
                {%- if content.type == 'image' or 'image' in content or 'image_url' in content %}
                    {%- set image_count.value = image_count.value + 1 %}
                    {%- if add_vision_id %}Picture {{ image_count.value }}: {% endif -%}
                    <|vision_start|><|image_pad|><|vision_end|>
                {%- elif 'text' in content %}
                    {{- content.text }}
                {%- endif %}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role + '\\n' }}
        {%- if message.content is string %}
            {{- message.content }}
        {%- else %}
            {%- for content_item in message.content %}
                {%- if 'text' in content_item %}
                    {{- content_item.text }}
                {%- endif %}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
# What the thinking models' templates do: thoughts of earlier turns are dropped.
FORGETFUL_TEMPLATE = QWEN3_TEMPLATE.replace(
    "{{- content_item.text }}",
    "{{- content_item.text if loop.last and message == messages[-1] else content_item.text.split('</think>')[-1] }}",
)

PATCHES = {"qwen2_vl": 14, "qwen2_5_vl": 14, "qwen3_vl": 16}
MERGES = {"qwen2_vl": 1, "qwen2_5_vl": 2, "qwen3_vl": 2}
TEXTS = ["How many red circles are there? Look again.", "user\nassistant\nsystem\nYou are a helpful assistant.\n"] * 8


def write_tokenizer(folder: Path, family: str, template: str | None) -> PreTrainedTokenizerFast:
    tokenizer = make_tokenizer(TEXTS, 360)
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [AddedToken(t, special=True, normalized=False) for t in SPECIAL]}
    )
    plain = {"qwen2_vl": (), "qwen2_5_vl": TOOL_TAGS + CODE_CONTROL}.get(family, TOOL_TAGS + CODE_CONTROL + QWEN3_TAGS)
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in plain])
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return tokenizer


def write_model(folder: Path, family: str, tokenizer: PreTrainedTokenizerFast, merge: int, seed: int) -> None:
    ids = {
        "image_token_id": tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    }
    text: dict[str, Any] = {
        # Rows of the embedding that no token has, as in the published checkpoints.
        "vocab_size": -(-(len(tokenizer) + 5) // 64) * 64,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 4096,
        "initializer_range": 0.2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
        "bos_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision: dict[str, Any] = {
        "depth": 2,
        "num_heads": 2,
        "patch_size": PATCHES[family],
        "spatial_merge_size": merge,
        "temporal_patch_size": 2,
        "initializer_range": 0.1,
    }
    config: Any
    if family == "qwen2_vl":
        vision |= {"embed_dim": 64, "hidden_size": 64, "mlp_ratio": 2}
        config = Qwen2VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **ids)
        kind: Any = Qwen2VLForConditionalGeneration
    elif family == "qwen2_5_vl":
        # A window of two merged tokens: real pictures have several, so tests should.
        vision |= {"hidden_size": 64, "intermediate_size": 128, "out_hidden_size": 64, "fullatt_block_indexes": [1]}
        vision |= {"window_size": 2 * merge * PATCHES[family]}
        config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
        kind = Qwen2_5_VLForConditionalGeneration
    else:
        text |= {"head_dim": 32}
        text["rope_parameters"] |= {"mrope_section": [6, 5, 5], "mrope_interleaved": True}
        vision |= {"hidden_size": 64, "intermediate_size": 128, "out_hidden_size": 64}
        vision |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
        config = Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
        kind = Qwen3VLForConditionalGeneration
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind(config).save_pretrained(folder)


def write_image_processor(folder: Path, family: str, merge: int) -> None:
    side = PATCHES[family] * merge
    settings: dict[str, Any] = {
        "patch_size": PATCHES[family],
        "merge_size": merge,
        "temporal_patch_size": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    # Each family publishes its limits in another form.
    if family == "qwen3_vl":
        settings |= {"size": {"shortest_edge": side**2, "longest_edge": 16 * side**2}}
        settings |= {"image_processor_type": "Qwen2VLImageProcessorFast", "processor_class": "Qwen3VLProcessor"}
    else:
        settings |= {"min_pixels": side**2, "max_pixels": 16 * side**2}
        settings |= {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2VLProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def write_checkpoint(
    folder: Path, family: str, merge: int | None = None, seed: int = 0, template: str | None = None
) -> Path:
    """A checkpoint folder of `family` with random weights, in the layout of the published ones."""
    merge = merge or MERGES[family]
    folder.mkdir(parents=True, exist_ok=True)
    own = QWEN3_TEMPLATE if family == "qwen3_vl" else QWEN2_TEMPLATE
    tokenizer = write_tokenizer(folder, family, template or own)
    write_model(folder, family, tokenizer, merge, seed)
    write_image_processor(folder, family, merge)
    return folder


# The parts of a model in LLaVA's form.
SIDE, PATCH = 28, 7
CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
    "initializer_range": 0.2,
    "initializer_factor": 4.0,
}
LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.2,
    "vocab_size": 310,  # the tokenizer's, so that the image token needs a row more
}
# Of a text-only model, in the manner of Llama 2: contents are texts, trimmed; the system message is part of the first.
TEXT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}[INST] {{ message['content'] | trim }} [/INST]"
    "{% else %} {{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)


def write_text_tokenizer(folder: Path) -> Path:
    """The tokenizer of a text-only model, which knows no pictures."""
    tokenizer = make_tokenizer(TEXTS[::2], 310)
    tokenizer.chat_template = TEXT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def write_composed(folder: Path, seed: int = 3) -> Path:
    """A checkpoint folder in LLaVA's form: a vision encoder, a connector and a language model."""
    tokenizer = write_text_tokenizer(folder / "tokenizer")
    return compose(ComposeConfig(CLIP, LLAMA, str(tokenizer)), folder / "model", seed)
