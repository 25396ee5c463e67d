"""The clipped surrogate: every situation by hand, its marks, and its gradient at ratio 1."""

import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.objective.plugin import PolicyLoss
from agent.objective.policy_clip import dapo, ppo_clip, surrogate
from tests.agent.objective.loss_batches import loss_of, random_tokens
from tests.oracle import losses as oracle

# Ratio, advantage, loss, gradient of the loss by the log-probability; clip_low = 0.2, clip_high = 0.3, dual_clip = 3.
# The loss is -min(rho A, clip(rho) A); d rho / d logprob = rho, so the gradient is -rho A where rho A is the smaller.
SITUATIONS = {
    "too likely and good: held at 1.3, no gradient": (1.5, 2.0, -2.6, 0.0),
    "too likely and bad: pushed back": (1.5, -2.0, 3.0, 3.0),
    "too unlikely and good: pulled back": (0.5, 2.0, -1.0, -1.0),
    "too unlikely and bad: held at 0.8, no gradient": (0.5, -2.0, 1.6, 0.0),
    "inside the bounds, good": (1.25, 2.0, -2.5, -2.5),
    "inside the bounds, bad": (0.9, -2.0, 1.8, 1.8),
    "far too likely and bad, below the dual clip": (2.9, -2.0, 5.8, 5.8),
}
CLIP = {"clip_low": 0.2, "clip_high": 0.3}


def one_token(ratio: float, advantage: float, **options: float) -> tuple[float, float, bool]:
    logprobs = torch.tensor([[-1.0 + math.log(ratio)]], requires_grad=True)
    mask = torch.tensor([[True]])
    losses, clipped = ppo_clip(logprobs, torch.tensor([[-1.0]]), torch.tensor([[advantage]]), mask, **options)
    (gradient,) = torch.autograd.grad(losses.sum(), logprobs)
    return float(losses.detach()), float(gradient), bool(clipped)


@pytest.mark.parametrize("dual", [0.0, 3.0])
@pytest.mark.parametrize("name", SITUATIONS)
def test_each_situation_gives_the_loss_and_gradient_worked_out_by_hand(name: str, dual: float) -> None:
    ratio, advantage, loss, gradient = SITUATIONS[name]
    found = one_token(ratio, advantage, **CLIP, dual_clip=dual)
    assert found[:2] == pytest.approx((loss, gradient), abs=1e-6)
    assert found[2] == (gradient == 0.0)


def test_a_dual_clip_holds_bad_tokens_that_became_far_too_likely_and_only_those() -> None:
    """Ratio 4, A = -2, c = 3: the loss 8 with gradient 8 becomes 3 * 2 = 6 without gradient. A good token at ratio 4 is
    held at 1.3 as before: -2.6."""
    assert one_token(4.0, -2.0, **CLIP) == pytest.approx((8.0, 8.0, False), abs=1e-5)
    assert one_token(4.0, -2.0, **CLIP, dual_clip=3.0) == pytest.approx((6.0, 0.0, True), abs=1e-5)
    assert one_token(4.0, 2.0, **CLIP, dual_clip=3.0) == pytest.approx((-2.6, 0.0, True), abs=1e-5)


def test_a_bound_itself_is_still_inside() -> None:
    """At 1 + clip_high, 1 - clip_low and the dual clip, each exact in binary, the gradient is whole."""
    options = {"clip_low": 0.5, "clip_high": 1.0}
    edges = [(2.0, 1.0), (0.5, -1.0), (4.0, -1.0)]
    for ratio, advantage in edges:
        log_ratio = torch.tensor([[math.log(ratio)]], dtype=torch.float64)
        assert float(log_ratio.exp()) == ratio
        assert not surrogate(log_ratio, torch.tensor([[advantage]], dtype=torch.float64), **options, dual_clip=4.0)[1]


