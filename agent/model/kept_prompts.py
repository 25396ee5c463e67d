"""Prompts whose pass a rollout made and an update uses again: run forward once, with a graph, detached for both.

The sampler and the update meet the same weights: until the first update after a rollout nothing moves. So the pass that
filled the sampler's cache is that of the update, and need not be made twice. The graph ends at the keys and values of
the prompts and at their last states. Micro-batches hang on detached copies of these, and gather gradients there, from
all siblings in whichever micro-batch; then one backward pass leads from there into the model.

The prompts were run in a few passes (*sheaves*), each with a graph of its own, which goes backward as a whole. To go
backward costs two forward passes; so a sheaf of which less than two thirds carry a gradient is not worth it, and its
prompts are run anew with their rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..engine.batching import Prompt
from .prompt_pass import PromptStates, PromptTokens, prompt_states
from .tree import Outer

# Backward and forward again cost 3 units for what carries a gradient; backward alone costs 2 for the whole sheaf.
WORTH = 2 / 3
# Tokens of a sheaf: enough for products to be fast, and few enough prompts that most of them carry a gradient.
SHEAF = 512


@dataclass(eq=False)
class _Leaf:
    """One prompt as an update sees it: detached, gathering gradients. `place`: its number in the sheaf."""

    sheaf: int
    place: int
    keys: list[Tensor]
    values: list[Tensor]
    state: Tensor

    def __len__(self) -> int:
        return self.keys[0].shape[2]


class KeptPrompts:
    """The prompts of a rollout, until the first update is over or the weights move.

    Args:
        most: Bytes that graphs may hold.
    """

    def __init__(self, most: float = float("inf")) -> None:
        self.most = most
        self.nbytes = 0
        self._per_token = 0.0
        self._sheaves: list[PromptStates] = []
        self._leaves: dict[Prompt, _Leaf] = {}

    def __len__(self) -> int:
        return len(self._leaves)

    def run(self, model: PreTrainedModel, prompts: Sequence[PromptTokens]) -> PromptStates | None:
        """Run prompts with a graph, which gradients must be enabled for, and keep it. None: there is no room for it."""
        tokens = sum(len(prompt.token_ids) for prompt in prompts)
        if self.nbytes + self._per_token * tokens > self.most:
            return None
        saved: dict[int, int] = {}

        def counted(tensor: Tensor) -> Tensor:
            if not tensor.is_leaf:  # weights are there anyway
                storage = tensor.untyped_storage()
                saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(counted, lambda tensor: tensor):
            made = prompt_states(model, prompts)
        self._per_token = sum(saved.values()) / tokens
        self.nbytes += sum(saved.values())
        self.keep([name_of(prompt) for prompt in prompts], made)
        return made

    def keep(self, names: Sequence[Prompt], run: PromptStates) -> None:
        """Take the pass of these prompts, which was made with gradients enabled. What is there already stays."""
        sheaf = len(self._sheaves)
        self._sheaves.append(run)
        for place, (name, (start, stop)) in enumerate(zip(names, run.ranges, strict=True)):
            if name not in self._leaves:
                parts = [[_leaf(each[:, :, start:stop]) for each in layers] for layers in (run.keys, run.values)]
                self._leaves[name] = _Leaf(sheaf, place, parts[0], parts[1], _leaf(run.states[place]))

    def worth(self, names: Iterable[Prompt]) -> KeptPrompts:
        """Those prompts whose use in an update of rows with these prompts costs less than running them anew."""
        used: dict[int, int] = {}
        for name in set(names) & self._leaves.keys():
            leaf = self._leaves[name]
            used[leaf.sheaf] = used.get(leaf.sheaf, 0) + len(leaf)
        whole = {sheaf: self._sheaves[sheaf].ranges[-1][1] for sheaf in used}
        chosen = KeptPrompts()
        chosen._sheaves = self._sheaves
        chosen._leaves = {
            name: leaf
            for name, leaf in self._leaves.items()
            if leaf.sheaf in used and used[leaf.sheaf] >= WORTH * whole[leaf.sheaf]
        }
        return chosen

    def outer(self, names: Iterable[Prompt]) -> Outer | None:
        """The kept ones among prompts, for a packed row; None: there are none."""
        found = [(name, self._leaves[name]) for name in dict.fromkeys(names) if name in self._leaves]
        if not found:
            return None
        stops = list(accumulate(len(leaf) for _, leaf in found))
        layers = range(len(found[0][1].keys))
        return Outer(
            [name for name, _ in found],
            list(zip([0, *stops[:-1]], stops, strict=True)),
            [torch.cat([leaf.keys[layer] for _, leaf in found], 2) for layer in layers],
            [torch.cat([leaf.values[layer] for _, leaf in found], 2) for layer in layers],
            torch.stack([leaf.state for _, leaf in found]),
        )

    def backward(self) -> None:
        """Lead what the leaves have gathered into the model, and be done: graphs are freed."""
        for sheaf, run in enumerate(self._sheaves):
            leaves = [leaf for leaf in self._leaves.values() if leaf.sheaf == sheaf]
            outputs, gradients = _gathered(run, leaves)
            if outputs:
                torch.autograd.backward(outputs, gradients)
        self.clear()

    def clear(self) -> None:
        """Free all graphs."""
        self._sheaves, self._leaves, self.nbytes = [], {}, 0


def name_of(prompt: PromptTokens) -> Prompt:
    """As `Batch.prompts` names the same prompt."""
    return np.array(prompt.token_ids, dtype=np.int64).tobytes(), tuple(image.sha256 for image in prompt.images)


def sheaves(prompts: Sequence[PromptTokens]) -> Iterator[Sequence[PromptTokens]]:
    """Prompts that are run together, in order: of about `SHEAF` tokens, and long ones alone."""
    first = tokens = 0
    for place, prompt in enumerate(prompts):
        if tokens and tokens + len(prompt.token_ids) > SHEAF:
            yield prompts[first:place]
            first, tokens = place, 0
        tokens += len(prompt.token_ids)
    yield prompts[first:]


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_(tensor.requires_grad)


def _gathered(run: PromptStates, leaves: Sequence[_Leaf]) -> tuple[list[Tensor], list[Tensor]]:
    """Tensors of a sheaf to which gradients came, and these."""
    outputs, gradients = [], []
    for name in ("keys", "values"):
        for layer, tensor in enumerate(getattr(run, name)):
            given = [(leaf, getattr(leaf, name)[layer].grad) for leaf in leaves]
            if any(gradient is not None for _, gradient in given):
                whole = torch.zeros_like(tensor)
                for leaf, gradient in given:
                    start, stop = run.ranges[leaf.place]
                    if gradient is not None:
                        whole[:, :, start:stop] = gradient
                outputs.append(tensor)
                gradients.append(whole)
    given = [(leaf, leaf.state.grad) for leaf in leaves]
    if any(gradient is not None for _, gradient in given):
        whole = torch.zeros_like(run.states)
        for leaf, gradient in given:
            if gradient is not None:
                whole[leaf.place] = gradient
        outputs.append(run.states)
        gradients.append(whole)
    return outputs, gradients
