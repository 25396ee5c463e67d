"""The train engine for several processes: weights, gradients and optimizer state in shards (FSDP2), one a process.

Vision tower, connector and language model are sharded block by block with `torch.distributed.fsdp.fully_shard`, and
what stands outside of blocks as one more shard. A block's weights are whole only while it computes. The optimizer moves
float32 shards; the forward pass runs in the recipe's type.

Every pass is a collective: all processes make as many, each through the same modules. So a process whose rows would do
with fewer micro-batches than another's parts them into as many, of about equal work; where it has fewer rows than there
are passes it makes idle ones, which weigh nothing. And every pass looks at a picture.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor

from ..config import OptimizerConfig
from ..errors import ConfigError
from .local import LocalEngine, R, whole
from .ranks import Ranks

T = TypeVar("T")


class _Root(nn.Module):
    """Runs any function as the forward pass of the model inside, so that weights outside of blocks are whole then."""

    def __init__(self, model: nn.Module, beside: nn.Module | None) -> None:
        super().__init__()
        self.model, self.beside = model, beside

    def forward(self, function: Callable[[], T]) -> T:
        return function()


class ShardedEngine(LocalEngine):
    """LocalEngine's promises over shards.

    Args:
        model: Whole, in float32, the same in every process; it is sharded in place.
        config: As of LocalEngine.
        ranks: The processes.
        groups: Called after sharding, when the parameters are what they stay; see LocalEngine.
        updates: As of LocalEngine.
        dtype: Of the forward pass.
        device: Where it computes.
        offload: Shards of weights, gradients and optimizer state live in host memory; the optimizer works there.
        beside: A head on the model's hidden states, trained with it.
        accumulate: Reduce gradients over processes once an update and not once a micro-batch: less communication, and
            whole gradients on the device meanwhile.
    """

    def __init__(
        self,
        model: nn.Module,
        config: OptimizerConfig,
        ranks: Ranks,
        groups: Callable[[], Sequence[Mapping[str, Any]] | None],
        updates: int = 1,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
        offload: bool = False,
        accumulate: bool = True,
        beside: nn.Module | None = None,
    ) -> None:
        self.ranks = ranks
        self.device = device or torch.device("cpu")
        self._accumulate = accumulate and not offload
        # As the model was before sharding changed it, without weights: what a checkpoint is written from.
        self._plain = _without_weights(model)
        self.root = shard(model, ranks, dtype, self.device, offload, beside)
        super().__init__(model, config, groups(), updates)

    def run(self, function: Callable[[], T]) -> T:
        return self.root(function)

    def backward(self, loss: torch.Tensor, last: bool = True) -> None:
        self.weights.require()
        assert isinstance(self.root, FSDPModule)
        if self._accumulate:
            self.root.set_requires_gradient_sync(last)
        loss.backward()

    def passes(
        self, rows: R, max_tokens: int, whole: bool = False, packed: bool = False
    ) -> Iterator[tuple[R | None, bool]]:
        """As many passes as the process makes whose rows need the most. Each process parts its own into so many of
        about equal work, so that none waits long for another; None is an idle one, where there are too few rows."""
        if self.ranks.size == 1:
            return super().passes(rows, max_tokens, whole, packed)
        count = self.ranks.most(sum(1 for _ in rows.spans(max_tokens, whole, packed)))
        own: list[R | None] = list(rows.split(max_tokens, whole, packed, count))
        own += [None] * (count - len(own))
        return ((micro, index == count - 1) for index, micro in enumerate(own))

    def named_tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Whole weights, gathered one by one: each process must go through all of them."""
        return ((name, whole(tensor)) for name, tensor in super().named_tensors())

    def plain(self) -> nn.Module | None:
        """The model with whole weights on the CPU, as one process would have it; for the first process, None for the
        others, which must call it too."""
        gathered: dict[int, torch.Tensor] = {}
        found: dict[str, torch.Tensor] = {}
        for name, tensor in self.model.state_dict(keep_vars=True).items():
            if id(tensor) not in gathered:  # what is tied in the model stays so
                full = whole(tensor.detach())
                gathered[id(tensor)] = full.cpu() if self.ranks.first else full.new_empty(0)
            found[name] = gathered[id(tensor)]
        if not self.ranks.first:
            return None
        made = copy.deepcopy(self._plain)
        made.load_state_dict(found, assign=True)
        return made

    def tensors(self) -> dict[str, torch.Tensor]:
        """As of LocalEngine; the shards of the weights are the float32 that the optimizer moves."""
        return super().tensors() | {f"{index}.master": weight.detach() for index, weight in enumerate(self.masters)}

    def state_dict(self) -> dict[str, Any]:
        """Without the tensors, which are saved in shards."""
        return {"steps_taken": self.steps_taken}

    def _clipped(self) -> torch.Tensor:
        return whole(super()._clipped())

    @property
    def gradient_bytes(self) -> int:
        return sum(local(weight.grad).nbytes for weight in self._weights if weight.grad is not None)


def _without_weights(model: nn.Module) -> nn.Module:
    """A copy on the meta device."""
    memo = {id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in model.parameters()}
    memo |= {id(b): torch.empty_like(b, device="meta") for b in model.buffers()}
    return copy.deepcopy(model, memo)


def shard(
    model: nn.Module,
    ranks: Ranks,
    dtype: torch.dtype,
    device: torch.device,
    offload: bool,
    beside: nn.Module | None = None,
) -> nn.Module:
    """Shard a model in place; returns what every pass must be run by.

    Raises:
        ConfigError: nothing in it looks like the blocks of a transformer.
    """
    mesh = init_device_mesh(device.type, (ranks.size,))
    # Gradients are summed in float32: a sum over processes and micro-batches outgrows 8 bits.
    precision = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    if dtype == torch.float32:
        precision = MixedPrecisionPolicy()
    # Pinned memory is for copies to an accelerator.
    policy = CPUOffloadPolicy(pin_memory=device.type == "cuda") if offload else OffloadPolicy()
    found = list(blocks(model))
    if not found:
        raise ConfigError("engine.train: fsdp2 finds no blocks in this model; train it with --engine.train local")
    root = _Root(model, beside)
    for module in (*found, root):
        fully_shard(module, mesh=mesh, mp_policy=precision, offload_policy=policy)
    for module in root.modules():
        if isinstance(module, FSDPModule):
            # Losses are sums over the whole step's tokens, so gradients are summed and never averaged.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return root


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The layers of vision tower and language model: the entries of their module lists that have weights."""
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and "merger" not in name:
            yield from (entry for entry in module if any(True for _ in entry.parameters()))


def local(tensor: torch.Tensor) -> torch.Tensor:
    """What this process has of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
