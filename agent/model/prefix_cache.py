"""A training batch on a cache of its prompts: each distinct prompt and its pictures are run once, on any device.

The keys and values of each distinct prompt are computed with gradients, repeated for its rows, and what follows the
prompt runs on top of them. The result is that of the plain pass over whole rows, up to rounding, and so are the
gradients: repeating sums what comes back from all siblings.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from ..engine.batching import Batch
from .forward import device_of, hidden_states


def prefix_states(model: PreTrainedModel, batch: Batch) -> Float[Tensor, "rows tokens channels"]:
    """Last hidden states of a batch's rows.

    Valid from the last token of each row's prompt on; before it, and at padding, they may be anything. A model that
    checkpoints gradients does not go together with a cache.
    """
    keys = batch.prompts()
    distinct = list(dict.fromkeys(keys))
    first = [keys.index(key) for key in distinct]
    cache = DynamicCache(config=model.config.get_text_config())
    prompt_states, prompt_mask = _run_prompts(model, batch, first, cache)
    which = torch.tensor([distinct.index(key) for key in keys], device=device_of(model))
    cache.batch_select_indices(which)
    return _run_rest(model, batch, cache, prompt_states[which], prompt_mask[which])


def _run_prompts(
    model: PreTrainedModel, batch: Batch, rows: Sequence[int], cache: DynamicCache
) -> tuple[Tensor, Tensor]:
    """Fill the cache with these rows' prompts; their last states (prompts, channels) and mask (prompts, width)."""
    lengths = batch.prompt_length.tolist()
    width = max(lengths[row] for row in rows)
    input_ids = torch.zeros((len(rows), width), dtype=torch.long)
    position_ids = torch.zeros((3, len(rows), width), dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    images, of_row = [], batch.images_of_rows()
    for line, row in enumerate(rows):
        # Padded on the left, so that the next token of every prompt continues from the same column.
        inside = slice(width - lengths[row], width)
        input_ids[line, inside] = batch.input_ids[row, : lengths[row]]
        position_ids[:, line, inside] = batch.position_ids[:, row, : lengths[row]]
        mask[line, inside] = True
        images += of_row[row][: int(batch.prompt_images[row])]
    device = device_of(model)
    hidden = hidden_states(model, input_ids.to(device), mask.to(device), position_ids.to(device), images, cache)
    return hidden[:, -1], mask.to(device)


def _run_rest(
    model: PreTrainedModel, batch: Batch, cache: DynamicCache, prompt_states: Tensor, prompt_mask: Tensor
) -> Tensor:
    """Everything after the prompts, on top of the repeated cache, put back at its place in the rows."""
    starts, device = batch.prompt_length.tolist(), device_of(model)
    width = max(int(length) - start for length, start in zip(batch.attention_mask.sum(1), starts, strict=True))
    # Rows of different prompts differ in length: `place` says which column of the row each column of the rest is.
    place = torch.tensor(starts)[:, None] + torch.arange(width)
    inside = place.clamp(max=batch.input_ids.shape[1] - 1)
    mask = batch.attention_mask.gather(1, inside) & (place < batch.input_ids.shape[1])
    later = zip(batch.images_of_rows(), batch.prompt_images.tolist(), strict=True)
    images = [image for row, count in later for image in row[count:]]
    hidden = hidden_states(
        model,
        batch.input_ids.gather(1, inside).where(mask, 0).to(device),
        torch.cat([prompt_mask, mask.to(device)], dim=1),
        torch.stack([axis.gather(1, inside) for axis in batch.position_ids]).to(device),
        images,
        cache,
    )
    rows, columns = mask.nonzero(as_tuple=True)
    full = hidden.new_zeros((*batch.input_ids.shape, hidden.shape[-1]))
    full = full.index_put(
        (rows.to(device), place[rows, columns].to(device)), hidden[rows.to(device), columns.to(device)]
    )
    last = (torch.arange(len(batch), device=device), batch.prompt_length.to(device) - 1)
    return full.index_put(last, prompt_states)
