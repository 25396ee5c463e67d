"""What a recipe may say of the machine: who generates, who trains, and what stays on the device meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class VllmConfig:
    """A vLLM engine in the trainer's own process.

    Args:
        memory: Share of the device's memory that it may take while it generates, weights and cache together.
        cache_gib: Size of its key-value cache in GiB; 0: what `memory` leaves. On a CPU, where there is no such share,
            0 means 1 GiB.
        max_sequences: Sequences that it generates at once.
        max_images: The most pictures of one context that its memory is planned for.
        eager: Do without CUDA graphs: slower, but ready at once. On a CPU always.
    """

    memory: float = 0.5
    cache_gib: float = 0.0
    max_sequences: int = 256
    max_images: int = 8
    eager: bool = False


@dataclass(frozen=True)
class ShardingConfig:
    """Training in shards, one a process (FSDP2).

    Args:
        offload: Keep the shards of weights, gradients and optimizer state in host memory, where the optimizer works
            too; only the block that computes is on the device.
        accumulate: Sum gradients over processes once an update, which holds them whole on the device meanwhile; False:
            after every micro-batch. With `offload` always after every one.
    """

    offload: bool = False
    accumulate: bool = True


@dataclass(frozen=True)
class EngineConfig:
    """Where a run happens. The same recipe runs on another machine by changing this alone.

    Args:
        rollout: Who generates: "transformers", with the trainer's own weights where they are whole, or "vllm", which
            needs `vllm`.
        train: Who trains: "local", one process, or "fsdp2", as many as torchrun starts, with everything in shards.
        offload: What waits in host memory while it is not needed: "none"; "optimizer", the optimizer's state; "all",
            also the weights of trainer, reference and critic. Weights that the sampler shares stay.
        vllm: Options of vLLM.
        fsdp2: Options of training in shards.
    """

    rollout: Literal["transformers", "vllm"] = "transformers"
    train: Literal["local", "fsdp2"] = "local"
    offload: Literal["none", "optimizer", "all"] = "none"
    vllm: VllmConfig = field(default_factory=VllmConfig)
    fsdp2: ShardingConfig = field(default_factory=ShardingConfig)
