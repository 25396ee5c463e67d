"""What a step learns from: rewards, then everything that is worked out before the first update, then advantages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .algorithm import Algorithm
from .config import Config
from .credit import Credit, Episodes, episodes_of, estimate, last_turns, to_episodes, to_tokens
from .engine.batching import Batch, empty_batch, make_batch
from .engine.experience import Experience
from .objective.kl import penalty
from .objective.shaping import overlong_penalty, scale_scores
from .parts import Parts
from .roles.reward import scores_and_validity, shuffled, term_scores
from .seeds import generator
from .types import Trajectory
from .update import Learner, Pass


@dataclass(frozen=True, eq=False)
class Rewards:
    """What each trajectory is worth. `terms`: what was added to the environment's return, by name."""

    scores: Float[Tensor, " trajectories"]
    valid: Bool[Tensor, " trajectories"]
    terms: Mapping[str, Float[Tensor, " trajectories"]]


@dataclass(frozen=True, eq=False)
class Lesson:
    """A step's trajectories with their rewards and credit.

    `experience` has the rows of all valid trajectories that have actions, of those of this process; None if nowhere is
    any. `trained`: action tokens of each trajectory that carry the loss. `values`: the critic's, before each. `ahead`:
    the pass that they are from, if the update can go on from there.
    """

    trajectories: Sequence[Trajectory]
    rewards: Rewards
    episodes: Episodes
    credit: Credit
    experience: Experience | None
    trained: Int[Tensor, " trajectories"]
    values: Float[Tensor, "trajectories actions"] | None = None
    ahead: Pass | None = None

    @property
    def advantages(self) -> list[list[float]]:
        """The advantages of each trajectory's action tokens, in order."""
        rows = zip(self.credit.advantages.tolist(), self.episodes.lengths.tolist(), strict=True)
        return [row[:length] for row, length in rows]


def rewards_of(
    config: Config,
    parts: Parts,
    trajectories: Sequence[Trajectory],
    siblings: Int[Tensor, " trajectories"],
    step: int,
) -> Rewards:
    """The environment's return, the recipe's terms, and the penalty of overlong episodes; or the shuffled control."""
    scores, valid = scores_and_validity(trajectories)
    terms = term_scores(parts.terms, trajectories, parts.vlm.processor.decode)
    selection = config.algorithm.selection
    if selection.overlong_buffer:
        lengths = torch.tensor([t.action_count for t in trajectories])
        at = selection.overlong_at or config.rollout.episode_tokens
        penalties = selection.overlong_penalty * overlong_penalty(lengths, maximum=at, buffer=selection.overlong_buffer)
        terms["overlong"] = torch.where(valid, penalties, torch.zeros(()))
    for added in terms.values():
        scores = scores + added
    if config.algorithm.shuffle_rewards:
        scores = shuffled(scores, valid, config.run.seed, step)
    if config.algorithm.reward_scaling != "none":
        scores = scale_scores(scores, siblings, valid, config.algorithm.reward_scaling)
    return Rewards(scores, valid, terms)


