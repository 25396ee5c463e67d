"""Batches of action tokens for the tests of policy losses."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from agent.objective.plugin import PolicyLoss
from agent.objective.signature import call


@dataclass(frozen=True)
class Tokens:
    """What a policy loss may be given, in float64."""

    logprobs: Tensor
    old_logprobs: Tensor
    advantages: Tensor
    mask: Tensor
    sequence: Tensor

    def rows(self, order: list[int]) -> "Tokens":
        return Tokens(**{name: tensor[order] for name, tensor in vars(self).items()})


def random_tokens(seed: int, rows: int = 5, width: int = 6, spread: float = 0.5, alike: bool = False) -> Tokens:
    """Rows of about three trajectories, each with at least one action token; ratios on both sides of any bound.

    alike: one advantage a trajectory instead of one a token.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    old = -normal(rows, width).abs() - 0.1
    mask = torch.rand(rows, width, generator=generator) < 0.7
    mask[:, 0] = True
    sequence = torch.randint(3, (rows,), generator=generator)
    advantages = normal(3)[sequence][:, None].expand(rows, width).clone() if alike else normal(rows, width)
    return Tokens(old + spread * normal(rows, width), old, advantages, mask, sequence)


def loss_of(entry: PolicyLoss, tokens: Tokens, selected: Tensor | None = None, **options: object):
    """Losses, marks, and the gradient of the losses' sum by the log-probabilities."""
    logprobs = tokens.logprobs.clone().requires_grad_()
    if selected is None and entry.select is not None:
        selected = selection_of(entry, tokens)
    given = vars(replace(tokens, logprobs=logprobs)) | {"selected": selected}
    losses, clipped = call(entry.function, given, options)
    (gradient,) = torch.autograd.grad(losses.sum(), logprobs)
    return losses.detach(), clipped, gradient


def selection_of(entry: PolicyLoss, tokens: Tokens, **options: object) -> Tensor:
    assert entry.select is not None
    wide = {"cov_low": -1e9, "cov_high": 1e9} if entry.select.__name__ == "select_clip_cov" else {}
    given = vars(replace(tokens, logprobs=tokens.old_logprobs))
    return call(entry.select, given, {"cov_share": 0.3} | wide | options)
