"""The gradient of one update: the objective over a whole batch, in micro-batches, on any train engine."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .config import AlgorithmConfig
from .engine.batching import Batch
from .engine.local import LocalEngine
from .objective.kl import KL_ESTIMATORS
from .objective.policy_loss import POLICY_LOSSES, aggregate, clipped_fraction
from .roles.actor import Actor
from .roles.reference import Reference


@dataclass(frozen=True, eq=False)
class Gradient:
    """What `accumulate_gradient` left in the engine. `logprobs` (rows, tokens): the trainer's, of the batch's
    actions."""

    logprobs: torch.Tensor
    metrics: dict[str, float]


def accumulate_gradient(
    actor: Actor,
    reference: Reference | None,
    engine: LocalEngine,
    batch: Batch,
    algorithm: AlgorithmConfig,
    tokens: int,
    micro_batch_tokens: int,
) -> Gradient:
    """Gradient of the objective over a batch; no weight moves here.

    Losses are divided by `tokens`, the action tokens of all valid trajectories of the step, so the gradient depends
    neither on how the batch is split nor on whether trajectories without advantage were left out of it. The weights
    are those that sampled, hence the trainer's own log-probabilities, detached, are the old ones: the ratio is exactly
    1 and the gradient is that of REINFORCE with these advantages.
    """
    own = int(batch.action_mask.sum())
    metrics = dict.fromkeys(("loss", "entropy", "kl", "clip_fraction"), 0.0)
    pieces = []
    loss_function = POLICY_LOSSES[algorithm.policy_loss]
    actor.model.train()
    for micro in batch.split(micro_batch_tokens):
        logprobs, entropy = actor.logprobs(micro)
        old = logprobs.detach()
        mask, advantages = micro.action_mask.to(old.device), micro.advantages.to(old.device)
        clip = (algorithm.clip_low, algorithm.clip_high)
        losses = loss_function(logprobs, old, advantages, *clip)
        if reference is not None:
            divergence = KL_ESTIMATORS[algorithm.kl_estimator](logprobs, reference.logprobs(micro))
            losses = losses + algorithm.kl_coef * divergence
            metrics["kl"] += float(aggregate(divergence.detach(), mask, own))
        loss = aggregate(losses, mask, tokens)
        engine.backward(loss)
        clipped = clipped_fraction(old, old, advantages, *clip).float()
        metrics["loss"] += float(loss.detach())
        metrics["entropy"] += float(aggregate(entropy, mask, own))
        metrics["clip_fraction"] += float(aggregate(clipped, mask, own))
        pieces.append(torch.nn.functional.pad(old, (0, batch.input_ids.shape[1] - old.shape[1])))
    return Gradient(torch.cat(pieces).cpu(), metrics)
