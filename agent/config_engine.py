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
class EngineConfig:
    """Where a run happens. The same recipe runs on another machine by changing this alone.

    Args:
        rollout: Who generates: "transformers", with the trainer's own weights, or "vllm", which needs `vllm`.
        offload: What waits in host memory while it is not needed: "none"; "optimizer", the optimizer's state; "all",
            also the weights of trainer, reference and critic. Weights that the sampler shares stay.
        vllm: Options of vLLM.
    """

    rollout: Literal["transformers", "vllm"] = "transformers"
    offload: Literal["none", "optimizer", "all"] = "none"
    vllm: VllmConfig = field(default_factory=VllmConfig)
