"""One forward pass, for sampler and trainer alike: each distinct picture is encoded once, however often it occurs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from transformers import Cache, PreTrainedModel

from .layout import Layout, no_mask
from .processor import ProcessedImage

# Patches that a CPU encodes at once. What is made of more does not stay in its caches: 16,384 of them take a third more
# time in one pass.
LOT = 4096


def hidden_states(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor | None,
    position_ids: torch.Tensor,
    images: Sequence[ProcessedImage],
    cache: Cache | None = None,
    layout: Layout | None = None,
    once: bool = True,
) -> torch.Tensor:
    """Last hidden states of the language model.

    Args:
        model: A vision-language model with its head (`...ForConditionalGeneration`).
        input_ids: (batch, length) expanded token ids.
        attention_mask: (batch, cached + length), 1 where a key may be seen; causality is added by the model. None with
            a layout, and only then.
        position_ids: (3, batch, length), see `positions.mrope_positions`; a model whose positions are one-dimensional
            is given the first axis.
        images: One for each run of placeholders in `input_ids`, in reading order over rows; equal ones may repeat.
        cache: Continued in place, if given.
        layout: Says what each token sees, in place of mask and cache; only for a model that `layout.takes_layouts`.
        once: Encode equal pictures once; False: as often as they occur, as whoever shares nothing does.

    Returns:
        (batch, length, hidden); with a layout that asks for some tokens (`last_layer`), those.
    """
    placement = placement_of(model)
    seen = images or ([placement.companion] if placement is not None else [])
    encoded: Any = _encoded(model, seen, once) if seen else None
    output = model.base_model(
        input_ids=input_ids,
        attention_mask=attention_mask if layout is None else no_mask(input_ids.device),
        position_ids=position_ids if has_mrope(model) else position_ids[0],
        past_key_values=cache,
        use_cache=cache is not None,
        mm_encoder_outputs={"image": encoded} if images else None,
        **({} if layout is None else {"layout": layout}),
    )
    if seen and not images:
        # Multiplied by nothing, and yet part of the graph: backward runs through the tower in every process.
        features = [
            *encoded.pooler_output,
            *(x for layer in getattr(encoded, "deepstack_features", None) or () for x in layer),
        ]
        return output.last_hidden_state + 0.0 * sum(feature.sum() for feature in features)
    return output.last_hidden_state


def next_token_logits(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    """(..., vocabulary) logits of (..., hidden) states."""
    return model.get_output_embeddings()(hidden)


@dataclass(frozen=True)
class Placement:
    """How a model that several processes share computes, see `engine.fsdp2`. `device`: where; its weights may wait in
    host memory until then. `companion`: what the vision tower is given, to no effect, in a pass without pictures.
    `dtype`: in what; its shards are float32."""

    device: torch.device
    companion: ProcessedImage
    dtype: torch.dtype


def placement_of(model: PreTrainedModel) -> Placement | None:
    """None for a model that this process has for itself."""
    return getattr(model, "rllava_placement", None)


def device_of(model: PreTrainedModel) -> torch.device:
    """Where the model computes."""
    placement = placement_of(model)
    return model.device if placement is None else placement.device


def dtype_of(model: PreTrainedModel) -> torch.dtype:
    """What the model computes in."""
    placement = placement_of(model)
    return model.dtype if placement is None else placement.dtype


def has_mrope(model: PreTrainedModel) -> bool:
    """Whether positions have three axes (the Qwen families) or one."""
    return hasattr(model.base_model, "get_rope_index")


def plain_inputs(
    model: PreTrainedModel, position_ids: torch.Tensor, images: Sequence[ProcessedImage]
) -> dict[str, torch.Tensor]:
    """What the model's own `forward` is given beside ids and mask, for whoever does not call `hidden_states`.

    Args:
        model: A vision-language model.
        position_ids: (3, batch, length).
        images: One for each run of placeholders, in reading order over rows.
    """
    inputs = {"position_ids": position_ids if has_mrope(model) else position_ids[0]}
    if images:
        inputs["pixel_values"] = torch.cat([image.pixels for image in images])
        if has_mrope(model):
            inputs["image_grid_thw"] = torch.tensor([image.grid for image in images])
    return inputs


def _encoded(model: PreTrainedModel, images: Sequence[ProcessedImage], once: bool) -> object:
    names = [image.sha256 if once else str(number) for number, image in enumerate(images)]
    distinct = dict(zip(names, images, strict=True))
    index = {name: i for i, name in enumerate(distinct)}
    outputs = [_encode(model, lot) for lot in _lots(model, list(distinct.values()))]
    order = [index[name] for name in names]
    features = [feature for output in outputs for feature in output.pooler_output]
    joined = outputs[0]
    joined.pooler_output = tuple(features[i] for i in order)
    # Qwen3-VL also feeds features of earlier vision layers to the first layers of the language model.
    if getattr(joined, "deepstack_features", None) is not None:
        layers = zip(*(output.deepstack_features for output in outputs), strict=True)
        found = [[feature for lot in layer for feature in lot] for layer in layers]
        joined.deepstack_features = [tuple(layer[i] for i in order) for layer in found]
    return joined


def _encode(model: PreTrainedModel, images: Sequence[ProcessedImage]) -> Any:
    """The vision tower's output for pictures in one pass."""
    pixels = _together([image.pixels for image in images]).to(device_of(model))
    grids = torch.tensor([image.grid for image in images], device=device_of(model))
    # LLaVA's pictures are all of one size, and its tower is told nothing about it.
    sizes = {"image_grid_thw": grids} if has_mrope(model) else {}
    return model.base_model.get_image_features(pixels, **sizes, return_dict=True)


def _lots(model: PreTrainedModel, images: Sequence[ProcessedImage]) -> list[Sequence[ProcessedImage]]:
    """Pictures that are encoded together: all of them, and on a CPU about `LOT` patches."""
    # Processes that share a model must go through its modules equally often.
    if device_of(model).type != "cpu" or placement_of(model) is not None:
        return [images]
    lots: list[list[ProcessedImage]] = []
    patches = LOT
    for image in images:
        count = prod(image.grid)
        if patches + count > LOT:
            lots.append([])
            patches = 0
        lots[-1].append(image)
        patches += count
    return list(lots)


def _together(pixels: Sequence[torch.Tensor]) -> torch.Tensor:
    """Patches under each other; a graph keeps them, so those of one picture alone are not copied."""
    return pixels[0] if len(pixels) == 1 else torch.cat(list(pixels))
