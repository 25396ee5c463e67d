"""Compose a vision-language model from a vision encoder, a connector and a language model.

In LLaVA's form (arXiv 2304.08485; two connector layers: arXiv 2310.03744): the encoder's patch features go through a
small MLP and stand in the text where the image token was. The result is an ordinary Hugging Face folder of the family
"llava", which other tools load (with another number of connector layers, see `connector`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.utils import logging as transformers_logging

from ..config_model import ComposeConfig
from ..errors import CheckpointError, ConfigError
from .connector import ComposedConfig, ComposedForConditionalGeneration, make_connector
from .llava import load_llava_images
from .processor import load_tokenizer

# Written before a language model's own template, which may know texts only: a message that is a list of parts becomes
# one text, with the image token where a picture stands.
FLATTEN = (
    "{%- set flat = namespace(messages=[], text='') -%}"
    "{%- for message in messages -%}"
    "{%- if message['content'] is string -%}{%- set flat.messages = flat.messages + [message] -%}"
    "{%- else -%}{%- set flat.text = '' -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{%- set flat.text = flat.text + IMAGE -%}"
    "{%- else -%}{%- set flat.text = flat.text + part['text'] -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- set flat.messages = flat.messages + [dict(message, content=flat.text)] -%}"
    "{%- endif -%}{%- endfor -%}"
    "{%- set messages = flat.messages -%}"
)
PROBE = (1, 5, 2, 7, 3)  # any tokens: does the composed model say of text what the language model says?


@torch.no_grad()
def compose(config: ComposeConfig, folder: Path, seed: int = 0) -> Path:
    """Write the composed model's folder; whatever has no weights yet is drawn from `seed`. Returns the folder.

    Raises:
        ConfigError: the parts do not go together.
        CheckpointError: a part's folder is incomplete.
    """
    if not 1 <= config.connector_layers <= 4:
        raise ConfigError(f"connector_layers must be 1 to 4, got {config.connector_layers}")
    if config.image_text.count(config.image_token) != 1:
        raise ConfigError(f"image_text must hold {config.image_token} once, got {config.image_text!r}")
    tokenizer = _tokenizer(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tower = _vision(config.vision).eval()
        language = _language(config.language).eval()
        expected = _text_logits(language)
        side, patch, features = measured(tower, config.vision_feature_layer)
        extra = features - (side // patch) ** 2
        strategy = _strategy(config, extra)
        if len(tokenizer) > language.get_input_embeddings().num_embeddings:
            language.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        settings: dict[str, Any] = {
            "vision_config": tower.config,
            "text_config": language.config,
            "image_token_index": tokenizer.convert_tokens_to_ids(config.image_token),
            "image_seq_length": features - (strategy == "default"),
            "projector_hidden_act": config.connector_act,
            "vision_feature_layer": config.vision_feature_layer,
            "vision_feature_select_strategy": strategy,
            "tie_word_embeddings": bool(language.config.tie_word_embeddings),
        }
        model = _assembled(config, settings, tower, language)
    found = _text_logits(model)
    if not torch.allclose(found[..., : expected.shape[-1]], expected, atol=1e-4, rtol=1e-3):
        raise ConfigError(
            f"the language model {_name(config.language)} does more with its last hidden states than a linear head, "
            "which LLaVA's form does not have; choose another"
        )
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor = {
        "processor_class": "LlavaProcessor",
        "image_token": config.image_token,
        "patch_size": patch,
        "vision_feature_select_strategy": strategy,
        "num_additional_image_tokens": extra,
    }
    images = _image_settings(config, tower.config, side)
    (folder / "processor_config.json").write_text(json.dumps(processor | {"image_processor": images}, indent=2))
    (folder / "preprocessor_config.json").write_text(
        json.dumps(images | {"processor_class": "LlavaProcessor"}, indent=2)
    )
    return folder


def _assembled(
    config: ComposeConfig, settings: dict[str, Any], tower: PreTrainedModel, language: PreTrainedModel
) -> PreTrainedModel:
    with torch.device("meta"):  # the parts have their weights already
        if config.connector_layers == 2:
            model: Any = LlavaForConditionalGeneration(LlavaConfig(**settings))
        else:
            layers = ComposedConfig(connector_layers=config.connector_layers, **settings)
            model = ComposedForConditionalGeneration(layers)
    dtype = language.dtype
    model.model.vision_tower = tower.to(dtype)
    model.model.language_model = language.base_model
    model.model.multi_modal_projector = make_connector(model.config).to(dtype)
    model.lm_head = language.get_output_embeddings()
    return model.eval()


def vision_config(spec: str | dict[str, Any]) -> PreTrainedConfig:
    """Of the vision encoder that `ComposeConfig.vision` names."""
    if isinstance(spec, dict):
        return _config(spec, "vision")
    whole = _read_config(spec)
    return getattr(whole, "vision_config", whole)


def language_config(spec: str | dict[str, Any]) -> PreTrainedConfig:
    """Of the language model that `ComposeConfig.language` names."""
    return _config(spec, "language") if isinstance(spec, dict) else _read_config(spec)


def _vision(spec: str | dict[str, Any]) -> PreTrainedModel:
    if isinstance(spec, dict):
        return AutoModel.from_config(_config(spec, "vision"))
    part = vision_config(spec)
    loudness = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # that a whole CLIP model has more than its tower is no news
    try:
        kind = AutoModel._model_mapping[type(part)]
        tower, report = kind.from_pretrained(spec, config=part, local_files_only=True, output_loading_info=True)
    except Exception as error:
        raise CheckpointError(f"{spec}: no vision encoder could be loaded: {error}") from error
    finally:
        transformers_logging.set_verbosity(loudness)
    return _complete(tower, report, spec)


def _language(spec: str | dict[str, Any]) -> PreTrainedModel:
    if isinstance(spec, dict):
        return AutoModelForCausalLM.from_config(_config(spec, "language"))
    try:
        model, report = AutoModelForCausalLM.from_pretrained(spec, local_files_only=True, output_loading_info=True)
    except Exception as error:
        raise CheckpointError(f"{spec}: no causal language model could be loaded: {error}") from error
    return _complete(model, report, spec)


def _complete(model: PreTrainedModel, report: dict[str, Any], spec: str) -> PreTrainedModel:
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{spec}: {len(missing)} weights are missing and would be random, among them {', '.join(missing[:3])}"
        )
    return model


def _config(spec: dict[str, Any], which: str) -> PreTrainedConfig:
    settings = dict(spec)
    kind = settings.pop("model_type", None)
    if kind is None:
        raise ConfigError(f"{which}: a config needs model_type, such as 'clip_vision_model' or 'llama'; got {spec}")
    try:
        return AutoConfig.for_model(kind, **settings)
    except ValueError as error:
        raise ConfigError(f"{which}: {error}") from error


def _read_config(folder: str) -> PreTrainedConfig:
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise CheckpointError(f"{folder}: its config.json cannot be read: {error}") from error


def _tokenizer(config: ComposeConfig) -> PreTrainedTokenizerBase:
    origin = config.tokenizer or (config.language if isinstance(config.language, str) else None)
    if origin is None:
        raise ConfigError("tokenizer: give the folder of a tokenizer; language is a mapping and has none")
    tokenizer = load_tokenizer(Path(origin))
    template = config.chat_template or tokenizer.chat_template
    if not template:
        raise ConfigError(f"{origin}: the tokenizer has no chat template; give one as chat_template")
    image = AddedToken(config.image_token, special=True, normalized=False)
    tokenizer.add_special_tokens({"additional_special_tokens": [image]}, replace_extra_special_tokens=False)
    tokenizer.chat_template = FLATTEN.replace("IMAGE", json.dumps(config.image_text)) + template
    return tokenizer


def measured(tower: PreTrainedModel, layer: int) -> tuple[int, int, int]:
    """Side of the encoder's pictures and of a patch, and the features that it makes of a picture."""
    side, patch = getattr(tower.config, "image_size", None), getattr(tower.config, "patch_size", None)
    if not isinstance(side, int) or not isinstance(patch, int) or side % patch:
        raise ConfigError(
            "the vision encoder must take square pictures cut into whole patches; its config has "
            f"image_size={side} and patch_size={patch}"
        )
    pixels = torch.zeros(1, 3, side, side, dtype=tower.dtype, device=tower.device)
    states = tower(pixels, output_hidden_states=True).hidden_states
    if not -len(states) <= layer < len(states):
        raise ConfigError(
            f"vision_feature_layer: the encoder has hidden states {-len(states)} to {len(states) - 1}, got {layer}"
        )
    return side, patch, states[layer].shape[1]


