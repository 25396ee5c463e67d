"""Divergence estimators: exactly, by summing over a vocabulary small enough to be summed over."""

from typing import get_args, get_type_hints

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.config import AlgorithmConfig
from agent.objective.kl import KL_ESTIMATORS, k2, k3
from tests.oracle import objective as oracle

LOGITS = st.lists(st.floats(-3, 3, width=32), min_size=5, max_size=5)
POLICY = torch.tensor([0.3, -1.2, 0.8, 2.0, -0.5], dtype=torch.float64)
REFERENCE = torch.tensor([1.1, 0.4, -0.7, 0.2, 0.0], dtype=torch.float64)


def divergence(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(p || q) of the softmax of two vectors of logits."""
    p, q = p.log_softmax(-1), q.log_softmax(-1)
    return (p.exp() * (p - q)).sum()


def gradient(value: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(value, logits)[0]


def on_policy_gradient(estimator, policy: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """E_{a ~ pi} of the estimator's gradient: the probability is a weight that gradients do not pass through."""
    logprobs = policy.log_softmax(-1)
    terms = estimator(logprobs[None], reference.log_softmax(-1)[None])[0]
    return gradient((logprobs.detach().exp() * terms).sum(), policy)


@pytest.mark.parametrize("name", sorted(KL_ESTIMATORS))
@given(a=st.floats(-9, 0), b=st.floats(-9, 0))
def test_an_estimate_is_never_negative_and_zero_only_at_equality(name: str, a: float, b: float) -> None:
    estimator = KL_ESTIMATORS[name]
    values = estimator(torch.tensor([[a, a]], dtype=torch.float64), torch.tensor([[b, a]], dtype=torch.float64))[0]
    assert float(values[0]) >= 0.0
    assert float(values[1]) == 0.0
    if abs(a - b) > 1e-3:
        assert float(values[0]) > 0.0


def test_the_estimates_of_one_token_are_those_worked_out_by_hand() -> None:
    """pi = 1/2, pi_ref = 1/4: log ratio = -log 2. k2 = (log 2)^2 / 2 = 0.240227; k3 = 1/2 - 1 + log 2 = 0.193147."""
    policy, reference = torch.tensor([[0.5]]).log(), torch.tensor([[0.25]]).log()
    assert float(k2(policy, reference)) == pytest.approx(0.240227, abs=1e-6)
    assert float(k3(policy, reference)) == pytest.approx(0.193147, abs=1e-6)


@given(LOGITS, LOGITS)
def test_the_mean_of_k3_over_the_policy_is_the_exact_divergence(p: list[float], q: list[float]) -> None:
    policy, reference = torch.tensor(p).double().log_softmax(-1), torch.tensor(q).double().log_softmax(-1)
    mean = (policy.exp() * k3(policy[None], reference[None])[0]).sum()
    exact = oracle.kl_divergence(policy.exp().tolist(), reference.exp().tolist())
    assert float(mean) == pytest.approx(exact, abs=1e-9)


def test_the_mean_of_many_samples_of_k3_comes_near_the_exact_divergence() -> None:
    policy, reference = POLICY.log_softmax(-1), REFERENCE.log_softmax(-1)
    actions = torch.multinomial(policy.exp(), 200_000, replacement=True, generator=torch.Generator().manual_seed(0))
    estimates = k3(policy[actions][None], reference[actions][None])
    error = 4 * float(estimates.std()) / 200_000**0.5
    assert float(estimates.mean()) == pytest.approx(float(divergence(POLICY, REFERENCE)), abs=error)


def test_k3_keeps_its_digits_where_the_policies_are_close() -> None:
    """x^2 / 2 + x^3 / 6 + ... at x = 1e-3 is 5.0016671e-07; exp(x) - 1 - x in float32 misses it by a fifth."""
    estimate = k3(torch.tensor([[-1.0]]) - 1e-3, torch.tensor([[-1.0]]))
    exact = k3(torch.tensor([[-1.0]]).double() - 1e-3, torch.tensor([[-1.0]]).double())
    x = float(torch.tensor(-1.0) - (torch.tensor(-1.0) - 1e-3))
    assert float(estimate) == pytest.approx(x**2 / 2 + x**3 / 6, rel=1e-3)
    assert float(exact) == pytest.approx(5.001667e-07, rel=1e-6)


def test_k2_is_biased() -> None:
    """What its docstring says against it: at this pair its mean misses the divergence by far more than rounding."""
    policy, reference = POLICY.log_softmax(-1), REFERENCE.log_softmax(-1)
    mean = (policy.exp() * k2(policy[None], reference[None])[0]).sum()
    assert abs(float(mean - divergence(POLICY, REFERENCE))) > 0.05


def test_on_policy_the_gradient_of_k2_is_that_of_the_divergence_from_the_reference() -> None:
    policy = POLICY.clone().requires_grad_()
    ours = on_policy_gradient(k2, policy, REFERENCE)
    torch.testing.assert_close(ours, gradient(divergence(policy, REFERENCE), policy))
    assert not torch.allclose(ours, gradient(divergence(REFERENCE, policy), policy), atol=1e-2)


def test_on_policy_the_gradient_of_k3_is_that_of_the_reverse_divergence() -> None:
    policy = POLICY.clone().requires_grad_()
    ours = on_policy_gradient(k3, policy, REFERENCE)
    torch.testing.assert_close(ours, gradient(divergence(REFERENCE, policy), policy))
    assert not torch.allclose(ours, gradient(divergence(policy, REFERENCE), policy), atol=1e-2)


@pytest.mark.parametrize("name", sorted(KL_ESTIMATORS))
def test_descending_an_estimate_brings_the_policy_to_the_reference(name: str) -> None:
    policy = POLICY.clone().requires_grad_()
    for _ in range(400):
        with torch.no_grad():
            step = 0.5 * on_policy_gradient_of(name, policy)
            policy -= step
    assert float(divergence(policy.detach(), REFERENCE)) < 1e-6


def on_policy_gradient_of(name: str, policy: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        return on_policy_gradient(KL_ESTIMATORS[name], policy, REFERENCE)


def test_every_name_a_recipe_may_give_is_registered() -> None:
    assert set(get_args(get_type_hints(AlgorithmConfig)["kl_estimator"])) == set(KL_ESTIMATORS)
