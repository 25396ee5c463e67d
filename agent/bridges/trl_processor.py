"""A processor of pictures and text for TRL, where torchvision is not installed.

transformers' own processors of the Qwen families insist on a video processor, which needs torchvision. This one has the
image processor, tokenizer and chat template that our trainer uses, in the form that transformers and TRL expect.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import ProcessingKwargs, ProcessorMixin

from ..model.processor import Processor


class _Arguments(ProcessingKwargs, total=False):
    # The models of these families are told by token types where pictures are.
    _defaults = {"text_kwargs": {"padding": False, "return_mm_token_type_ids": True}}  # noqa: RUF012


class PictureProcessor(ProcessorMixin):
    """Pictures and text of a Qwen2-VL, Qwen2.5-VL or Qwen3-VL checkpoint; no videos."""

    valid_processor_kwargs = _Arguments

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str | None = None) -> None:
        self.image_token = Processor.image_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        super().__init__(image_processor, tokenizer, chat_template=chat_template)

    def replace_image_token(self, image_inputs: Mapping[str, Any], image_idx: int, **_: Any) -> str:
        """As many placeholders as the picture has features."""
        patches = int(image_inputs["image_grid_thw"][image_idx].prod())
        return self.image_token * (patches // self.image_processor.merge_size**2)

    @property
    def model_input_names(self) -> list[str]:
        return [*super().model_input_names, "mm_token_type_ids"]


def picture_processor(checkpoint: str | Path) -> PictureProcessor:
    """The processor of a checkpoint folder, for TRL's `processing_class`.

    Raises:
        CheckpointError: it is incomplete, or of another family.
    """
    parts = Processor(Path(checkpoint))
    # TRL pads prompts on the left, and takes from this processor which of their tokens are pictures.
    parts.tokenizer.padding_side = "left"
    template = parts.tokenizer.chat_template
    return PictureProcessor(parts.image_processor, parts.tokenizer, chat_template=str(template))
