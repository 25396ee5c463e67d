"""One update: the gradient of the objective over a mini-batch, in micro-batches, on any train engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .algorithm import Algorithm
from .blame import blamed, name_of
from .engine.batching import Batch, joined
from .engine.experience import Experience
from .engine.local import LocalEngine
from .errors import AlgorithmFault
from .objective.aggregation import weighted_sum
from .objective.correction import importance_weights
from .objective.kl import KL_ESTIMATORS, in_loss
from .objective.signature import call
from .roles.actor import Actor
from .roles.critic import Critic
from .roles.reference import Reference


@dataclass(frozen=True, eq=False)
class Learner:
    """Who takes part in an update, and by which algorithm."""

    actor: Actor
    reference: Reference | None
    critic: Critic | None
    engine: LocalEngine
    algorithm: Algorithm
    micro_batch_tokens: int

    @torch.no_grad()
    def logprobs(self, batch: Batch) -> Float[Tensor, "rows tokens"]:
        """The policy's, as it is now, in micro-batches; on the CPU."""
        self.actor.model.train()
        pieces = []
        for micro, _ in self.engine.passes(batch.split(self.micro_batch_tokens)):
            if micro is None:
                self.engine.run(self.actor.idle)
            else:
                pieces.append(self.engine.run(partial(self._logprobs, micro)))
        return joined(batch, pieces)

    def _logprobs(self, micro: Batch) -> Float[Tensor, "rows tokens"]:
        return self.actor.logprobs(micro)[0]

    def forward(
        self, micro: Batch, value_only: bool = False
    ) -> tuple[Float[Tensor, "rows tokens"], Float[Tensor, "rows tokens"], Float[Tensor, "rows tokens"] | None]:
        """Log-probabilities and entropies of a micro-batch, and the values of a critic on the policy's trunk.

        value_only: The trunk gets no gradient from the values.
        """
        hidden = self.actor.hidden(micro)
        entropy_gradient = self.algorithm.config.entropy_coef != 0
        logprobs, entropy = self.actor.logprobs(micro, hidden, entropy_gradient=entropy_gradient)
        if self.critic is None or not self.critic.shared:
            return logprobs, entropy, None
        return logprobs, entropy, self.critic.model.from_hidden(hidden.detach() if value_only else hidden, micro)[0]

    def reference_logprobs(self, batch: Batch) -> Float[Tensor, "rows tokens"]:
        """The reference's, in micro-batches; on the CPU."""
        assert self.reference is not None
        return joined(batch, map(self.reference.logprobs, batch.split(self.micro_batch_tokens)))


@dataclass(frozen=True, eq=False)
class Gradient:
    """What `accumulate_gradient` left in the engine. `logprobs` (rows, tokens): the trainer's, of the batch's actions.
    metrics: means over the action tokens of the batch."""

    logprobs: Float[Tensor, "rows tokens"]
    metrics: dict[str, float]


