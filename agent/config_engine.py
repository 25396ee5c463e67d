"""What a recipe may say of the machine: who generates, who trains, and what stays on the device meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FIXED = (
    "engine.remote.weights: none: the generation servers keep the weights that they were started with, so that they "
    "serve evaluation only. To train, give them a folder that they see under the same path as the trainer: "
    "--engine.remote.weights folder --engine.remote.folder PATH"
)


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
class RemoteConfig:
    """Generation servers on other devices or other hosts, which somebody has started.

    Args:
        kind: "vllm", with pictures, or "sglang", text only.
        urls: Where they are, `http://host:port`. They all serve the recipe's model.
        weights: How they follow the training: "none" (they keep their weights: evaluation only) or "folder".
        folder: Through which they are given weights: one that they see under the same path as the trainer, and that no
            other run uses.
        timeout: Seconds for one answer, the slowest generation included.
        retries: How often a request that failed is sent again before the run ends with a checkpoint.
        concurrency: Requests in flight at one server.
    """

    kind: Literal["vllm", "sglang"] = "vllm"
    urls: list[str] = field(default_factory=list)
    weights: Literal["none", "folder"] = "none"
    folder: str = ""
    timeout: float = 600.0
    retries: int = 6
    concurrency: int = 256


@dataclass(frozen=True)
class EngineConfig:
    """Where a run happens. The same recipe runs on another machine by changing this alone.

    Args:
        rollout: Who generates: "transformers", with the trainer's own weights where they are whole; "vllm", which
            needs `vllm`; or "remote", servers elsewhere.
        train: Who trains: "local", one process, or "fsdp2", as many as torchrun starts, with everything in shards.
        sharing: How what siblings share is computed once in an update: "auto", the cheapest way that model and device
            allow; "tree", in one packed row; "prefix", on a cache of the prompts; "none", whole rows, padded. With
            "none" rollouts by "transformers" share nothing either: every sibling runs its prompt and has a cache of it;
            with all others they run a prompt once, and hold it once where the model allows it.
        keep_prompts_mib: MiB that the passes over a rollout's prompts may take when they are kept, with all that their
            gradients need, for the first update after it, which then does not make them again. 0: none are kept. Only
            with `sharing` by tree, and where the sampler has the trainer's weights and nothing is offloaded.
        offload: What waits in host memory while it is not needed: "none"; "optimizer", the optimizer's state; "all",
            also the weights of trainer, reference and critic. Weights that the sampler shares stay.
        vllm: Options of vLLM.
        remote: Options of servers elsewhere.
        fsdp2: Options of training in shards.
    """

    rollout: Literal["transformers", "vllm", "remote"] = "transformers"
    train: Literal["local", "fsdp2"] = "local"
    sharing: Literal["auto", "tree", "prefix", "none"] = "auto"
    keep_prompts_mib: float = 1024.0
    offload: Literal["none", "optimizer", "all"] = "none"
    vllm: VllmConfig = field(default_factory=VllmConfig)
    remote: RemoteConfig = field(default_factory=RemoteConfig)
    fsdp2: ShardingConfig = field(default_factory=ShardingConfig)

    @property
    def shared(self) -> bool:
        """Whether whoever generates does so with the trainer's own weights."""
        return self.rollout == "transformers" and self.train == "local"

    @property
    def fixed(self) -> bool:
        """Whether whoever generates keeps its weights, so that nothing can be trained."""
        return self.rollout == "remote" and self.remote.weights == "none"
