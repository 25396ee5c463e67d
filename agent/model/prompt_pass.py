"""Prompts through the model by themselves, side by side without padding, each seeing itself alone: what a sampler
begins its answers from, and what an update may begin from too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from .forward import device_of, hidden_states
from .last_layer import narrows
from .narrowed import Narrowed, narrowed
from .processor import ProcessedImage
from .tree_attention import Sight, sight, tree_attention


@dataclass(frozen=True, eq=False)
class PromptTokens:
    """`token_ids`: expanded. `position_ids`: (3, length) int64. `images`: one for each run of placeholders."""

    token_ids: Sequence[int]
    position_ids: np.ndarray
    images: Sequence[ProcessedImage]


@dataclass(frozen=True, eq=False)
class PromptStates:
    """What the model made of prompts.

    `keys`, `values`: by layer, of all prompts one after another; `ranges`: where each of them stands there. `states`:
    the last hidden state of each.
    """

    keys: list[Float[Tensor, "1 key_heads tokens channels"]]
    values: list[Float[Tensor, "1 key_heads tokens channels"]]
    ranges: list[tuple[int, int]]
    states: Float[Tensor, "prompts channels"]


class _Kept:
    """A layout in which each prompt sees itself, and that keeps what every layer would cache."""

    def __init__(self, seen: Sight, last: Narrowed | None) -> None:
        self.seen, self.last = seen, last
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        self.keys[layer], self.values[layer] = key, value
        return tree_attention(query, key, value, self.seen, scale).transpose(1, 2)

    def attend_last(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, scale: float
    ) -> Tensor:
        """See `last_layer.Narrowing`."""
        assert self.last is not None
        self.keys[layer], self.values[layer] = keys, values
        key, value = torch.cat([keys, key], 2), torch.cat([values, value], 2)
        return tree_attention(query, key, value, self.last.sight, scale).transpose(1, 2)


def prompt_states(model: PreTrainedModel, prompts: Sequence[PromptTokens]) -> PromptStates:
    """Run prompts, at least one, through a model that takes layouts; with a graph where gradients are enabled."""
    device = device_of(model)
    stops = np.cumsum([len(prompt.token_ids) for prompt in prompts]).tolist()
    ranges = list(zip([0, *stops[:-1]], stops, strict=True))
    wanted = np.zeros(stops[-1], dtype=bool)
    wanted[np.array(stops) - 1] = True
    pieces = [(start, stop, stop) for start, stop in ranges]
    last = narrowed(pieces, wanted, (), 0, device, every=True) if narrows(model) else None
    layout = _Kept(sight(ranges, (), 0, device), last)
    hidden = hidden_states(
        model,
        torch.tensor([token for prompt in prompts for token in prompt.token_ids], device=device)[None],
        None,
        torch.from_numpy(np.concatenate([prompt.position_ids for prompt in prompts], 1))[:, None].to(device),
        [image for prompt in prompts for image in prompt.images],
        layout=layout,
    )
    ends = torch.from_numpy(np.flatnonzero(wanted) if last is None else last.places[wanted]).to(device)
    order = sorted(layout.keys)
    return PromptStates(
        [layout.keys[layer] for layer in order], [layout.values[layer] for layer in order], ranges, hidden[0, ends]
    )
