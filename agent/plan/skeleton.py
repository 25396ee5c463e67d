"""A model without weights: the architecture of a recipe's model on torch's meta device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, LlavaConfig, PreTrainedConfig, PreTrainedModel
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ..config import Config
from ..config_model import ComposeConfig
from ..errors import CheckpointError, ConfigError
from ..model import lora
from ..model.compose import language_config, measured, vision_config
from ..model.connector import ComposedConfig
from ..model.load import DTYPES, FAMILIES, refine
from ..model.processor import load_image_processor, read_json
from ..model.tiny import FAMILY, image_processor_settings, tiny_config
from ..model.trainable import freeze, parts
from .four_bit import quantize_on_meta
from .live import META


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A model on the meta device, with what is trained in it marked as the trainer marks it.

    Attributes:
        model: Has shapes, and no numbers.
        family: The config's `model_type`.
        images: The image processor of a Qwen family; None: every picture becomes the same number of patches.
    """

    model: PreTrainedModel
    family: str
    images: Any

    def patches(self, height: int, width: int) -> int:
        """Patches that the vision tower makes of a picture."""
        if self.images is None:
            vision = self.model.config.vision_config
            return int(vision.image_size // vision.patch_size) ** 2
        return int(self.images.get_number_of_image_patches(height, width))

    @property
    def trained(self) -> list[torch.nn.Parameter]:
        return [weight for weight in self.model.parameters() if weight.requires_grad]

    def gradient_bytes(self, seen: bool, itemsize: int = 0) -> int:
        """Of all gradients. seen: there are pictures; without any, only the language model gets gradients; itemsize: of
        a number, 0: as the weight's."""
        held = parts(self.model)
        learning = held.values() if seen else (held["language"],)
        learned = [weight for part in learning for weight in part.values() if weight.requires_grad]
        return sum(weight.numel() * (itemsize or weight.itemsize) for weight in learned)

    @property
    def weight_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in (*self.model.parameters(), *self.model.buffers()))


def make_skeleton(config: Config, dtype: str, whole: bool = False) -> Skeleton:
    """The policy's model as a recipe wants it trained: adapters, frozen parts, gradient checkpointing.

    Args:
        config: The recipe.
        dtype: "float32" or "bfloat16".
        whole: Every weight is trained and there is no adapter, as in a critic's own trunk.

    Raises:
        CheckpointError: the model's folder has no config, or one of a family that is not supported.
        ConfigError: adapters or frozen parts do not go together with the model.
    """
    family, settings, images = _described(config)
    model = on_meta(family, settings, dtype)
    if not whole:
        _mark(config, model)
    if config.model.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return Skeleton(model.train(), family, images)


def on_meta(family: str, settings: PreTrainedConfig, dtype: str) -> PreTrainedModel:
    """A model of a family, from its config."""
    with torch.device(META):
        model = FAMILIES[family]._from_config(settings, dtype=DTYPES[dtype], attn_implementation="sdpa")
    refine(model)
    return model


def _described(config: Config) -> tuple[str, PreTrainedConfig, Any]:
    path = config.model.path
    if path == "tiny":
        settings: PreTrainedConfig = tiny_config(config.model.tiny, config.model.tiny.vocabulary)
        pictures = image_processor_settings(config.model.tiny)
        kinds = ("image_processor_type", "processor_class")
        return FAMILY, settings, Qwen2VLImageProcessorPil(**{k: v for k, v in pictures.items() if k not in kinds})
    if path == "composed":
        if config.model.composed is None:
            raise ConfigError("model.path: composed needs model.composed: {vision: FOLDER, language: FOLDER}")
        settings = composed_config(config.model.composed)
        return settings.model_type, settings, None
    folder = Path(path)
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: no such folder; a plan needs config.json and preprocessor_config.json of the model, and no "
            "weights: --model.path FOLDER"
        )
    family = read_json(folder / "config.json", "the model's config").get("model_type")
    if family not in FAMILIES:
        raise CheckpointError(f"{folder}: model_type is {family!r}; supported are {', '.join(FAMILIES)}")
    try:
        settings = AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever it is, it is the folder's fault
        raise CheckpointError(f"{folder}: its config.json cannot be read: {error}") from error
    return family, settings, load_image_processor(folder) if family.startswith("qwen") else None


def composed_config(config: ComposeConfig) -> PreTrainedConfig:
    """Of the model that `model.compose` would write, but for the row that its image token adds to the embeddings."""
    vision, language = vision_config(config.vision), language_config(config.language)
    with torch.device(META):
        side, patch, features = measured(AutoModel.from_config(vision), config.vision_feature_layer)
    extra = features > (side // patch) ** 2
    settings: dict[str, Any] = {
        "vision_config": vision,
        "text_config": language,
        "projector_hidden_act": config.connector_act,
        "vision_feature_layer": config.vision_feature_layer,
        "vision_feature_select_strategy": "default" if extra and config.select_strategy != "full" else "full",
        "tie_word_embeddings": bool(language.tie_word_embeddings),
    }
    if config.connector_layers == 2:
        return LlavaConfig(**settings)
    return ComposedConfig(connector_layers=config.connector_layers, **settings)


def _mark(config: Config, model: PreTrainedModel) -> None:
    rates, options = asdict(config.optimizer.rates), config.model.lora
    frozen = [part for part, rate in rates.items() if not rate]
    if options.rank:
        on = [part for part in rates if part not in frozen]
        lora.attach(model, options.rank, options.alpha, target=options.target, on=on)
        if options.quantize != "none":
            quantize_on_meta(model)
    else:
        freeze(model, frozen)