def prepare(
    learner: Learner,
    parts: Parts,
    trajectories: Sequence[Trajectory],
    siblings: Int[Tensor, " trajectories"],
    rewards: Rewards,
    greedy_scores: Float[Tensor, " trajectories"] | None,
    kl_coef: float,
    foresee: bool = False,
) -> Lesson:
    """Credit for every action token, and what the updates need beside it. foresee: the pass that values are from may be
    that of the update, see `Learner.foresee`."""
    algorithm, config, hears = learner.algorithm, learner.algorithm.config, learner.listener
    episodes = episodes_of(trajectories, siblings, rewards.scores, rewards.valid)
    experience = _experience(parts, trajectories, own_share(parts, siblings))
    ranks = parts.ranks
    if experience is None:
        return Lesson(trajectories, rewards, episodes, Credit(torch.zeros(episodes.mask.shape)), None, episodes.lengths)
    batch = experience.batch
    if algorithm.updates > 1:
        old = learner.logprobs(batch)
        experience = replace(experience, old_logprobs=old)
        if hears is not None:
            hears.said("old_logprobs", batch, old)
    if learner.reference is not None and (algorithm.updates > 1 or config.divergence.where == "reward"):
        reference = learner.reference_logprobs(batch)
        experience = replace(experience, reference_logprobs=reference)
        if hears is not None:
            hears.said("reference_logprobs", batch, reference)
        if config.divergence.where == "reward":
            old = batch.sampler_logprobs if experience.old_logprobs is None else experience.old_logprobs
            taken = kl_coef * penalty(config.divergence.estimator)(old, reference)
            episodes = _with_penalty(episodes, ranks.total(to_episodes(taken, episodes, batch)))
    values = final = ahead = None
    if learner.critic is not None:
        ahead = learner.foresee(batch) if foresee else None
        if ahead is not None and ahead.values is not None and ahead.ends is not None:
            at_tokens, at_ends = ahead.values.detach().cpu(), ahead.ends.detach().cpu()
        else:
            at_tokens, at_ends = learner.critic.values(
                batch, learner.micro_batch_tokens, learner.engine, learner.packed, learner.kept
            )
        values = ranks.total(to_episodes(at_tokens, episodes, batch))
        experience = replace(experience, values=at_tokens)
        final = ranks.total(_of_last_rows(at_ends, batch, len(trajectories)))
        if hears is not None:
            hears.said("values", batch, at_tokens)
            hears.said("final_values", batch, at_ends)
    credit, trained = estimate(algorithm, episodes, values, final, greedy_scores), episodes.mask
    if config.selection.turns == "last":
        trained = last_turns(episodes)
        credit = replace(credit, advantages=credit.advantages.where(trained, 0.0))
    experience = experience.with_advantages(to_tokens(credit.advantages, episodes, batch))
    if credit.returns is not None and credit.valued is not None:
        experience = replace(
            experience,
            returns=to_tokens(credit.returns, episodes, batch),
            valued=to_tokens(credit.valued & episodes.valid[:, None], episodes, batch),
        )
    if config.selection.turns == "last":
        experience = experience.trained_at(to_tokens(trained, episodes, batch))
    return Lesson(trajectories, rewards, episodes, credit, experience, trained.sum(1), values, ahead)


def taught(algorithm: Algorithm, lesson: Lesson) -> list[int]:
    """The trajectories that carry a gradient: valid, with actions, and with an advantage other than 0 somewhere, unless
    the objective has more than advantages."""
    episodes = lesson.episodes
    wanted = episodes.valid & (episodes.lengths > 0)
    if algorithm.config.selection.drop_truncated:
        wanted = wanted & ~episodes.truncated
    if not algorithm.every_trajectory_counts:
        wanted = wanted & lesson.credit.advantages.bool().any(1)
    return wanted.nonzero()[:, 0].tolist()


def mini_batches(lesson: Lesson, algorithm: Algorithm, seed: int, step: int) -> Iterator[list[int]]:
    """Trajectories of each update: every epoch deals whole groups out anew, so that siblings stay together."""
    groups = lesson.episodes.groups.tolist()
    count = algorithm.config.mini_batches
    for epoch in range(algorithm.config.epochs):
        order = list(dict.fromkeys(groups))
        if count > 1:
            order = [order[i] for i in generator(seed, "mini-batches", step, epoch).permutation(len(order))]
        for part in range(count):
            wanted = set(order[part::count])
            yield [index for index, group in enumerate(groups) if group in wanted]


def _experience(parts: Parts, trajectories: Sequence[Trajectory], mine: Sequence[bool]) -> Experience | None:
    rows = [
        (index, row)
        for index, trajectory in enumerate(trajectories)
        if trajectory.valid
        for row in trajectory.rows
        if any(row.actions)
    ]
    if not rows:
        return None
    rows = [(index, row) for index, row in rows if mine[index]]
    if not rows:
        return Experience(empty_batch())
    batch = make_batch(
        [row for _, row in rows],
        [index for index, _ in rows],
        [0.0] * len(rows),
        parts.renderer.pixels,
        parts.vlm.processor.merge,
    )
    return Experience(batch)


def own_share(parts: Parts, siblings: Int[Tensor, " trajectories"]) -> list[bool]:
    """Which trajectories this process played, and trains on: those of its groups."""
    return [int(group) % parts.ranks.size == parts.ranks.rank for group in siblings]


def _of_last_rows(values: Float[Tensor, " rows"], batch: Batch, count: int) -> Float[Tensor, " trajectories"]:
    """Of each trajectory the value of its last row; 0 where it has none."""
    owners, rows = batch.trajectory.unique_consecutive(return_counts=True)
    return torch.zeros(count).index_put((owners,), values[rows.cumsum(0) - 1])


def _with_penalty(episodes: Episodes, taken: Float[Tensor, "trajectories actions"]) -> Episodes:
    return replace(episodes, rewards=episodes.rewards - taken, scores=episodes.scores - taken.sum(1))
