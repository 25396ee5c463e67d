"""Processors of every chat family, without weights: committed tokens, templates in the families' manner."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, PreTrainedTokenizerFast

from agent.config_model import TinyShape
from agent.model.compose import FLATTEN
from agent.model.llava import LlavaProcessor
from agent.model.processor import Processor
from agent.model.tiny import CHAT_TEMPLATE, image_processor_settings
from agent.rollout.dialogue import Dialogue
from agent.rollout.render import Renderer
from agent.types import Row, Segment
from tests.agent.checkpoints import (
    CODE_CONTROL,
    MERGES,
    PATCHES,
    QWEN2_TEMPLATE,
    QWEN3_TAGS,
    QWEN3_TEMPLATE,
    SPECIAL,
    TEXT_TEMPLATE,
    TOOL_TAGS,
    write_image_processor,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "rendering"
SIDE, PATCH = 28, 7  # of LLaVA's tower

SHOWN = (
    "{%- macro shown(content) -%}{%- if content is string -%}{{ content }}{%- else -%}{%- for part in content -%}"
    "{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>{%- else -%}{{ part.text }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{%- endmacro -%}"
)
TOOL_RESPONSE = (
    "{%- if message.role == 'tool' -%}"
    "{%- if loop.first or messages[loop.index0 - 1].role != 'tool' -%}{{ '<|im_start|>user' }}{%- endif -%}"
    "{{ '\\n<tool_response>\\n' + shown(message.content) + '\\n</tool_response>' }}"
    "{%- if loop.last or messages[loop.index0 + 1].role != 'tool' -%}{{ '<|im_end|>\\n' }}{%- endif -%}"
)
# As Qwen3-VL's: what tools answer stands in a user turn, between tags.
TOOLS_TEMPLATE = (
    SHOWN + "{%- for message in messages -%}" + TOOL_RESPONSE + "{%- elif message.role in ('user', 'assistant') -%}"
    "{{ '<|im_start|>' + message.role + '\\n' + shown(message.content) + '<|im_end|>\\n' }}"
    "{%- endif -%}{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)
# As the thinking models': an answer begins inside of a thought; thoughts before the last query are dropped, and a user
# message that is a tool's response is no query.
THINKING_TEMPLATE = (
    SHOWN + "{%- set last = namespace(query=messages | length - 1, found=false) -%}"
    "{%- for message in messages[::-1] -%}"
    "{%- if message.role == 'user' and not last.found -%}{%- set said = shown(message.content) -%}"
    "{%- if not (said.startswith('<tool_response>') and said.endswith('</tool_response>')) -%}"
    "{%- set last.found = true -%}{%- set last.query = messages | length - 1 - loop.index0 -%}"
    "{%- endif -%}{%- endif -%}{%- endfor -%}"
    "{%- for message in messages -%}" + TOOL_RESPONSE + "{%- elif message.role == 'assistant' -%}"
    "{%- set said = shown(message.content) -%}{%- set thought = '' -%}"
    "{%- if '</think>' in said -%}"
    "{%- set thought = said.split('</think>')[0].split('<think>')[-1].strip('\\n') -%}"
    "{%- set said = said.split('</think>')[-1].lstrip('\\n') -%}{%- endif -%}"
    "{{ '<|im_start|>assistant\\n' }}"
    "{%- if loop.index0 > last.query -%}{{ '<think>\\n' + thought + '\\n</think>\\n\\n' }}{%- endif -%}"
    "{{ said + '<|im_end|>\\n' }}"
    "{%- else -%}{{ '<|im_start|>' + message.role + '\\n' + shown(message.content) + '<|im_end|>\\n' }}"
    "{%- endif -%}{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n<think>\\n' }}{%- endif -%}"
)
# As LLaVA 1.5's: roles in capitals, a space after each text, pictures before it, and no end token after an answer.
VICUNA_TEMPLATE = (
    "{%- for message in messages -%}{{ message.role.upper() + ': ' }}"
    "{%- for part in message.content -%}{%- if part.type == 'image' -%}{{ '<image>\\n' }}{%- endif -%}{%- endfor -%}"
    "{%- for part in message.content -%}{%- if part.type == 'text' -%}{{ part.text + ' ' }}{%- endif -%}{%- endfor -%}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}"
)


@dataclass(frozen=True)
class Family:
    """`files`: whose tokens and picture sizes it has. `space`: what its template puts before an answer and the policy
    writes itself. `trims`: whether it takes white space off a message's edges, which is left where it is here."""

    files: str
    template: str
    observations: Any = "user"
    space: str = ""
    trims: bool = False


