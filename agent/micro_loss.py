"""The policy's loss of one micro-batch, from what the models said of its tokens: plain tensors in, one number out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .algorithm import Algorithm
from .blame import blamed, name_of
from .engine.experience import Experience
from .errors import AlgorithmFault
from .objective.aggregation import weighted_sum
from .objective.correction import importance_weights
from .objective.kl import KL_ESTIMATORS, in_loss
from .objective.signature import call


@dataclass(frozen=True, eq=False)
class Said:
    """What the models said of a micro-batch, on the device of the trainer.

    `logprobs`, `entropy`: of its action tokens, 0 elsewhere. `values`: of a critic on the policy's trunk. `reference`:
    the reference's log-probabilities.
    """

    logprobs: Float[Tensor, "rows tokens"]
    entropy: Float[Tensor, "rows tokens"]
    values: Float[Tensor, "rows tokens"] | None = None
    reference: Float[Tensor, "rows tokens"] | None = None


@dataclass(frozen=True, eq=False)
class MicroLoss:
    """`loss`: the part that the micro-batch has in the loss of its mini-batch. `sums`: over its action tokens, by the
    name of the metric. `largest`: the ratio of a token; `greatest`: its importance weight."""

    loss: Float[Tensor, ""]
    sums: Mapping[str, float]
    largest: float
    greatest: float


def micro_loss(
    algorithm: Algorithm,
    micro: Experience,
    said: Said,
    weights: Float[Tensor, " trajectories"],
    kl_coef: float,
) -> MicroLoss:
    """Token losses with their clips, importance weights, divergence and entropy bonus, summed by the trajectories'
    `weights` (see `update.accumulate_gradient`).

    Raises:
        AlgorithmFault: the policy loss raised, or returned another shape.
    """
    config, batch, logprobs = algorithm.config, micro.batch, said.logprobs
    device = logprobs.device
    mask = batch.action_mask.to(device)
    old = logprobs.detach() if micro.old_logprobs is None else micro.old_logprobs.to(device)
    tensors = {
        "logprobs": logprobs,
        "old_logprobs": old,
        "advantages": batch.advantages.to(device),
        "mask": mask,
        "sequence": batch.trajectory.to(device),
        "selected": None if micro.selected is None else micro.selected.to(device),
    }
    sums: dict[str, float] = {}
    greatest = 0.0
    losses, clipped = _token_losses(algorithm, tensors, mask)
    if config.correction.kind != "none":
        correction, told = importance_weights(
            old,
            batch.sampler_logprobs.to(device),
            mask,
            batch.turns.to(device),
            tensors["sequence"],
            kind=config.correction.kind,
            level=config.correction.level,
            low=config.correction.low,
            high=config.correction.high,
        )
        losses = losses * correction
        greatest = told.pop("largest")
        sums |= {f"correction/{name}": value * float(mask.sum()) for name, value in told.items()}
    if said.reference is not None:
        if config.divergence.where == "loss":
            losses = losses + kl_coef * in_loss(config.divergence.estimator)(logprobs, said.reference)
        for name, estimator in KL_ESTIMATORS.items():
            sums[f"kl/{name}"] = _sum(estimator(logprobs.detach(), said.reference), mask)
    if config.entropy_coef:
        losses = losses - config.entropy_coef * said.entropy
    loss = weighted_sum(losses, mask, weights.to(device)[tensors["sequence"]])
    ratio = torch.exp(logprobs.detach() - old)
    sums["ratio"] = _sum(ratio, mask)
    sums["entropy"] = _sum(said.entropy.detach(), mask)
    sums["clip_fraction"] = _sum(clipped.float(), mask)
    sums["kl/old"] = _sum(KL_ESTIMATORS["k3"](logprobs.detach(), old), mask)
    return MicroLoss(loss, sums, float(ratio[mask].max()), greatest)


def _token_losses(algorithm: Algorithm, tensors: Mapping[str, Any], mask: Tensor) -> tuple[Tensor, Tensor]:
    """One number a token, and where the gradient is cut; a user's loss may leave the second out."""
    name = f"the policy loss {name_of(algorithm.loss.function)}"
    with blamed(name):
        given = call(algorithm.loss.function, tensors, algorithm.loss_options)
    losses, clipped = given if isinstance(given, tuple) else (given, torch.zeros_like(mask))
    if not isinstance(losses, Tensor) or losses.shape != mask.shape:
        came = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise AlgorithmFault(
            f"{name} must return one number a token, a tensor of shape {tuple(mask.shape)} that is not averaged, alone "
            f"or with the mask of clipped tokens; got {came}"
        )
    return losses, clipped


def _sum(tensor: Tensor, mask: Tensor) -> float:
    return float(tensor[mask].sum())
