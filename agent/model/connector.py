"""A connector of 1, 3 or 4 layers; LLaVA's own form has exactly two.

With two layers a composed model is an ordinary LLaVA. With another number it is the same model but for its connector,
under a name of its own in config.json, so that a tool which does not know it refuses it and does not make two layers of
random weights.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaModel,
)
from transformers.activations import ACT2FN
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

FAMILY = "rllava_composed"


class ComposedConfig(LlavaConfig):
    """LLaVA's config with `connector_layers`."""

    model_type = FAMILY
    connector_layers: int = 2


class Connector(torch.nn.Sequential):
    """Linear layers with the activation between them: vision width, then language width throughout."""

    def __init__(self, config: Any) -> None:
        features = 1 if isinstance(config.vision_feature_layer, int) else len(config.vision_feature_layer)
        width, layers = config.vision_config.hidden_size * features, []
        for index in range(config.connector_layers):
            if index:
                layers.append(ACT2FN[config.projector_hidden_act])
            layers.append(torch.nn.Linear(width, config.text_config.hidden_size, config.multimodal_projector_bias))
            width = config.text_config.hidden_size
        super().__init__(*layers)


class ComposedModel(LlavaModel):
    config_class = ComposedConfig

    def __init__(self, config: ComposedConfig) -> None:
        super().__init__(config)
        self.multi_modal_projector = Connector(config)


class ComposedForConditionalGeneration(LlavaForConditionalGeneration):
    config_class = ComposedConfig

    def __init__(self, config: ComposedConfig) -> None:
        super().__init__(config)
        self.model = ComposedModel(config)


def make_connector(config: Any) -> torch.nn.Module:
    """The connector of a LLaVA or composed config, with torch's usual random weights."""
    return Connector(config) if isinstance(config, ComposedConfig) else LlavaMultiModalProjector(config)


AutoConfig.register(FAMILY, ComposedConfig)
AutoModel.register(ComposedConfig, ComposedModel)
AutoModelForImageTextToText.register(ComposedConfig, ComposedForConditionalGeneration)
