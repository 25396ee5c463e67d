"""Advantages by comparison with the whole batch, or with a greedy episode."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .advantages_group import EPSILON, group_statistics


def reinforce_pp(
    rewards: Float[Tensor, "trajectories actions"],
    mask: Bool[Tensor, "trajectories actions"],
    valid: Bool[Tensor, " trajectories"],
    *,
    discount: float = 1.0,
) -> Float[Tensor, "trajectories actions"]:
    r"""REINFORCE++: the reward from a token on, normalised over all action tokens of the batch.

    .. math:: G_t = \sum_{k \ge t} \gamma^{k - t} r_k, \quad
              A_t = (G_t - \mathrm{mean}(G)) / (\mathrm{std}(G) + \epsilon)

    with the sample standard deviation (divisor n - 1) and epsilon = 1e-6; mean and deviation are over the action
    tokens of all valid trajectories. If all G are equal, A is 0.

    Source: REINFORCE++ (arXiv 2501.03262, version 9 of November 2025), its first variant (one sample a prompt and
    more; global advantage normalisation). There r_k is the token's share of the divergence, and at the end of the
    episode its score; here it is whatever reward arrives after the token. The paper has no discount (1).

    Args:
        rewards: Reward that arrives after each action token.
        mask: Which entries exist.
        valid: Which trajectories count.
        discount: Gamma, for each action token.
    """
    counts = mask & valid[:, None]
    return whitened(discounted_sums(rewards, counts, discount), counts)


def reinforce_pp_baseline(
    scores: Float[Tensor, " trajectories"],
    groups: Int[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
    lengths: Int[Tensor, " trajectories"],
) -> Float[Tensor, " trajectories"]:
    r"""REINFORCE++ with a baseline: the group's mean is subtracted, and the result normalised over the batch.

    .. math:: A'_i = r_i - \mathrm{mean}_G(r), \quad A_i = (A'_i - \mathrm{mean}(A')) / (\mathrm{std}(A') + \epsilon)

    with the sample standard deviation (divisor n - 1) and epsilon = 1e-6; mean and deviation are over the action
    tokens of the batch, each with the A' of its trajectory. Trajectories without a valid sibling are left out and get
    0. In a group of equal scores A' is 0, and A what the mean over tokens makes of it: 0 if trajectories are equally
    long, near it otherwise. If all A' are equal, every A is 0.

    Source: REINFORCE++ (arXiv 2501.03262, version 9 of November 2025), its second variant ("w/ baseline").

    Args:
        scores: Return of each trajectory; ignored where not `valid`.
        groups: Group of each trajectory, 0 to count - 1.
        valid: Which trajectories count.
        lengths: Action tokens of each; ignored where not `valid`.
    """
    mean, deviation, sizes = group_statistics(scores, groups, valid)
    compared = valid & (sizes > 1)
    # Equal scores can miss their mean by one rounding.
    centred = torch.where(compared & (deviation > 0), scores - mean, 0.0)
    return whitened(centred, compared, torch.where(compared, lengths, 0))


def remax(
    scores: Float[Tensor, " trajectories"],
    greedy_scores: Float[Tensor, " trajectories"],
    valid: Bool[Tensor, " trajectories"],
) -> Float[Tensor, " trajectories"]:
    r"""ReMax: the score beyond that of the episode that the policy plays without chance.

    .. math:: A_i = r_i - r^{greedy}

    Source: ReMax (arXiv 2310.10505); its subtractive baseline is the reward of the greedy response.

    Args:
        scores: Return of each trajectory; ignored where not `valid`.
        greedy_scores: Score of the greedy episode of the same task; ignored where not `valid`.
        valid: Which trajectories count; those whose greedy episode broke cannot.
    """
    return torch.where(valid, scores - greedy_scores, 0.0)


def discounted_sums(
    terms: Float[Tensor, "trajectories steps"], counts: Bool[Tensor, "trajectories steps"], discount: float
) -> Float[Tensor, "trajectories steps"]:
    """For each step that counts, its term plus `discount` times the sum at the next one that counts; 0 elsewhere."""
    sums = torch.zeros_like(terms)
    following = terms.new_zeros(terms.shape[0])
    for step in reversed(range(terms.shape[1])):
        following = torch.where(counts[:, step], terms[:, step] + discount * following, following)
        sums[:, step] = following
    return torch.where(counts, sums, 0.0)


def whitened(
    numbers: Float[Tensor, "*shape"], counts: Bool[Tensor, "*shape"], weights: Int[Tensor, "*shape"] | None = None
) -> Float[Tensor, "*shape"]:
    """Where it counts, (number - mean) / (sample standard deviation + 1e-6); 0 elsewhere, or if all are equal.

    Args:
        numbers: Ignored where `counts` is off.
        counts: Over which of them mean and deviation are taken.
        weights: How often each is counted; once, if not given.
    """
    kept = numbers[counts]
    times = torch.ones_like(kept) if weights is None else weights[counts].to(kept.dtype)
    present = kept[times > 0]
    if len(present) == 0 or bool((present == present[0]).all()):
        return torch.zeros_like(numbers)
    mean = (times * kept).sum() / times.sum()
    variance = (times * (kept - mean) ** 2).sum() / (times.sum() - 1)
    return torch.zeros_like(numbers).masked_scatter(counts, (kept - mean) / (variance.sqrt() + EPSILON))
