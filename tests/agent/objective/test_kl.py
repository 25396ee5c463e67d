"""Divergence estimators: exactly, by summing over a vocabulary small enough to be summed over."""

import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.objective.kl import KL_ESTIMATORS, adapted, in_loss, k1, k2, k3, penalty
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


@pytest.mark.parametrize("name", ["k2", "k3"])
@given(a=st.floats(-9, 0), b=st.floats(-9, 0))
def test_an_estimate_is_never_negative_and_zero_only_at_equality(name: str, a: float, b: float) -> None:
    estimator = KL_ESTIMATORS[name]
    values = estimator(torch.tensor([[a, a]], dtype=torch.float64), torch.tensor([[b, a]], dtype=torch.float64))[0]
    assert float(values[0]) >= 0.0
    assert float(values[1]) == 0.0
    if abs(a - b) > 1e-3:
        assert float(values[0]) > 0.0


def test_the_estimates_of_one_token_are_those_worked_out_by_hand() -> None:
    """pi = 1/2, pi_ref = 1/4: log pi - log pi_ref = log 2 = k1 = 0.693147; k2 = (log 2)^2 / 2 = 0.240227;
    k3 = 1/2 - 1 + log 2 = 0.193147."""
    policy, reference = torch.tensor([[0.5]]).log(), torch.tensor([[0.25]]).log()
    assert float(k1(policy, reference)) == pytest.approx(0.693147, abs=1e-6)
    assert float(k2(policy, reference)) == pytest.approx(0.240227, abs=1e-6)
    assert float(k3(policy, reference)) == pytest.approx(0.193147, abs=1e-6)


@pytest.mark.parametrize("estimator", [k1, k3])
@given(p=LOGITS, q=LOGITS)
def test_the_mean_of_k1_and_of_k3_over_the_policy_is_the_exact_divergence(
    estimator, p: list[float], q: list[float]
) -> None:
    policy, reference = torch.tensor(p).double().log_softmax(-1), torch.tensor(q).double().log_softmax(-1)
    mean = (policy.exp() * estimator(policy[None], reference[None])[0]).sum()
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


def test_on_policy_the_gradient_of_k1_is_zero() -> None:
    """The mean of the gradient of log pi is the gradient of the sum of the probabilities, which is always 1."""
    policy = POLICY.clone().requires_grad_()
    ours = on_policy_gradient(k1, policy, REFERENCE)
    torch.testing.assert_close(ours, torch.zeros(5, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["k2", "k3"])
def test_descending_an_estimate_in_the_loss_brings_the_policy_to_the_reference(name: str) -> None:
    policy = POLICY.clone().requires_grad_()
    for _ in range(400):
        gradient_ = on_policy_gradient(in_loss(name), policy, REFERENCE)
        with torch.no_grad():
            policy -= 0.5 * gradient_
    assert float(divergence(policy.detach(), REFERENCE)) < 1e-6


def test_k1_in_the_reward_has_the_gradient_of_the_divergence() -> None:
    """REINFORCE with the reward -k1: the mean of -(-k1) grad log pi over the policy is the gradient of
    KL(pi || pi_ref), so what is worthless in the loss is right in the reward."""
    policy = POLICY.clone().requires_grad_()
    logprobs, reference = policy.log_softmax(-1), REFERENCE.log_softmax(-1)
    reward = -penalty("k1")(logprobs[None], reference[None])[0]
    reinforce = gradient((-reward * logprobs.detach().exp() * logprobs).sum(), policy)
    torch.testing.assert_close(reinforce, gradient(divergence(policy, REFERENCE), policy))


@pytest.mark.parametrize("name", ["k1", "k2", "k3"])
def test_a_penalty_is_the_estimate_and_a_constant(name: str) -> None:
    logprobs = torch.tensor([[-1.0, -0.2]], requires_grad=True)
    reference = torch.tensor([[-0.5, -2.0]], requires_grad=True)
    taken = penalty(name)(logprobs, reference)
    assert not taken.requires_grad
    assert torch.equal(taken, KL_ESTIMATORS[name](logprobs, reference).detach())


def test_the_loss_may_use_k2_and_k3() -> None:
    assert in_loss("k2") is k2 and in_loss("k3") is k3


def test_k1_in_the_loss_is_refused_and_the_message_says_what_to_use() -> None:
    with pytest.raises(ConfigError) as refused:
        in_loss("k1")
    assert str(refused.value) == (
        "KL estimator 'k1' in the loss has a gradient of expectation 0 on the policy's own tokens: it would add noise "
        "and hold nothing back. In the loss use 'k2' (gradient of KL(policy || reference)) or 'k3' (gradient of "
        "KL(reference || policy)); 'k1' is for the reward."
    )


@pytest.mark.parametrize("where", [in_loss, penalty])
def test_an_unknown_estimator_is_refused_with_the_known_ones(where) -> None:
    with pytest.raises(ConfigError) as refused:
        where("k4")
    assert str(refused.value) == "KL estimator: expected one of k1, k2, k3, got 'k4'."


def test_the_estimators_are_registered_under_their_names() -> None:
    assert {"k1": k1, "k2": k2, "k3": k3} == KL_ESTIMATORS


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (2.0, 0.5),  # at the target
        (2.2, 0.505),  # 10% above it: 0.5 * (1 + 0.1 * 0.1)
        (1.8, 0.495),  # 10% below
        (50.0, 0.51),  # far above: the error is bounded at 0.2, 0.5 * (1 + 0.1 * 0.2)
        (0.0, 0.49),
        (-3.0, 0.49),  # k1 of a few samples may be negative
        (math.inf, 0.51),
        (math.nan, 0.5),
    ],
)
def test_the_coefficient_follows_the_observed_divergence(observed: float, expected: float) -> None:
    assert adapted(0.5, observed, 2.0) == pytest.approx(expected, abs=1e-12)


def test_gain_and_bound_of_the_adaptation_can_be_chosen() -> None:
    """Error 1.0 held at 0.5, times 0.3: 0.4 * 1.15. Below: 0 / 2 - 1 = -1, held at -0.5: 0.4 * 0.85."""
    assert adapted(0.4, 4.0, 2.0, horizon_ratio=0.3, error_bound=0.5) == pytest.approx(0.46)
    assert adapted(0.4, 0.0, 2.0, horizon_ratio=0.3, error_bound=0.5) == pytest.approx(0.34)
    defaults = {p.name: p.default for p in inspect.signature(adapted).parameters.values() if p.kind is p.KEYWORD_ONLY}
    assert defaults == {"horizon_ratio": 0.1, "error_bound": 0.2}


def test_adapting_again_and_again_brings_a_divergence_that_falls_with_the_coefficient_to_the_target() -> None:
    coef = 1.0
    for _ in range(2000):
        coef = adapted(coef, 0.3 / coef, 0.05)
    assert 0.3 / coef == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize("target", [0.0, -1.0, math.nan])
def test_a_target_that_is_not_above_zero_is_refused(target: float) -> None:
    with pytest.raises(ConfigError) as refused:
        adapted(0.1, 1.0, target)
    assert str(refused.value) == f"adaptive KL coefficient: expected a target divergence above 0, got {target}."


def test_a_target_below_one_is_a_target() -> None:
    assert adapted(1.0, 0.01, 0.01) == pytest.approx(1.0)
