"""From rewards to advantages: trajectories in the form that estimators see, and back to the tokens of a batch.

Estimators see an episode as its action tokens alone, of all turns and rows in order: what stands between them, prompts
and observations, is not the policy's doing. A batch has the same tokens in the same order, at their places in rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .algorithm import Algorithm
from .blame import blamed, name_of
from .engine.batching import Batch
from .errors import AlgorithmFault
from .objective.signature import call
from .types import Trajectory


@dataclass(frozen=True, eq=False)
class Episodes:
    """Trajectories as estimators see them; the names are those of `objective.plugin.ESTIMATOR_TENSORS`."""

    scores: Float[Tensor, " trajectories"]
    groups: Int[Tensor, " trajectories"]
    valid: Bool[Tensor, " trajectories"]
    lengths: Int[Tensor, " trajectories"]
    rewards: Float[Tensor, "trajectories actions"]
    mask: Bool[Tensor, "trajectories actions"]
    turns: Int[Tensor, "trajectories actions"]
    images_before: Int[Tensor, "trajectories actions"]
    truncated: Bool[Tensor, " trajectories"]


@dataclass(frozen=True, eq=False)
class Credit:
    """What an estimator said: an advantage for each action token, and what the critic is to learn."""

    advantages: Float[Tensor, "trajectories actions"]
    returns: Float[Tensor, "trajectories actions"] | None = None
    valued: Bool[Tensor, "trajectories actions"] | None = None


def episodes_of(
    trajectories: Sequence[Trajectory],
    groups: Int[Tensor, " trajectories"],
    scores: Float[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
) -> Episodes:
    """Trajectories as estimators see them.

    `scores` are whole returns. What the environment paid for a turn arrives at the turn's last token; what a score has
    beyond that (shaping, another trajectory's score in a control) arrives at the last token of all.

    A picture is counted at the first action token that comes after it. What a new row shows of its prompt is shown
    anew, so its pictures are counted again.
    """
    lengths = [t.action_count for t in trajectories]
    shape = (len(trajectories), max(1, *lengths) if lengths else 1)
    rewards, mask = torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
    turns, images = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    # Filled through numpy, which has the same memory: to write a few numbers costs a tenth.
    paid, acts, turn_of, before = rewards.numpy(), mask.numpy(), turns.numpy(), images.numpy()
    worth, counted = scores.tolist(), valid.tolist()
    for index, trajectory in enumerate(trajectories):
        end = shown = 0
        for segment in (segment for row in trajectory.rows for segment in row.segments):
            shown += len(segment.images)
            if segment.kind != "action" or not segment.token_ids:
                continue
            start, end = end, end + len(segment.token_ids)
            turn_of[index, start:end] = segment.turn
            paid[index, end - 1] = segment.reward or 0.0
            before[index, start], shown = shown, 0
        acts[index, :end] = True
        if end and counted[index]:
            paid[index, end - 1] += worth[index] - paid[index].sum()
    truncated = torch.tensor([t.outcome.end == "truncated" for t in trajectories], dtype=torch.bool)
    return Episodes(scores, groups, valid, torch.tensor(lengths), rewards, mask, turns, images, truncated)


def last_turns(episodes: Episodes) -> Bool[Tensor, "trajectories actions"]:
    """True at the action tokens of each trajectory's last turn."""
    last = episodes.turns.masked_fill(~episodes.mask, -1).amax(1, keepdim=True)
    return episodes.mask & (episodes.turns == last)


def estimate(
    algorithm: Algorithm,
    episodes: Episodes,
    values: Float[Tensor, "trajectories actions"] | None = None,
    final_values: Float[Tensor, " trajectories"] | None = None,
    greedy_scores: Float[Tensor, " trajectories"] | None = None,
) -> Credit:
    """Ask the estimator. An advantage of a whole trajectory is that of each of its tokens; a broken one has none.

    Raises:
        AlgorithmFault: the estimator raised, or returned another shape, or a number that is not finite.
    """
    tensors = {**vars(episodes), "values": values, "final_values": final_values, "greedy_scores": greedy_scores}
    name = name_of(algorithm.estimator.function)
    with blamed(f"the advantage estimator {name}"):
        given = call(algorithm.estimator.function, tensors, algorithm.estimator_options)
    if "values" in algorithm.estimator.needs and not (isinstance(given, tuple) and len(given) == 3):
        raise AlgorithmFault(
            f"the advantage estimator {name} takes values, so it must return (advantages, returns, valued): what the "
            f"critic is to learn, and where; got {type(given).__name__}"
        )
    advantages, returns, valued = given if isinstance(given, tuple) else (given, None, None)
    shape = episodes.mask.shape
    if not isinstance(advantages, Tensor) or advantages.shape not in (shape, shape[:1]):
        came = tuple(advantages.shape) if isinstance(advantages, Tensor) else type(advantages).__name__
        raise AlgorithmFault(
            f"the advantage estimator {name} must return a tensor of shape ({shape[0]},) or {tuple(shape)}: one "
            f"number a trajectory or one an action token; got {came}"
        )
    spread = advantages if advantages.dim() == 2 else advantages[:, None].expand(shape)
    counts = episodes.mask & episodes.valid[:, None]
    spread = torch.where(counts, spread, torch.zeros(()))
    if not bool(torch.isfinite(spread).all()):
        raise AlgorithmFault(
            f"the advantage estimator {name} returned a number that is not finite for a valid trajectory; divide by a "
            "deviation only where it is above 0"
        )
    return Credit(spread, returns, valued)


def to_tokens(matrix: Tensor, episodes: Episodes, batch: Batch) -> Tensor:
    """(trajectories, actions) -> (rows, tokens) of a batch; zero elsewhere."""
    kept = batch.trajectory.unique_consecutive()
    flat = matrix[kept][episodes.mask[kept]]
    return torch.zeros(batch.action_mask.shape, dtype=matrix.dtype).masked_scatter(batch.action_mask, flat)


def to_episodes(tokens: Tensor, episodes: Episodes, batch: Batch) -> Tensor:
    """(rows, tokens) of a batch -> (trajectories, actions); zero for trajectories that are not in it."""
    present = torch.zeros_like(episodes.mask)
    kept = batch.trajectory.unique_consecutive()
    present[kept] = episodes.mask[kept]
    return torch.zeros(episodes.mask.shape, dtype=tokens.dtype).masked_scatter(present, tokens[batch.action_mask])