def _strategy(config: ComposeConfig, extra: int) -> Literal[default, full]:
    if config.select_strategy == "default" and not extra:
        raise ConfigError(
            "select_strategy: 'default' leaves the first feature out, and this encoder's first feature is a patch; "
            "use 'full' or 'auto'"
        )
    if config.select_strategy == "auto":
        return "default" if extra else "full"
    return config.select_strategy


def _text_logits(model: PreTrainedModel) -> torch.Tensor:
    return model(input_ids=torch.tensor([PROBE]), use_cache=False).logits.float()


def _image_settings(config: ComposeConfig, vision: PreTrainedConfig, side: int) -> dict[str, Any]:
    """LLaVA's image processor with the encoder's own mean, deviation and resampling."""
    own: Any = None
    if isinstance(config.vision, str):
        own = load_llava_images(Path(config.vision))
    half = [0.5, 0.5, 0.5]
    defaults = (half, half) if "siglip" in vision.model_type else (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)
    return {
        "image_processor_type": "LlavaImageProcessor",
        "image_mean": list(own.image_mean if own else defaults[0]),
        "image_std": list(own.image_std if own else defaults[1]),
        "resample": int(own.resample if own else 3),
        "do_pad": config.image_fit == "pad",
        "do_center_crop": False,
        "size": {"height": side, "width": side},
        "crop_size": {"height": side, "width": side},  # from which other tools tell the number of tokens
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
    }


def _name(spec: str | dict[str, Any]) -> str:
    return spec if isinstance(spec, str) else str(spec.get("model_type"))
