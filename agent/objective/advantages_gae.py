"""Advantages with a critic: generalised advantage estimation over tokens, or over turns.

An episode is the sequence of its action tokens. What the environment wrote between two of them belongs to the
transition: the state after the last token of a turn is the one before the first token of the next.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .advantages_batch import whitened

Matrix = Float[Tensor, "trajectories actions"]
Places = Bool[Tensor, "trajectories actions"]


def gae(
    rewards: Float[Tensor, "trajectories actions"],
    values: Float[Tensor, "trajectories actions"],
    mask: Bool[Tensor, "trajectories actions"],
    valid: Bool[Tensor, " trajectories"],
    truncated: Bool[Tensor, " trajectories"],
    final_values: Float[Tensor, " trajectories"] | None,
    *,
    discount: float = 1.0,
    gae_lambda: float = 1.0,
    whiten: bool = True,
    bootstrap_truncated: bool = False,
) -> tuple[Matrix, Matrix, Places]:
    r"""Generalised advantage estimation; one step is one action token.

    .. math:: A_t = \sum_{l \ge 0} (\gamma \lambda)^l \delta_{t + l}, \quad
              \delta_t = r_t + \gamma V(s_{t + 1}) - V(s_t)

    The value after the last token is 0.

    Source: High-dimensional continuous control using generalized advantage estimation (arXiv 1506.02438), equation 16.

    Args:
        rewards: Reward that arrives after each action token.
        values: The critic's value of the state before each action token.
        mask: Which entries exist.
        valid: Which trajectories count; what stands in the others is ignored.
        truncated: Which episodes were cut off.
        final_values: The critic's value of the state after the last token; used only with `bootstrap_truncated`, and
            only where `truncated`.
        discount: Gamma, for each action token.
        gae_lambda: Lambda; 1 gives the discounted return minus the value, 0 the error of one step.
        whiten: Normalise the advantages over the action tokens of all valid trajectories: mean 0, sample standard
            deviation (plus 1e-6) 1.
        bootstrap_truncated: The value after the last token of a truncated episode is that of `final_values`.

    Returns:
        Advantages; the critic's targets, which are advantages before whitening plus values; where the critic is
        trained, which is at every action token of a valid trajectory. All are 0 elsewhere.

    Raises:
        ValueError: `bootstrap_truncated` without `final_values`.
    """
    counts = mask & valid[:, None]
    last = _last_values(truncated, final_values, bootstrap_truncated)
    advantages = _scan(rewards, values, counts, last, discount, gae_lambda)
    returns = torch.where(counts, advantages + values, 0.0)
    return (whitened(advantages, counts) if whiten else advantages), returns, counts


def turn_gae(
    rewards: Float[Tensor, "trajectories actions"],
    values: Float[Tensor, "trajectories actions"],
    mask: Bool[Tensor, "trajectories actions"],
    turns: Int[Tensor, "trajectories actions"],
    valid: Bool[Tensor, " trajectories"],
    truncated: Bool[Tensor, " trajectories"],
    final_values: Float[Tensor, " trajectories"] | None,
    *,
    discount: float = 1.0,
    gae_lambda: float = 1.0,
    whiten: bool = True,
    bootstrap_truncated: bool = False,
) -> tuple[Matrix, Matrix, Places]:
    """Generalised advantage estimation; one step is one turn, whose advantage all of its tokens get.

    The equation is that of `gae`. The value of a turn is that before its first action token, its reward the sum of
    the rewards in it, which arrives at its end. A turn without action tokens is no step.

    Source: arXiv 1506.02438, equation 16, with turns as time steps, as in Turn-PPO (arXiv 2512.17008).

    Args:
        rewards: Reward that arrives after each action token.
        values: The critic's value of the state before each action token; read at the first one of each turn.
        mask: Which entries exist.
        turns: Turn of each action token; never falls along a trajectory.
        valid: Which trajectories count; what stands in the others is ignored.
        truncated: Which episodes were cut off.
        final_values: The critic's value of the state after the last turn; used only with `bootstrap_truncated`, and
            only where `truncated`.
        discount: Gamma, for each turn.
        gae_lambda: Lambda; 1 gives the discounted return minus the value, 0 the error of one step.
        whiten: Normalise the advantages over the turns of all valid trajectories, each counted once however many
            tokens it has: mean 0, sample standard deviation (plus 1e-6) 1.
        bootstrap_truncated: The value after the last turn of a truncated episode is that of `final_values`.

    Returns:
        Advantages; the critic's targets, which are advantages before whitening plus values; where the critic is
        trained, which is at the first action token of each turn of a valid trajectory. All are 0 elsewhere.

    Raises:
        ValueError: `bootstrap_truncated` without `final_values`.
    """
    counts = mask & valid[:, None]
    numbers = torch.where(counts, turns, -1)
    begun = torch.nn.functional.pad(numbers.cummax(1).values[:, :-1], (1, 0), value=-1)
    first = counts & (numbers > begun)
    # One column a turn: the k-th turn of a trajectory that has tokens, whatever its number.
    column = (first.cumsum(1) - 1).clamp(min=0)
    shape = (len(rewards), max([1, *first.sum(1).tolist()]))
    exists = torch.arange(shape[1], device=rewards.device) < first.sum(1, keepdim=True)
    turn_rewards = rewards.new_zeros(shape).scatter_add(1, column, torch.where(counts, rewards, 0.0))
    turn_values = values.new_zeros(shape).scatter_add(1, column, torch.where(first, values, 0.0))
    last = _last_values(truncated, final_values, bootstrap_truncated)
    advantages = _scan(turn_rewards, turn_values, exists, last, discount, gae_lambda)
    returns = torch.where(first, (advantages + turn_values).gather(1, column), 0.0)
    credit = whitened(advantages, exists) if whiten else advantages
    return torch.where(counts, credit.gather(1, column), 0.0), returns, first


def _last_values(
    truncated: Bool[Tensor, " trajectories"], final_values: Float[Tensor, " trajectories"] | None, bootstrap: bool
) -> Float[Tensor, " trajectories"]:
    """Value of the state that each episode ended in."""
    if not bootstrap:
        return torch.zeros(truncated.shape, device=truncated.device)
    if final_values is None:
        raise ValueError("bootstrap_truncated needs final_values: the critic's value of the last state of each episode")
    return torch.where(truncated, final_values, 0.0)


def _scan(
    rewards: Float[Tensor, "trajectories steps"],
    values: Float[Tensor, "trajectories steps"],
    counts: Bool[Tensor, "trajectories steps"],
    last_values: Float[Tensor, " trajectories"],
    discount: float,
    gae_lambda: float,
) -> Float[Tensor, "trajectories steps"]:
    """Advantages from the last step to the first; steps that do not count are passed over, and 0."""
    advantages = torch.zeros_like(rewards)
    next_advantage, next_value = torch.zeros_like(last_values), last_values
    for step in reversed(range(rewards.shape[1])):
        here, value = counts[:, step], values[:, step]
        error = rewards[:, step] + discount * next_value - value
        advantages[:, step] = error + discount * gae_lambda * next_advantage
        next_advantage = torch.where(here, advantages[:, step], next_advantage)
        next_value = torch.where(here, value, next_value)
    return torch.where(counts, advantages, 0.0)
