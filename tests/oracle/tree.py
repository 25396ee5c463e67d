"""A packed row, slowly: one dense mask of everything that each token sees, and how much that is."""

import torch
from transformers import PreTrainedModel

from agent.model.forward import has_mrope
from agent.model.tree import Packed
from agent.model.work import Work


def seen_by(packed: Packed) -> torch.Tensor:
    """(packed, packed) bool: whether the token of a line sees that of a column. For packed rows without outer
    prompts."""
    length = packed.input_ids.shape[1]
    mask = torch.zeros((length, length), dtype=torch.bool)
    for start, stop in packed.seen.pieces:
        mask[start:stop, start:stop] = torch.ones((stop - start, stop - start)).tril().bool()
    for part in packed.seen.above:
        mask[slice(*part.queries), slice(*part.keys)] = True
    return mask


def dense_states(model: PreTrainedModel, packed: Packed) -> torch.Tensor:
    """(packed, channels) last hidden states, by the model's own attention and the mask of `seen_by`; pictures go
    through the tower as its own forward pass sends them."""
    pixels = {}
    if packed.images:
        pixels["pixel_values"] = torch.cat([image.pixels for image in packed.images])
        if has_mrope(model):
            pixels["image_grid_thw"] = torch.tensor([image.grid for image in packed.images])
    positions = packed.position_ids if has_mrope(model) else packed.position_ids[0]
    mask = seen_by(packed)[None, None]
    return model.base_model(
        input_ids=packed.input_ids, attention_mask=mask, position_ids=positions, use_cache=False, **pixels
    ).last_hidden_state[0]


def packed_work(work: Work, packed: Packed) -> float:
    """Multiplications of a packed row's pass through the layers."""
    return work.of(packed.input_ids.shape[1], int(seen_by(packed).sum()))
