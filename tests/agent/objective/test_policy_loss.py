"""The clipped surrogate: four situations by hand, its gradient, and the mean over tokens."""

import math
from collections import defaultdict
from types import SimpleNamespace
from typing import get_args, get_type_hints

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trl import GRPOTrainer

from agent.config import AlgorithmConfig
from agent.objective.kl import k3
from agent.objective.policy_loss import POLICY_LOSSES, aggregate, clipped_fraction, ppo_clip
from tests.oracle import objective as oracle

# Ratio, advantage, loss, gradient of the loss by the log-probability; clip_low = 0.2, clip_high = 0.3.
# The loss is -min(rho A, clip(rho) A); d rho / d logprob = rho, so the gradient is -rho A where rho A is the smaller.
SITUATIONS = {
    "too likely and good: held at 1.3, no gradient": (1.5, 2.0, -2.6, 0.0),
    "too likely and bad: pushed back": (1.5, -2.0, 3.0, 3.0),
    "too unlikely and good: pulled back": (0.5, 2.0, -1.0, -1.0),
    "too unlikely and bad: held at 0.8, no gradient": (0.5, -2.0, 1.6, 0.0),
    "inside the bounds, good": (1.25, 2.0, -2.5, -2.5),
    "inside the bounds, bad": (0.9, -2.0, 1.8, 1.8),
}
CLIP = (0.2, 0.3)


def loss_and_gradient(ratio: float, advantage: float) -> tuple[float, float]:
    logprobs = torch.tensor([[-1.0 + math.log(ratio)]], requires_grad=True)
    loss = ppo_clip(logprobs, torch.tensor([[-1.0]]), torch.tensor([[advantage]]), *CLIP)
    (gradient,) = torch.autograd.grad(loss.sum(), logprobs)
    return float(loss.detach()), float(gradient)


@pytest.mark.parametrize("name", SITUATIONS)
def test_each_clip_situation_gives_the_loss_and_gradient_worked_out_by_hand(name: str) -> None:
    ratio, advantage, loss, gradient = SITUATIONS[name]
    assert loss_and_gradient(ratio, advantage) == pytest.approx((loss, gradient), abs=1e-6)


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_clipped_fraction_marks_exactly_the_tokens_without_gradient(name: str) -> None:
    ratio, advantage, _, gradient = SITUATIONS[name]
    logprobs, old = torch.tensor([[math.log(ratio)]]), torch.zeros(1, 1)
    marked = clipped_fraction(logprobs, old, torch.tensor([[advantage]]), *CLIP)
    assert bool(marked) == (gradient == 0.0)


def test_at_ratio_one_the_gradient_is_that_of_reinforce() -> None:
    """REINFORCE descends the gradient of -A log pi; here both are taken through a softmax, at the same weights."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, 7, generator=generator, requires_grad=True)
    actions = torch.randint(7, (3, 5, 1), generator=generator)
    advantages = torch.randn(3, 5, generator=generator)
    logprobs = logits.log_softmax(-1).gather(-1, actions)[..., 0]
    (ours,) = torch.autograd.grad(
        ppo_clip(logprobs, logprobs.detach(), advantages, *CLIP).sum(), logits, retain_graph=True
    )
    (reinforce,) = torch.autograd.grad((-advantages * logprobs).sum(), logits)
    torch.testing.assert_close(ours, reinforce, atol=1e-6, rtol=1e-6)
    assert float(ours.abs().max()) > 0.1


@given(st.floats(-1, 1), st.floats(-4, 4), st.floats(0, 0.9), st.floats(0, 2))
def test_the_loss_equals_the_slow_formula(log_ratio: float, advantage: float, low: float, high: float) -> None:
    loss = ppo_clip(torch.tensor([[log_ratio]]), torch.zeros(1, 1), torch.tensor([[advantage]]), low, high)
    assert float(loss) == pytest.approx(oracle.ppo_clip(log_ratio, 0.0, advantage, low, high), abs=1e-5)


def test_the_objective_equals_trls() -> None:
    """TRL's own `_compute_loss` (token mean, "bnpo") on the same log-probabilities, advantages, mask and reference."""
    generator = torch.Generator().manual_seed(1)

    def random() -> torch.Tensor:
        return torch.randn(4, 6, generator=generator)

    logprobs, old, reference = -random().abs(), -random().abs(), -random().abs()
    advantages = torch.randn(4, generator=generator)
    mask = torch.rand(4, 6, generator=generator) < 0.7
    ours = torch.nn.Parameter(logprobs.clone())
    token_losses = ppo_clip(ours, old, advantages[:, None].expand(4, 6).contiguous(), *CLIP) + 0.1 * k3(ours, reference)
    loss = aggregate(token_losses, mask, float(mask.sum()))
    theirs = torch.nn.Parameter(logprobs.clone())
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (theirs, torch.zeros(4, 6), None),
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        beta=0.1,
        args=SimpleNamespace(use_bias_correction_kl=False, delta=None),
        loss_type="bnpo",
        epsilon_low=CLIP[0],
        epsilon_high=CLIP[1],
        use_vllm=False,
        model=SimpleNamespace(training=True),
        current_gradient_accumulation_steps=1.0,
        _entropy_bonus_enabled=False,
        accelerator=SimpleNamespace(reduce=lambda x, reduction: x, gather=lambda x: x),
        _metrics={"train": defaultdict(list)},
    )
    inputs = {
        "prompt_ids": torch.zeros(4, 1, dtype=torch.long),
        "prompt_mask": torch.ones(4, 1, dtype=torch.long),
        "completion_ids": torch.zeros(4, 6, dtype=torch.long),
        "completion_mask": mask.long(),
        "advantages": advantages,
        "old_per_token_logps": old,
        "ref_per_token_logps": reference,
    }
    expected = GRPOTrainer._compute_loss(trainer, None, inputs)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


@given(st.integers(0, 2**20), st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_micro_batches_add_up_to_the_whole(seed: int, sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    losses = torch.randn(sum(sizes), 5, generator=generator)
    mask = torch.rand(sum(sizes), 5, generator=generator) < 0.6
    tokens = float(mask.sum()) or 1.0
    pieces = [aggregate(x, m, tokens) for x, m in zip(losses.split(sizes), mask.split(sizes), strict=True)]
    torch.testing.assert_close(sum(pieces, torch.zeros(())), aggregate(losses, mask, tokens), atol=1e-5, rtol=1e-5)


def test_the_mean_is_over_tokens_and_not_over_rows() -> None:
    """Rows of 1 and 3 tokens with losses 4 and 0: over tokens (4 + 0 + 0 + 0) / 4 = 1, over rows it would be 2."""
    losses = torch.tensor([[4.0, 9.0, 9.0], [0.0, 0.0, 0.0]])
    mask = torch.tensor([[True, False, False], [True, True, True]])
    assert float(aggregate(losses, mask, float(mask.sum()))) == 1.0
    assert oracle.token_mean(losses.tolist(), mask.tolist()) == 1.0


def test_what_stands_outside_the_mask_does_not_count_even_if_it_is_not_a_number() -> None:
    losses = torch.tensor([[1.0, float("nan"), float("inf")]], requires_grad=True)
    mean = aggregate(losses, torch.tensor([[True, False, False]]), 1.0)
    (gradient,) = torch.autograd.grad(mean, losses)
    assert float(mean.detach()) == 1.0
    assert gradient.tolist() == [[1.0, 0.0, 0.0]]


def test_every_name_a_recipe_may_give_is_registered() -> None:
    assert set(get_args(get_type_hints(AlgorithmConfig)["policy_loss"])) == set(POLICY_LOSSES)
