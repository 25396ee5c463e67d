"""Load a vision-language model from a folder: Qwen2-VL, Qwen2.5-VL, Qwen3-VL, or one composed in LLaVA's form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    LlavaForConditionalGeneration,
    PreTrainedModel,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLForConditionalGeneration,
    Qwen3VLForConditionalGeneration,
)
from transformers.utils import logging as transformers_logging

from ..errors import CheckpointError
from .activations import keep_less
from .connector import ComposedForConditionalGeneration
from .llava import LlavaProcessor, check_attention
from .lora import save_merged
from .norms import lean_norms
from .patches import embed_by_products
from .processor import Processor, read_json
from .vision_pieces import join_pieces

transformers_logging.disable_progress_bar()  # the run has a bar of its own

FAMILIES: dict[str, type[PreTrainedModel]] = {
    "qwen2_vl": Qwen2VLForConditionalGeneration,
    "qwen2_5_vl": Qwen2_5_VLForConditionalGeneration,
    "qwen3_vl": Qwen3VLForConditionalGeneration,
    "llava": LlavaForConditionalGeneration,
    "rllava_composed": ComposedForConditionalGeneration,
}
PROCESSORS: dict[str, type[Processor]] = {"llava": LlavaProcessor, "rllava_composed": LlavaProcessor}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class VLM:
    """A model with its processor. `family`: the config's `model_type`."""

    model: PreTrainedModel
    processor: Processor
    family: str

    def save(self, folder: Path) -> None:
        """Write weights, config and processor in Hugging Face's format into an existing folder; of an adapter both what
        it makes of the weights and, in a folder beside them, itself."""
        save_merged(self.model, folder)
        self.processor.save(folder)


def load_vlm(folder: str | Path, dtype: str = "float32", device: str = "cpu") -> VLM:
    """Load a checkpoint folder.

    Args:
        folder: A Hugging Face checkpoint folder on this machine.
        dtype: "float32" or "bfloat16".
        device: Where torch puts it, such as "cpu" or "cuda:0".

    Raises:
        CheckpointError: the folder is missing, incomplete, or of a family that is not supported.
    """
    folder = Path(folder)
    family, processor = _family_of(folder), load_processor(folder)
    if family not in FAMILIES:
        raise CheckpointError(f"{folder}: model_type is {family!r}; supported are {', '.join(FAMILIES)}")
    try:
        model, report = FAMILIES[family].from_pretrained(
            folder, dtype=DTYPES[dtype], local_files_only=True, attn_implementation="sdpa", output_loading_info=True
        )
    # Whatever it is, it is the folder's fault: safetensors reports a damaged file as an exception of its own.
    except Exception as error:
        raise CheckpointError(f"{folder}: the weights cannot be loaded: {error}") from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise CheckpointError(
            f"{folder}: {len(missing)} weights are missing and would be random, among them {', '.join(missing[:3])}"
        )
    if family in PROCESSORS:
        check_attention(model, folder)
    refine(model)
    return VLM(model.to(device), processor, family)


def refine(model: PreTrainedModel) -> None:
    """Let a model of transformers' compute the same in less time and memory."""
    embed_by_products(model)
    keep_less(model)
    lean_norms(model)
    join_pieces(model)


def load_processor(folder: Path) -> Processor:
    """A checkpoint folder's tokenizer, image processor and chat template; its weights are not looked at.

    Raises:
        CheckpointError: a part is missing, or of another family.
    """
    return PROCESSORS.get(_family_of(folder), Processor)(folder)


def _family_of(folder: Path) -> str:
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; a model is a local Hugging Face checkpoint folder")
    return str(read_json(folder / "config.json", "the model's config").get("model_type"))