def accumulate_gradient(
    learner: Learner,
    experience: Experience,
    weights: Float[Tensor, " trajectories"],
    kl_coef: float = 0.0,
    value_only: bool = False,
) -> Gradient:
    """Gradient of the objective over a mini-batch; no weight moves here.

    The loss is the sum over action tokens of weight x token loss. `weights` holds one number for each trajectory of the
    step, worked out over the whole mini-batch (`objective.aggregation`): so the gradient depends neither on how the
    batch is split nor on whether trajectories without advantage were left out of it.

    Where `experience.old_logprobs` is None the weights are those that sampled, and the trainer's own log-probabilities,
    detached, are the old ones: the ratio is exactly 1 and the gradient of every clipped loss is that of REINFORCE.

    value_only: while a critic on a shared trunk warms up, its head learns and nothing else gets a gradient.
    """
    algorithm, config = learner.algorithm, learner.algorithm.config
    ranks = learner.engine.ranks
    own = max(1, int(ranks.total(experience.batch.action_mask.sum())))
    valued = 1 if experience.valued is None else max(1, int(ranks.total(experience.valued.sum())))
    sums: Counter[str] = Counter()
    pieces, largest, greatest = [], 0.0, 0.0
    learner.actor.model.train()
    for micro, last in learner.engine.passes(
        experience.split(learner.micro_batch_tokens, algorithm.whole_trajectories)
    ):
        if micro is None:
            learner.engine.backward(learner.engine.run(learner.actor.idle), last)
            continue
        logprobs, entropy, values = learner.engine.run(partial(learner.forward, micro.batch, value_only))
        device = logprobs.device
        mask = micro.batch.action_mask.to(device)
        old = logprobs.detach() if micro.old_logprobs is None else micro.old_logprobs.to(device)
        tensors = {
            "logprobs": logprobs,
            "old_logprobs": old,
            "advantages": micro.batch.advantages.to(device),
            "mask": mask,
            "sequence": micro.batch.trajectory.to(device),
            "selected": None if micro.selected is None else micro.selected.to(device),
        }
        losses, clipped = _token_losses(algorithm, tensors, mask)
        if config.correction.kind != "none":
            correction, told = importance_weights(
                old,
                micro.batch.sampler_logprobs.to(device),
                mask,
                micro.batch.turns.to(device),
                tensors["sequence"],
                kind=config.correction.kind,
                level=config.correction.level,
                low=config.correction.low,
                high=config.correction.high,
            )
            losses = losses * correction
            greatest = max(greatest, told.pop("largest"))
            for name, value in told.items():
                sums[f"correction/{name}"] += value * float(mask.sum())
        if learner.reference is not None:
            known = micro.reference_logprobs
            reference = learner.reference.logprobs(micro.batch) if known is None else known.to(device)
            if config.divergence.where == "loss":
                losses = losses + kl_coef * in_loss(config.divergence.estimator)(logprobs, reference)
            for name, estimator in KL_ESTIMATORS.items():
                sums[f"kl/{name}"] += _sum(estimator(logprobs.detach(), reference), mask)
        if config.entropy_coef:
            losses = losses - config.entropy_coef * entropy
        loss = weighted_sum(losses, mask, weights.to(device)[tensors["sequence"]])
        sums["loss"] += float(loss.detach()) * own
        if learner.critic is not None and learner.critic.shared:
            assert values is not None
            value_loss, told = learner.critic.loss(micro, values, valued)
            loss = learner.critic.config.coef * value_loss + (0.0 if value_only else loss)
            sums.update({name: value * own for name, value in told.items()})
        learner.engine.backward(loss, last)
        ratio = torch.exp(logprobs.detach() - old)
        largest = max(largest, float(ratio[mask].max()))
        sums["ratio"] += _sum(ratio, mask)
        sums["entropy"] += _sum(entropy.detach(), mask)
        sums["clip_fraction"] += _sum(clipped.float(), mask)
        sums["kl/old"] += _sum(KL_ESTIMATORS["k3"](logprobs.detach(), old), mask)
        pieces.append(logprobs.detach())
    shares = ranks.gathered((dict(sums), largest, greatest))
    for share, _, _ in shares[: ranks.rank] + shares[ranks.rank + 1 :]:
        sums.update(share)
    metrics = {name: value / own for name, value in sums.items()}
    metrics["ratio_largest"] = max(of_one for _, of_one, _ in shares)
    if config.correction.kind != "none":
        metrics["correction/largest"] = max(of_one for _, _, of_one in shares)
    return Gradient(joined(experience.batch, pieces), metrics)


def selected(learner: Learner, experience: Experience) -> Experience:
    """Tokens that the loss chooses over the whole mini-batch, if it does: by what was sampled, so before any update."""
    loss, batch = learner.algorithm.loss, experience.batch
    if loss.select is None:
        return experience
    old = batch.sampler_logprobs if experience.old_logprobs is None else experience.old_logprobs
    tensors = {
        "logprobs": old,
        "old_logprobs": old,
        "advantages": batch.advantages,
        "mask": batch.action_mask,
        "sequence": batch.trajectory,
    }
    ranks = learner.engine.ranks
    shares = ranks.gathered(tensors)
    if len(shares) == 1:
        return replace(experience, selected=call(loss.select, tensors, learner.algorithm.loss_options))
    # As one process would have the rows: in the order of trajectories, each of which is in one process.
    everywhere = {name: _stacked([share[name] for share in shares]) for name in tensors}
    order = everywhere["sequence"].argsort(stable=True)
    chosen = call(loss.select, {name: t[order] for name, t in everywhere.items()}, learner.algorithm.loss_options)
    first = sum(len(share["sequence"]) for share in shares[: ranks.rank])
    own = chosen[order.argsort()][first : first + len(batch), : batch.input_ids.shape[1]]
    return replace(experience, selected=own)


def _stacked(pieces: Sequence[Tensor]) -> Tensor:
    """Rows under each other, as wide as the widest."""
    if pieces[0].dim() == 1:
        return torch.cat(list(pieces))
    width = max(piece.shape[1] for piece in pieces)
    return torch.cat([torch.nn.functional.pad(piece, (0, width - piece.shape[1])) for piece in pieces])


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
