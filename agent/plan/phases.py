"""Bytes on the device by phase and owner, predicted from a recipe and its model's config.

The architecture is run on tensors without numbers, at the largest shapes that the recipe allows: rows of
`rollout.max_row_tokens`, micro-batches as full as they may be; where they are packed, of distinct tokens, prompts and
pictures once a group, as the sampler's cache holds them. Weights, gradients and optimizer state are exact. Activations
are those of the model's own code with a fused attention kernel, or with the attention of packed rows. Compared with
torch's allocator they are right within 10% (`tests/agent/plan`).

Where an episode has several turns nothing is known of a prompt's length but its pictures, and what follows it is taken
to fill the row. Where `engine.sharing: prefix` shares prompts, or `auto` finds that on a GPU, whole rows are an upper
bound.

Left out: what the allocator loses to fragments, workspaces of libraries, a CUDA context (0.5 to 1 GiB); batches before
a model is given them; trajectories that an algorithm keeps whole although they are longer than a micro-batch; that
several processes part their rows evenly; the cold start; checkpoints while they are written; pictures beyond those of
the first observation, unless told; what vLLM takes beyond `engine.vllm.memory`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ..algorithm import resolve
from ..config import Config
from .blocks import Block, Head, Shape, chain
from .kept import Kept, kept_prompts
from .micro_batch import micro_batch, micro_batch_below
from .rollout import rollout_bytes
from .skeleton import Skeleton, make_skeleton
from .timeline import most

Phase = Literal["rollout", "sync", "update"]
PHASES: tuple[Phase, ...] = ("rollout", "sync", "update")
BANNED = 32  # control tokens, about; what they need does not depend on how many they are


@dataclass(frozen=True)
class Placement:
    """How the train engine lays its state out.

    Attributes:
        sharded: The engine is fsdp2: it keeps weights and gradients in float32 whatever computes, and gathers them
            layer by layer.
        shards: Processes that weights, gradients and optimizer state are divided among.
        offload: The shards wait in host memory; only what is being computed is on the device.
        accelerator: The device is a GPU: AdamW moves all weights at once, and phases can send state to the host.
        accumulate: Gradients are summed over processes once an update, and are whole until then.
        waits: What leaves the device in phases that do not need it: `engine.offload`.
    """

    sharded: bool = False
    shards: int = 1
    offload: bool = False
    accumulate: bool = False
    accelerator: bool = False
    waits: Literal["none", "optimizer", "all"] = "none"

    def held(self, size: int) -> int:
        """Bytes of sharded state that one device holds."""
        return 0 if self.offload else -(-size // self.shards)

    def gradients(self, skeleton: Skeleton, seen: bool, several: bool) -> int:
        """Bytes of gradients that wait for the optimizer. several: micro-batches an update."""
        if not self.sharded:
            return skeleton.gradient_bytes(seen)
        whole = skeleton.gradient_bytes(seen, itemsize=4)
        return whole if several and self.accumulate and not self.offload else self.held(whole)


@dataclass(frozen=True)
class Plan:
    """Predicted bytes on one device. `phases`: by phase and owner, at the phase's peak."""

    phases: Mapping[Phase, Mapping[str, int]]

    def total(self, phase: Phase) -> int:
        return sum(self.phases[phase].values())

    @property
    def highest(self) -> Phase:
        return max(PHASES, key=self.total)

    @property
    def peak(self) -> int:
        return self.total(self.highest)


def make_plan(
    config: Config,
    dtype: str,
    pictures: Sequence[tuple[int, int]] = (),
    placement: Placement | None = None,
    device_memory: int | None = None,
) -> Plan:
    """Predict a run's memory.

    Args:
        config: The recipe.
        dtype: Of the weights, "float32" or "bfloat16".
        pictures: (height, width) of each picture of a row.
        placement: Of the train engine.
        device_memory: What the device has; needed where vLLM takes a share of it.

    Raises:
        AgentError: the recipe's model or algorithm is not acceptable.
    """
    placement = placement or Placement()
    skeleton = make_skeleton(config, dtype)
    patches = tuple(skeleton.patches(*size) for size in pictures)
    state = _state(config, skeleton, dtype, placement)
    staying = _staying(config, state, placement)
    kept = kept_prompts(config, skeleton, patches, placement.accelerator)
    rolling = rollout_bytes(
        config, skeleton, patches, placement.accelerator, device_memory, 0 if kept is None else kept.nbytes
    )
    rollout = most_of(staying, rolling)
    update = _update(config, skeleton, dtype, patches, state, placement, kept)
    sync = dict(staying) | {"trainer weights": state["trainer weights"]}
    if not config.engine.shared and config.engine.rollout != "remote":
        sync["sampler weights"] = skeleton.weight_bytes
    if placement.sharded:
        sync["gathered weights"] = max(weight.nbytes for weight in skeleton.model.parameters())
    return Plan({"rollout": rollout, "sync": sync, "update": update})