FAMILIES = {
    "qwen2_vl": Family("qwen2_vl", QWEN2_TEMPLATE),
    "qwen2_5_vl": Family("qwen2_5_vl", QWEN2_TEMPLATE),
    "qwen3_vl": Family("qwen3_vl", QWEN3_TEMPLATE),
    "qwen3_vl_tools": Family("qwen3_vl", TOOLS_TEMPLATE, "tool"),
    "llava": Family("llava", FLATTEN.replace("IMAGE", json.dumps("<image>\n")) + TEXT_TEMPLATE, space=" ", trims=True),
    "tiny": Family("tiny", CHAT_TEMPLATE),
    # These rewrite history.
    "thinking": Family("qwen3_vl", THINKING_TEMPLATE),
    "thinking_tools": Family("qwen3_vl", THINKING_TEMPLATE, "tool"),
    "vicuna": Family("llava", VICUNA_TEMPLATE),
}
REWRITING = ("thinking", "thinking_tools", "vicuna")


def processor_of(folder: Path, name: str) -> Processor:
    """The processor of a family, from files in `folder` (a checkpoint's but for its weights)."""
    family = FAMILIES[name]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(GOLDEN / "tokenizer.json"), eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    if family.files == "llava":
        tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken("<image>", normalized=False)]})
    elif family.files != "tiny":
        special = [AddedToken(token, special=True, normalized=False) for token in SPECIAL]
        tokenizer.add_special_tokens({"additional_special_tokens": special})
        words = () if family.files == "qwen2_vl" else TOOL_TAGS + CODE_CONTROL
        words += QWEN3_TAGS if family.files == "qwen3_vl" else ()
        tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in words])
    tokenizer.chat_template = family.template
    tokenizer.save_pretrained(folder)
    if family.files == "llava":
        return _llava(folder, tokenizer)
    merge, patch = MERGES.get(family.files, 1), PATCHES.get(family.files, 14)
    if family.files == "tiny":
        (folder / "preprocessor_config.json").write_text(json.dumps(image_processor_settings(TinyShape())))
    else:
        write_image_processor(folder, family.files, merge)
    vision = {"patch_size": patch, "spatial_merge_size": merge, "temporal_patch_size": 2}
    config = {
        "model_type": "qwen2_5_vl" if family.files == "tiny" else family.files,
        "vision_config": vision,
        "text_config": {"vocab_size": len(tokenizer)},
        "image_token_id": tokenizer.convert_tokens_to_ids("<|image_pad|>"),
    }
    (folder / "config.json").write_text(json.dumps(config))
    return Processor(folder)


def _llava(folder: Path, tokenizer: PreTrainedTokenizerFast) -> Processor:
    LlavaConfig(
        vision_config=CLIPVisionConfig(image_size=SIDE, patch_size=PATCH),
        text_config=LlamaConfig(vocab_size=len(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="default",
    ).save_pretrained(folder)
    images = {
        "image_processor_type": "LlavaImageProcessor",
        "do_pad": True,
        "do_center_crop": False,
        "size": {"height": SIDE, "width": SIDE},
        "crop_size": {"height": SIDE, "width": SIDE},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    processor = {
        "image_token": "<image>",
        "patch_size": PATCH,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    }
    (folder / "processor_config.json").write_text(json.dumps(processor))
    return LlavaProcessor(folder)


@dataclass(frozen=True)
class Turn:
    """What an environment shows and the policy answers; `ended`: whether by its end token."""

    text: str
    images: tuple[np.ndarray, ...]
    answer: str
    ended: bool = True


def rows_of(renderer: Renderer, turns: Sequence[Turn]) -> tuple[Row, ...]:
    """The rows of an episode of these turns."""
    dialogue, rows = Dialogue(renderer), []
    for index, turn in enumerate(turns):
        if index == 0:
            segment = dialogue.opened(turn.text, turn.images, 0)
        else:
            before = turns[index - 1]
            segment = dialogue.continued(action.token_ids, before.ended, turn.text, turn.images, index)
        if segment.kind == "prompt":
            rows.append(Row((segment,)))
        else:
            rows[-1] = rows[-1].append(segment)
        stop = renderer.processor.stop_ids[:1] if turn.ended else ()
        action = Segment("action", (*renderer.processor.encode(turn.answer), *stop), index)
        rows[-1] = rows[-1].append(action)
    return tuple(rows)
