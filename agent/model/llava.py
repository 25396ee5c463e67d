"""LLaVA's form: pictures of one size, one token a patch, positions that count the tokens (arXiv 2304.08485).

Every picture becomes as many tokens as any other, whatever its size. What an image processor would cut off never
reaches the model, so one that crops is refused: pictures are padded to a square or stretched.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoConfig, PreTrainedModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from ..errors import CheckpointError
from . import connector  # noqa: F401  (makes its family known to AutoConfig)
from .processor import NOT_SETTINGS, Processor, image_processor_settings, read_json

IMAGE_PROCESSORS: dict[str, Any] = {
    "LlavaImageProcessor": LlavaImageProcessorPil,
    "CLIPImageProcessor": CLIPImageProcessorPil,
    "SiglipImageProcessor": SiglipImageProcessorPil,
}


class LlavaProcessor(Processor):
    """Tokenizer, image processor and chat template of a LLaVA folder."""

    image_frame = ()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What processor_config.json says."""
        return read_json(self.folder / "processor_config.json", "how many tokens a picture has")

    @cached_property
    def image_token(self) -> str:  # type: ignore[override]
        return str(self.settings.get("image_token", "<image>"))

    @cached_property
    def tokens(self) -> int:
        """Of every picture: its patches and what else the tower adds (such as a class token), less the one that the
        strategy "default" leaves out."""
        side = self._side // int(self.settings["patch_size"])
        dropped = self.settings["vision_feature_select_strategy"] == "default"
        return side * side + int(self.settings.get("num_additional_image_tokens", 0)) - dropped

    @cached_property
    def vocabulary(self) -> int:
        """Rows of the embedding matrix: token ids are below this."""
        return int(self._models.text_config.vocab_size)

    @cached_property
    def _models(self) -> Any:
        """The model's config with what config.json leaves out because it is usual."""
        try:
            return AutoConfig.from_pretrained(self.folder, local_files_only=True)
        except Exception as error:
            raise CheckpointError(f"{self.folder}: config.json cannot be read: {error}") from error

    @property
    def _side(self) -> int:
        return int(self._models.vision_config.image_size)

    def _load_images(self) -> Any:
        return load_llava_images(self.folder)

    def _check_images(self) -> None:
        models = {
            "patch_size": self._models.vision_config.patch_size,
            "vision_feature_select_strategy": self._models.vision_feature_select_strategy,
        }
        for name, value in models.items():
            if self.settings.get(name) != value:
                raise CheckpointError(
                    f"{self.folder}: processor_config.json has {name}={self.settings.get(name)!r}, config.json has "
                    f"{value!r}. The processor belongs to another model; copy the one that came with these weights."
                )
        # A marked corner must leave a trace, and every picture must become a square of the tower's side.
        for height, width in ((self._side, 3 * self._side), (3 * self._side, self._side)):
            dark = np.zeros((height, width, 3), dtype=np.uint8)
            marked = dark.copy()
            marked[: height // 6, : width // 6] = 255
            seen = [self._pixels(image) for image in (dark, marked)]
            if seen[0].shape != (1, 3, self._side, self._side):
                raise CheckpointError(
                    f"{self.folder}: the image processor makes a picture {tuple(seen[0].shape)}, the vision tower "
                    f"takes (1, 3, {self._side}, {self._side}); give both sides as its size"
                )
            if np.array_equal(seen[0], seen[1]):
                raise CheckpointError(
                    f"{self.folder}: the image processor cuts off what stands at the border of a picture. Set "
                    f'do_center_crop to false and size to {{"height": {self._side}, "width": {self._side}}}'
                )

    def _pixels(self, image: np.ndarray) -> np.ndarray:
        out = self.image_processor(images=[image], return_tensors="np", input_data_format="channels_last")
        return np.asarray(out["pixel_values"])

    def _layout(self, out: Mapping[str, Any]) -> tuple[tuple[int, int, int], int]:
        return (self.tokens, 1, 1), self.tokens


def load_llava_images(folder: Path) -> Any:
    """The image processor of a LLaVA folder or of a vision encoder's.

    Raises:
        CheckpointError: it is missing or of a kind that is not supported.
    """
    settings = image_processor_settings(folder)
    kind = str(settings.get("image_processor_type")).removesuffix("Pil").removesuffix("Fast")
    if kind not in IMAGE_PROCESSORS:
        raise CheckpointError(
            f"{folder}: the image processor is {settings.get('image_processor_type')!r}; a model in LLaVA's form has "
            f"{', '.join(IMAGE_PROCESSORS)}"
        )
    return IMAGE_PROCESSORS[kind](**{name: value for name, value in settings.items() if name not in NOT_SETTINGS})


def check_attention(model: PreTrainedModel, folder: Path) -> None:
    """Refuse a language model of which some layers forget: the sampler's caches hold every token of an episode.

    Raises:
        CheckpointError: a layer attends to a window, or is no attention.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    window = getattr(config, "sliding_window", None) if getattr(config, "layer_types", None) is None else None
    if kinds or window:
        raise CheckpointError(
            f"{folder}: the language model has {', '.join(sorted(kinds)) or f'a sliding window of {window} tokens'}; "
            "supported are layers that attend to every earlier token"
        )
