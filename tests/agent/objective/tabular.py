"""Token-level decision processes that are small enough to be solved exactly: a softmax over tokens in every state.

An episode has a fixed number of turns of one token each; a state is the sequence of tokens so far. Everything that a
sampled estimate is compared with (returns, gradients, optima) is computed by enumeration.
"""

from collections.abc import Callable
from itertools import product
from typing import TypeVar

import torch
from torch import Tensor

from agent.objective.aggregation import trajectory_weights, weighted_sum
from agent.objective.signature import call

P = TypeVar("P", "Tabular", "Coins")
Reward = Callable[[tuple[int, ...]], float]  # of the tokens so far, the last one just chosen


class Tabular:
    """A policy and a value for every sequence of fewer than `turns` tokens out of `vocabulary`."""

    def __init__(self, vocabulary: int, turns: int, reward: Reward, forget: bool = False) -> None:
        self.vocabulary, self.turns, self.reward, self.forget = vocabulary, turns, reward, forget
        states = [s for length in range(turns) for s in product(range(vocabulary), repeat=length)]
        keys = dict.fromkeys(self.key(state) for state in states)
        self.index = {key: i for i, key in enumerate(keys)}
        self.logits = torch.zeros(len(keys), vocabulary, dtype=torch.float64, requires_grad=True)
        self.values = torch.zeros(len(keys), dtype=torch.float64, requires_grad=True)
        # The world as tables over whole states: which follows, what it pays, what the policy sees of it.
        number = {state: i for i, state in enumerate(states)}
        tokens = range(vocabulary)
        self._next = torch.tensor([[number.get((*s, t), 0) for t in tokens] for s in states])
        self._pays = torch.tensor([[reward((*s, t)) for t in tokens] for s in states], dtype=torch.float64)
        self._seen = torch.tensor([self.index[self.key(state)] for state in states])

    def key(self, state: tuple[int, ...]) -> object:
        """What the policy sees of a state: all of it, or with `forget` its length alone."""
        return len(state) if self.forget else state

    def expected_return(self, logits: Tensor | None = None) -> Tensor:
        """Exactly, by enumeration; differentiable."""
        chances = torch.softmax(self.logits if logits is None else logits, -1)[self._seen]
        total = torch.zeros((), dtype=torch.float64)
        reached = torch.zeros(len(self._seen), dtype=torch.float64).index_fill(0, torch.tensor([0]), 1.0)
        for _ in range(self.turns):
            each = reached[:, None] * chances
            total = total + (each * self._pays).sum()
            reached = torch.zeros_like(reached).index_add(0, self._next.flatten(), each.flatten())
        return total

    def optimum(self) -> float:
        """The largest return, by dynamic programming."""

        def best(state: tuple[int, ...]) -> float:
            if len(state) == self.turns:
                return 0.0
            return max(self.reward((*state, t)) + best((*state, t)) for t in range(self.vocabulary))

        return best(())

    def sample(self, episodes: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """States and tokens (episodes, turns), and the reward after each token."""
        probabilities = torch.softmax(self.logits.detach(), -1)
        world = torch.zeros(episodes, dtype=torch.long)
        states, tokens, rewards = [], [], []
        for _ in range(self.turns):
            states.append(self._seen[world])
            tokens.append(torch.multinomial(probabilities[states[-1]], 1, generator=generator)[:, 0])
            rewards.append(self._pays[world, tokens[-1]])
            world = self._next[world, tokens[-1]]
        return torch.stack(states, 1), torch.stack(tokens, 1), torch.stack(rewards, 1)

    def logprobs(self, states: Tensor, tokens: Tensor) -> Tensor:
        return torch.log_softmax(self.logits, -1)[states, tokens]


class Coins:
    """Many turns of one token out of four. In the middle one token 2 pays 1; every other turn pays 0 or 2 by a coin
    that no token changes. The policy sees which turn it is, and no more."""

    def __init__(self, turns: int) -> None:
        self.turns, self.where = turns, turns // 2
        self.logits = torch.zeros(turns, 4, dtype=torch.float64, requires_grad=True)
        self.values = torch.zeros(turns, dtype=torch.float64, requires_grad=True)

    def sample(self, episodes: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        states = torch.arange(self.turns).expand(episodes, self.turns)
        chances = torch.softmax(self.logits.detach(), -1)
        tokens = torch.multinomial(chances, episodes, True, generator=generator).T
        rewards = 2.0 * torch.randint(0, 2, tokens.shape, generator=generator).double()
        rewards[:, self.where] = (tokens[:, self.where] == 2).double()
        return states, tokens, rewards

    def logprobs(self, states: Tensor, tokens: Tensor) -> Tensor:
        return torch.log_softmax(self.logits, -1)[states, tokens]

    def found(self) -> bool:
        return float(torch.softmax(self.logits.detach(), -1)[self.where, 2]) > 0.9


def tensors_of(policy: Tabular | Coins, states: Tensor, rewards: Tensor, group_size: int) -> dict[str, Tensor]:
    """What an estimator may ask for; siblings are neighbours."""
    episodes, turns = states.shape
    return {
        "scores": rewards.sum(1),
        "groups": torch.arange(episodes) // group_size,
        "valid": torch.ones(episodes, dtype=torch.bool),
        "lengths": torch.full((episodes,), turns),
        "rewards": rewards,
        "mask": torch.ones(states.shape, dtype=torch.bool),
        "turns": torch.arange(turns).expand(episodes, turns),
        "values": policy.values.detach()[states],
        "final_values": torch.zeros(episodes, dtype=torch.float64),
        "truncated": torch.zeros(episodes, dtype=torch.bool),
    }


def train(
    policy: P,
    estimator: Callable[..., object],
    loss: Callable[..., object],
    *,
    steps: int,
    episodes: int,
    seed: int,
    lr: float = 0.2,
    epochs: int = 1,
    options: dict[str, object] | None = None,
    until: Callable[[P], bool] = lambda policy: False,
) -> int:
    """Sample, estimate, update; the steps that were taken. One group a step."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([{"params": [policy.logits], "lr": lr}, {"params": [policy.values], "lr": 0.3}])
    for step in range(steps):
        if until(policy):
            return step
        states, tokens, rewards = policy.sample(episodes, generator)
        tensors = tensors_of(policy, states, rewards, episodes)
        given = call(estimator, tensors, options or {})
        advantages, returns = given[:2] if isinstance(given, tuple) else (given, None)
        advantages = advantages if advantages.dim() == 2 else advantages[:, None].expand(states.shape)
        weights = trajectory_weights(tensors["lengths"], tensors["valid"], "token_mean").double()
        old = policy.logprobs(states, tokens).detach()
        for _ in range(epochs):
            optimizer.zero_grad()
            given = call(
                loss,
                {
                    "logprobs": policy.logprobs(states, tokens),
                    "old_logprobs": old,
                    "advantages": advantages,
                    "mask": tensors["mask"],
                    "sequence": torch.arange(episodes),
                },
                {},
            )
            losses = given[0] if isinstance(given, tuple) else given
            total = weighted_sum(losses, tensors["mask"], weights)
            if returns is not None:
                total = total + ((policy.values[states] - returns) ** 2).mean()
            total.backward()
            optimizer.step()
    return steps