def most_of(before: Mapping[str, int], moments: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Of several moments the one that needs most, with what is there all the time."""
    highest = max(moments, key=lambda moment: sum(moment.values()))
    return {
        owner: before.get(owner, 0) + highest.get(owner, 0)
        for owner in (*before, *(name for name in highest if name not in before))
        if before.get(owner, 0) + highest.get(owner, 0)
    }


def _state(config: Config, skeleton: Skeleton, dtype: str, placement: Placement) -> dict[str, int]:
    """What lives from step to step."""
    algorithm, wide = resolve(config), placement.sharded
    state = {
        "trainer weights": placement.held(_weights(skeleton, wide)),
        "optimizer state": placement.held(optimizer_bytes(skeleton, wide)),
    }
    if algorithm.needs_reference:
        base = config.model.lora.rank and not config.cold_start.sources  # the model with its adapter switched off
        state["reference"] = 0 if base else make_skeleton(config, dtype, whole=True).weight_bytes  # never in shards
    if algorithm.needs_values and config.critic.trunk == "own":
        trunk = make_skeleton(config, dtype, whole=True)
        whole = _weights(trunk, wide) + optimizer_bytes(trunk, wide)
        head = 0 if _tied(trunk) else trunk.model.lm_head.weight.nbytes
        state["critic"] = placement.held(whole * (trunk.weight_bytes - head) // trunk.weight_bytes)
    return state


def _weights(skeleton: Skeleton, wide: bool) -> int:
    """Bytes of the weights that the trainer keeps. wide: in float32."""
    if not wide:
        return skeleton.weight_bytes
    return sum(4 * tensor.numel() for tensor in (*skeleton.model.parameters(), *skeleton.model.buffers()))


def optimizer_bytes(skeleton: Skeleton, wide: bool = False) -> int:
    """AdamW's two moments in float32 and, where weights are not float32 (nor kept so: wide), copies that are."""
    return sum(weight.numel() * (8 if wide or weight.itemsize == 4 else 12) for weight in skeleton.trained)


def _staying(config: Config, state: Mapping[str, int], placement: Placement) -> dict[str, int]:
    """What of it stays on the device while episodes are generated."""
    leaving: set[str] = set()
    if placement.accelerator and placement.waits != "none":
        leaving = {"optimizer state"}
        if placement.waits == "all":
            leaving |= {"reference", "critic"}
            if not config.engine.shared:  # otherwise the sampler generates with them
                leaving |= {"trainer weights"}
    return {owner: held for owner, held in state.items() if owner not in leaving}


def _update(
    config: Config,
    skeleton: Skeleton,
    dtype: str,
    patches: tuple[int, ...],
    state: Mapping[str, int],
    placement: Placement,
    kept: Kept | None,
) -> dict[str, int]:
    shape = micro_batch(config, skeleton, patches, placement.accelerator)
    head = Head(config.rollout.temperature, BANNED, config.optimizer.logprob_chunk, config.algorithm.entropy_coef != 0)
    blocks = chain(skeleton, shape, head)
    before = dict(state) | _gathered(skeleton, placement)
    gradients = placement.gradients(skeleton, bool(patches), shape.accumulated)
    moments = [
        _pass(blocks, before, gradients, shape),
        before | {"gradients": gradients} | step_bytes(skeleton, placement),
    ]
    if kept is not None:
        moments += with_kept(config, skeleton, patches, before, gradients, kept, head, placement.accelerator)
    if resolve(config).needs_values and config.critic.trunk == "own":
        trunk = make_skeleton(config, dtype, whole=True)
        of_trunk = placement.gradients(trunk, bool(patches), shape.accumulated)
        moments += [
            _pass(chain(trunk, shape, None), before, of_trunk, shape),
            before | {"gradients": of_trunk} | step_bytes(trunk, placement),
        ]
    return max(moments, key=lambda moment: sum(moment.values()))


def _pass(blocks: Sequence[Block], before: Mapping[str, int], gradients: int, shape: Shape) -> dict[str, int]:
    return most(blocks, {**before, "gradients": gradients} if shape.accumulated else before)


def with_kept(
    config: Config,
    skeleton: Skeleton,
    patches: tuple[int, ...],
    before: Mapping[str, int],
    gradients: int,
    kept: Kept,
    head: Head,
    accelerator: bool,
) -> list[dict[str, int]]:
    """Moments of an update whose prompts the rollout has kept: what follows them goes through the model alone, and the
    prompts go backward last."""
    shape, beside = micro_batch_below(config, skeleton, patches, accelerator)
    blocks, earlier = chain(skeleton, shape, head), kept.nbytes + max(0, kept.gradients - beside)
    return [
        # Keys and values of the micro-batch's prompts lie beside each other until its last layer has been run.
        _pass(blocks[:-1], {**before, "kept prompts": earlier + beside}, gradients, shape),
        _pass(blocks, {**before, "kept prompts": earlier}, gradients, shape),
        most(kept.sheaf, {**before, "gradients": gradients, "kept prompts": kept.nbytes + kept.gradients - kept.each}),
    ]


def step_bytes(skeleton: Skeleton, placement: Placement) -> dict[str, int]:
    """What the optimizer's step needs beside weights, gradients and its state: gradients in float32 for its copies of
    other weights. Over shards, where AdamW is not fused, also its denominator: of all weights at once on a GPU; on a
    CPU of one at a time, made in two steps, while that of the one before is still there."""
    sizes = [4 * weight.numel() for weight in skeleton.trained]
    copied = sum(4 * weight.numel() for weight in skeleton.trained if weight.itemsize != 4 and not placement.sharded)
    one_by_one = max(before + 2 * size for before, size in pairwise([0, *sizes]))
    working = sum(sizes) if placement.accelerator else one_by_one
    return {"optimizer step": placement.held(copied + (working if placement.sharded else 0))}


def _gathered(skeleton: Skeleton, placement: Placement) -> dict[str, int]:
    """Whole weights of the layer that is computed and of the next one, and the gradient of one, if state is sharded."""
    if not placement.sharded:
        return {}
    root = sum(
        w.nbytes for name, w in skeleton.model.named_parameters() if ".layers." not in name and ".blocks." not in name
    )
    layer = sum(weight.nbytes for weight in skeleton.model.model.language_model.layers[0].parameters())
    return {"gathered weights": root + 3 * layer}


def _tied(skeleton: Skeleton) -> bool:
    model = skeleton.model
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight
