"""Losses that cut no token off: by hand, against the slow formula, and what their gradients are."""

import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.objective.plugin import PolicyLoss
from agent.objective.policy_weighted import MAX_LOG_RATIO, cispo, reinforce, sapo
from tests.agent.objective.loss_batches import Tokens, loss_of, random_tokens
from tests.oracle import losses as oracle


def one_token(ratio: float, advantage: float, logprob: float = -2.0) -> Tokens:
    def tensor(x: float) -> torch.Tensor:
        return torch.tensor([[x]], dtype=torch.float64)

    return Tokens(
        tensor(logprob),
        tensor(logprob - math.log(ratio)),
        tensor(advantage),
        torch.tensor([[True]]),
        torch.tensor([0]),
    )


def numbers(function, tokens: Tokens, **options: float) -> tuple[float, float, bool]:
    losses, clipped, gradient = loss_of(PolicyLoss(function, ""), tokens, **options)
    return float(losses), float(gradient), bool(clipped)


def test_reinforce_is_minus_advantage_times_logprob_whatever_the_ratio() -> None:
    """log pi = -2, A = 3: loss 6, gradient -3; the ratio 2.5 enters nowhere."""
    assert numbers(reinforce, one_token(2.5, 3.0)) == pytest.approx((6.0, -3.0, False))


def test_cispo_weighs_the_logprob_with_the_ratio_and_bounds_the_weight() -> None:
    """log pi = -2, A = 3. Ratio 2.5: loss 2.5 * 3 * 2 = 15, gradient -7.5. Ratio 8 is held at 5: loss 30, gradient -15,
    less than the 24 of an unbounded weight, and not zero. Ratio 0.1 has no bound; with clip_low 0.2 it is 0.8."""
    assert numbers(cispo, one_token(2.5, 3.0)) == pytest.approx((15.0, -7.5, False))
    assert numbers(cispo, one_token(8.0, 3.0)) == pytest.approx((30.0, -15.0, True))
    assert numbers(cispo, one_token(8.0, -3.0)) == pytest.approx((-30.0, 15.0, True))
    assert numbers(cispo, one_token(0.1, 3.0)) == pytest.approx((0.6, -0.3, False))
    assert numbers(cispo, one_token(0.1, 3.0), clip_low=0.2) == pytest.approx((4.8, -2.4, True))
    assert numbers(cispo, one_token(2.5, 3.0), clip_high=1.0) == pytest.approx((12.0, -6.0, True))


def test_a_weight_at_its_bound_is_not_marked() -> None:
    tokens = Tokens(*(torch.zeros(1, 2).double() for _ in range(3)), torch.ones(1, 2).bool(), torch.tensor([0]))
    _, clipped, _ = loss_of(PolicyLoss(cispo, ""), tokens, clip_low=0.0, clip_high=0.0)
    assert not clipped.any()


def test_sapo_gives_the_numbers_worked_out_by_hand() -> None:
    """Ratio 2, A = 3, tau = 1: gate 4 sigma(1) = 4 * 0.731059 = 2.924234, loss -8.772703. Its derivative by the ratio
    is 4 sigma(1) sigma(-1) = 0.786448; times the ratio and -A the gradient is -4.718686.
    A = -3 has tau = 1.05: gate 4 / 1.05 * 0.740775, loss and gradient as written below."""
    loss, gradient, clipped = numbers(sapo, one_token(2.0, 3.0))
    assert (loss, gradient, clipped) == pytest.approx((-8.772703, -4.718686, False), abs=1e-5)
    loss, gradient, _ = numbers(sapo, one_token(2.0, -3.0))
    assert loss == pytest.approx(3 * 4 / 1.05 * 0.7407749, abs=1e-5)
    assert gradient == pytest.approx(3 * 2 * 4 * 0.7407749 * (1 - 0.7407749), abs=1e-5)


def test_a_token_without_advantage_has_neither_loss_nor_gradient() -> None:
    for function in (reinforce, cispo, sapo):
        assert numbers(function, one_token(2.0, 0.0)) == (0.0, 0.0, False)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.1, 4), st.floats(0.1, 4))
def test_sapo_equals_the_slow_formula(log_ratio: float, advantage: float, positive: float, negative: float) -> None:
    tokens = one_token(math.exp(log_ratio), advantage)
    loss, *_ = numbers(sapo, tokens, temperature_positive=positive, temperature_negative=negative)
    assert loss == pytest.approx(oracle.sapo(log_ratio, advantage, positive, negative), rel=1e-9, abs=1e-9)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0, 1), st.floats(0, 4))
def test_cispo_equals_the_slow_formula(log_ratio: float, advantage: float, low: float, high: float) -> None:
    loss, *_ = numbers(cispo, one_token(math.exp(log_ratio), advantage), clip_low=low, clip_high=high)
    assert loss == pytest.approx(oracle.cispo(-2.0, log_ratio, advantage, low, high), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_the_gate_of_sapo_fades_on_both_sides_of_ratio_one(advantage: float) -> None:
    """By the ratio itself: the gradient by log pi divided by the ratio."""
    sizes = [abs(numbers(sapo, one_token(r, advantage))[1]) / r for r in (0.25, 0.5, 1.0, 1.5, 2.0, 4.0)]
    assert sizes[:3] == sorted(sizes[:3]) and sizes[2:] == sorted(sizes[2:], reverse=True)
    assert sizes[2] == pytest.approx(1.0)


def test_a_ratio_that_overflows_leaves_sapo_finite_and_without_gradient() -> None:
    logprobs = torch.tensor([[200.0]], requires_grad=True)
    one = torch.ones(1, 1)
    losses, _ = sapo(logprobs, torch.zeros(1, 1), one, one.bool())
    losses.sum().backward()
    assert losses.item() == pytest.approx(-4.0)
    assert logprobs.grad is not None and logprobs.grad.tolist() == [[0.0]]
    assert MAX_LOG_RATIO == 20.0


@pytest.mark.parametrize("function", [reinforce, sapo])
def test_no_token_is_marked(function) -> None:
    _, clipped, _ = loss_of(PolicyLoss(function, ""), random_tokens(0, spread=3.0))
    assert clipped.dtype == torch.bool and not clipped.any()


def test_the_defaults_are_those_of_the_papers() -> None:
    def defaults(function) -> dict[str, float]:
        parameters = inspect.signature(function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    assert defaults(cispo) == {"clip_low": 1.0, "clip_high": 4.0}
    assert defaults(sapo) == {"temperature_positive": 1.0, "temperature_negative": 1.05}
    assert defaults(reinforce) == {}