@pytest.mark.parametrize("ratio", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("advantage", [0.5, -0.5])
def test_small_advantages_are_held_where_large_ones_are(ratio: float, advantage: float) -> None:
    options = {**CLIP, "dual_clip": 3.0}
    loss, gradient, clipped = one_token(ratio, advantage, **options)
    assert (4 * loss, 4 * gradient, clipped) == pytest.approx(one_token(ratio, 4 * advantage, **options), abs=1e-5)


@pytest.mark.parametrize("ratio", [0.5, 1.5, 4.0])
def test_a_token_without_advantage_is_never_marked(ratio: float) -> None:
    assert one_token(ratio, 0.0, **CLIP, dual_clip=3.0) == (0.0, 0.0, False)


@pytest.mark.parametrize("dual", [1.0, 0.5, -3.0])
def test_a_dual_clip_that_is_not_above_one_is_refused(dual: float) -> None:
    with pytest.raises(ConfigError) as refused:
        one_token(1.0, 1.0, dual_clip=dual)
    assert str(refused.value) == f"dual_clip: expected 0 (off) or a ratio above 1, such as 3, got {dual}."


def test_a_dual_clip_just_above_one_is_allowed() -> None:
    assert one_token(1.1, -1.0, dual_clip=1.05)[0] == pytest.approx(1.05)


def test_the_defaults_are_those_of_the_papers() -> None:
    """PPO: 0.2 on both sides. DAPO: 0.2 and 0.28. The dual clip is off."""
    for function, high in ((ppo_clip, 0.2), (dapo, 0.28)):
        defaults = {
            k: p.default for k, p in inspect.signature(function).parameters.items() if k.endswith(("h", "w", "p"))
        }
        assert defaults == {"clip_low": 0.2, "clip_high": high, "dual_clip": 0.0}


def test_dapo_is_ppo_with_a_higher_upper_bound() -> None:
    tokens = random_tokens(3)
    for options in ({}, {"clip_low": 0.1}, {"clip_high": 0.4}, {"dual_clip": 1.5}):
        ours = loss_of(PolicyLoss(dapo, ""), tokens, **options)
        theirs = loss_of(PolicyLoss(ppo_clip, ""), tokens, **{"clip_high": 0.28} | options)
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
        plain = loss_of(PolicyLoss(ppo_clip, ""), tokens)
        assert not torch.equal(ours[0], plain[0])


@given(st.floats(-2, 2), st.floats(-4, 4), st.floats(0, 0.9), st.floats(0, 2), st.sampled_from([0.0, 1.5, 3.0]))
def test_the_loss_equals_the_slow_formula(
    log_ratio: float, advantage: float, low: float, high: float, dual: float
) -> None:
    if dual and dual <= 1 + high:
        dual = 0.0
    tensors = (torch.tensor([[log_ratio]]), torch.zeros(1, 1), torch.tensor([[advantage]]), torch.tensor([[True]]))
    losses, _ = ppo_clip(*tensors, clip_low=low, clip_high=high, dual_clip=dual)
    assert float(losses) == pytest.approx(oracle.ppo_clip(log_ratio, advantage, low, high, dual), rel=1e-5, abs=1e-5)


def test_a_held_token_whose_ratio_overflows_has_no_gradient_and_a_finite_loss() -> None:
    """exp(200) is infinite in float32; behind a clip, 0 times infinity would be no number."""
    logprobs = torch.tensor([[200.0]], requires_grad=True)
    one = torch.ones(1, 1)
    losses, clipped = ppo_clip(logprobs, torch.zeros(1, 1), one, one.bool())
    losses.sum().backward()
    assert losses.item() == pytest.approx(-1.2)
    assert logprobs.grad is not None and logprobs.grad.tolist() == [[0.0]]
    assert clipped.tolist() == [[True]]


def test_nothing_outside_the_mask_is_marked() -> None:
    far = torch.tensor([[5.0, 5.0]])
    _, clipped = ppo_clip(far, torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([[True, False]]))
    assert clipped.tolist() == [[True, False]]
