"""One update: the gradient of the objective over a mini-batch, in micro-batches, on any train engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from .algorithm import Algorithm
from .engine.batching import Batch, joined
from .engine.experience import Experience
from .engine.local import LocalEngine
from .listener import Listener
from .micro_loss import Said, micro_loss
from .model.kept_prompts import KeptPrompts
from .objective.signature import call
from .roles.actor import Actor
from .roles.critic import Critic
from .roles.reference import Reference


@dataclass(frozen=True, eq=False)
class Pass:
    """A forward pass of the policy over a micro-batch, with its graph.

    `logprobs`, `entropy`: of the action tokens. `values`, `ends`: a critic's on the policy's trunk, before the action
    tokens and after each row; None without one. `kept`: the prompts that it began from.
    """

    logprobs: Float[Tensor, "rows tokens"]
    entropy: Float[Tensor, "rows tokens"]
    values: Float[Tensor, "rows tokens"] | None = None
    ends: Float[Tensor, " rows"] | None = None
    kept: KeptPrompts | None = None


@dataclass(frozen=True, eq=False)
class Learner:
    """Who takes part in an update, and by which algorithm.

    `micro_batch_tokens`: at most, in a micro-batch, see `Batch.spans`, as `packed` is. `kept`: prompts that the rollout
    ran with the weights as they are. `listener`: who hears of it, if the step is recorded. `ahead`: a pass over all
    rows that was made with the weights as they are, see `foresee`.
    """

    actor: Actor
    reference: Reference | None
    critic: Critic | None
    engine: LocalEngine
    algorithm: Algorithm
    micro_batch_tokens: int
    packed: bool = False
    kept: KeptPrompts | None = None
    listener: Listener | None = None
    ahead: Pass | None = None

    @torch.no_grad()
    def logprobs(self, batch: Batch) -> Float[Tensor, "rows tokens"]:
        """The policy's, as it is now, in micro-batches; on the CPU."""
        self.actor.model.train()
        pieces = []
        for micro, _ in self.engine.passes(batch, self.micro_batch_tokens, packed=self.packed):
            if micro is None:
                self.engine.run(self.actor.idle)
            else:
                pieces.append(self.engine.run(partial(self._logprobs, micro)))
        return joined(batch, pieces)

    def _logprobs(self, micro: Batch) -> Float[Tensor, "rows tokens"]:
        return self.actor.logprobs(micro, self.actor.states(micro, self.kept))[0]

    def forward(self, micro: Batch, value_only: bool = False) -> Pass:
        """A pass over a micro-batch. value_only: the trunk gets no gradient from the values."""
        states = self.actor.states(micro, self.kept)
        entropy_gradient = self.algorithm.config.entropy_coef != 0
        logprobs, entropy = self.actor.logprobs(micro, states, entropy_gradient=entropy_gradient)
        if self.critic is None or not self.critic.shared:
            return Pass(logprobs, entropy, kept=self.kept)
        values, ends = self.critic.model.from_states(states.detach() if value_only else states, micro)
        return Pass(logprobs, entropy, values, ends, self.kept)

    def foresee(self, batch: Batch) -> Pass | None:
        """The pass of the only update, made before it for a critic that shares the policy's trunk: it is asked for
        values first, with the same weights. None where it would not be that pass: there are several updates,
        micro-batches or processes, or only last turns are trained."""
        algorithm = self.algorithm
        if self.critic is None or not self.critic.shared or self.engine.ranks.size > 1:
            return None
        if algorithm.updates > 1 or algorithm.config.selection.turns == "last":
            return None
        spans = list(batch.spans(self.micro_batch_tokens, algorithm.whole_trajectories, self.packed))
        if len(spans) != 1:
            return None
        self.critic.offload.require()
        self.actor.model.train()
        return self.engine.run(partial(self.forward, batch))

    def reference_logprobs(self, batch: Batch) -> Float[Tensor, "rows tokens"]:
        """The reference's, in micro-batches; on the CPU."""
        assert self.reference is not None
        return joined(batch, map(self.reference.logprobs, batch.split(self.micro_batch_tokens, packed=self.packed)))


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
    algorithm, critic, hears = learner.algorithm, learner.critic, learner.listener
    ranks = learner.engine.ranks
    own = max(1, int(ranks.total(experience.batch.action_mask.sum())))
    valued = 1 if experience.valued is None else max(1, int(ranks.total(experience.valued.sum())))
    sums: Counter[str] = Counter()
    kept: KeptPrompts | None = None
    pieces, largest, greatest = [], 0.0, 0.0
    learner.actor.model.train()
    for micro, last in learner.engine.passes(
        experience, learner.micro_batch_tokens, algorithm.whole_trajectories, learner.packed
    ):
        if micro is None:
            learner.engine.backward(learner.engine.run(learner.actor.idle), last)
            continue
        run = learner.ahead
        if run is None or run.logprobs.shape != micro.batch.input_ids.shape or value_only:
            run = learner.engine.run(partial(learner.forward, micro.batch, value_only))
        logprobs, values = run.logprobs, run.values
        said = Said(logprobs, run.entropy, values, _reference_logprobs(learner, micro, logprobs.device))
        _tell(hears, micro, said)
        found = micro_loss(algorithm, micro, said, weights, kl_coef)
        loss = found.loss
        sums["loss"] += float(loss.detach()) * own
        sums.update(found.sums)
        if hears is not None:
            hears.lost("loss", float(loss.detach()))
        if critic is not None and critic.shared:
            assert values is not None
            value_loss, told = critic.loss(micro, values, valued)
            loss = critic.config.coef * value_loss + (0.0 if value_only else loss)
            sums.update({name: value * own for name, value in told.items()})
            if hears is not None:
                hears.lost("value_loss", told["value_loss"])
        learner.engine.backward(loss, last)
        largest, greatest = max(largest, found.largest), max(greatest, found.greatest)
        pieces.append(logprobs.detach())
        kept = run.kept  # the same in all passes
    if kept is not None:
        kept.backward()
    shares = ranks.gathered((dict(sums), largest, greatest))
    for share, _, _ in shares[: ranks.rank] + shares[ranks.rank + 1 :]:
        sums.update(share)
    metrics = {name: value / own for name, value in sums.items()}
    metrics["ratio_largest"] = max(of_one for _, of_one, _ in shares)
    if algorithm.config.correction.kind != "none":
        metrics["correction/largest"] = max(of_one for _, _, of_one in shares)
    return Gradient(joined(experience.batch, pieces), metrics)


def _reference_logprobs(learner: Learner, micro: Experience, device: torch.device) -> Tensor | None:
    """The reference's, if there is one: known from before the first update, or asked now."""
    if learner.reference is None:
        return None
    known = micro.reference_logprobs
    return learner.reference.logprobs(micro.batch) if known is None else known.to(device)


def _tell(hears: Listener | None, micro: Experience, said: Said) -> None:
    """What the models say of a micro-batch during an update."""
    if hears is None:
        return
    hears.said("logprobs", micro.batch, said.logprobs)
    hears.said("entropy", micro.batch, said.entropy)
    if said.values is not None:
        hears.said("values", micro.batch, said.values)
    if said.reference is not None and micro.reference_logprobs is None:
        hears.said("reference_logprobs", micro.batch, said.reference)


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
