"""Learning where the answer is known: optima by dynamic programming, gradients by enumeration."""

from itertools import product

import pytest
import torch
from torch import Tensor

from agent.objective.advantage import ADVANTAGES
from agent.objective.policy_loss import POLICY_LOSSES
from tests.agent.objective.tabular import Coins, Tabular, train


def deceptive(said: tuple[int, ...]) -> float:
    """Three tokens out of three. Beginning with 0 pays at once, beginning with 2 pays twice as much at the end, if the
    two tokens after it are right."""
    if len(said) == 1:
        return 0.4 if said[0] == 0 else 0.0
    return 1.0 if said == (2, 1, 0) else 0.0


@pytest.mark.parametrize(
    ("advantage", "loss", "epochs", "options"),
    [
        ("grpo", "ppo_clip", 1, {}),
        ("dr_grpo", "ppo_clip", 1, {}),
        ("rloo", "reinforce", 1, {}),
        ("gae", "ppo_clip", 3, {"whiten": True}),
        ("gae", "ppo_clip", 1, {"whiten": False, "gae_lambda": 0.9}),
        ("turn_gae", "ppo_clip", 3, {}),
        ("reinforce_pp", "ppo_clip", 1, {}),
        ("opo", "reinforce", 1, {}),
        ("grpo", "gspo", 1, {}),
        ("grpo", "cispo", 1, {}),
        ("grpo", "sapo", 1, {}),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_each_reaches_the_optimum_of_a_deceptive_process(
    advantage: str, loss: str, epochs: int, options: dict[str, object], seed: int
) -> None:
    policy = Tabular(3, 3, deceptive)
    assert policy.optimum() == 1.0
    assert float(policy.expected_return().detach()) == pytest.approx(0.4 / 3 + 1 / 27)
    train(
        policy,
        ADVANTAGES[advantage].function,
        POLICY_LOSSES[loss].function,
        steps=250,
        episodes=48,
        seed=seed,
        lr=0.1,
        epochs=epochs,
        options=options,
        until=lambda p: float(p.expected_return().detach()) > 0.97,
    )
    assert float(policy.expected_return().detach()) > 0.97


def test_with_the_sign_of_the_advantages_turned_it_goes_the_other_way() -> None:
    policy = Tabular(3, 3, deceptive)

    def turned(scores: Tensor, groups: Tensor, valid: Tensor) -> Tensor:
        return -ADVANTAGES["grpo"].function(scores, groups, valid)

    train(policy, turned, POLICY_LOSSES["ppo_clip"].function, steps=100, episodes=48, seed=0, lr=0.1)
    assert float(policy.expected_return().detach()) < 0.02


# A bandit: three arms, a policy that is not uniform, rewards that are not centred.
LOGITS = torch.tensor([0.5, -0.2, 0.1], dtype=torch.float64)
ARMS = torch.tensor([3.0, 2.0, 4.5], dtype=torch.float64)


def expected_gradient(estimator: str, siblings: int, options: dict[str, object] | None = None) -> tuple[Tensor, float]:
    """Of -mean(A log pi), and its total variance, over every way in which `siblings` may draw their arms."""
    probabilities = torch.softmax(LOGITS, 0)
    mean, square = torch.zeros(3, dtype=torch.float64), 0.0
    for arms in product(range(3), repeat=siblings):
        chance = float(probabilities[list(arms)].prod())
        scores = ARMS[list(arms)]
        groups, valid = torch.zeros(siblings, dtype=torch.long), torch.ones(siblings, dtype=torch.bool)
        if estimator == "none":
            advantages = scores
        else:
            entry = ADVANTAGES[estimator]
            given = {"scores": scores, "groups": groups, "valid": valid, "lengths": torch.ones(siblings)}
            advantages = entry.function(**{n: given[n] for n in entry.needs}, **(options or {}))
        # The gradient of log softmax is (one-hot - probabilities).
        scored = torch.nn.functional.one_hot(torch.tensor(arms), 3) - probabilities
        gradient = (advantages[:, None] * scored).mean(0)
        mean += chance * gradient
        square += chance * float((gradient**2).sum())
    return mean, square - float((mean**2).sum())


def exact_gradient() -> Tensor:
    """Of the expected reward: p_i (r_i - sum_j p_j r_j)."""
    probabilities = torch.softmax(LOGITS, 0)
    return probabilities * (ARMS - (probabilities * ARMS).sum())


@pytest.mark.parametrize("siblings", [2, 3, 4])
def test_leave_one_out_is_unbiased_and_varies_less_than_no_baseline(siblings: int) -> None:
    found, variance = expected_gradient("rloo", siblings)
    torch.testing.assert_close(found, exact_gradient(), atol=1e-12, rtol=0)
    plain, without = expected_gradient("none", siblings)
    torch.testing.assert_close(plain, exact_gradient(), atol=1e-12, rtol=0)
    assert variance < 0.5 * without


def test_no_baseline_of_one_number_varies_less_than_the_optimal_one() -> None:
    """b* = E[|grad log pi|^2 r] / E[|grad log pi|^2], for one sample (Greensmith et al. 2004)."""
    probabilities = torch.softmax(LOGITS, 0)
    norms = ((torch.eye(3) - probabilities) ** 2).sum(1)
    best = (probabilities * norms * ARMS).sum() / (probabilities * norms).sum()

    def variance(baseline: float) -> float:
        each = (ARMS - baseline)[:, None] * (torch.eye(3, dtype=torch.float64) - probabilities)
        mean = (probabilities[:, None] * each).sum(0)
        torch.testing.assert_close(mean, exact_gradient(), atol=1e-12, rtol=0)
        return float((probabilities[:, None] * (each - mean) ** 2).sum())

    assert all(variance(float(best)) < variance(float(best) + shift) for shift in (-1.0, -0.1, 0.1, 1.0))
    # The mean of the others is another baseline, and costs its own variance, which falls with their number.
    ratios = [n * expected_gradient("rloo", n)[1] / variance(float(best)) for n in (2, 3, 5)]
    assert ratios[0] > ratios[1] > ratios[2] > 1.0 and ratios[2] < 1.6


@pytest.mark.parametrize("siblings", [2, 4])
def test_a_mean_that_contains_the_sample_shrinks_the_gradient_by_one_nth(siblings: int) -> None:
    found, _ = expected_gradient("dr_grpo", siblings)
    torch.testing.assert_close(found, exact_gradient() * (siblings - 1) / siblings, atol=1e-12, rtol=0)


def test_dividing_by_the_deviation_is_biased() -> None:
    found, _ = expected_gradient("grpo", 3)
    direction = torch.nn.functional.cosine_similarity(found, exact_gradient(), dim=0)
    assert float(direction) < 0.9999


def test_credit_by_turn_finds_the_one_turn_that_matters_in_a_third_of_the_episodes() -> None:
    """bench/credit.py has the figure, over more seeds and turns."""

    def episodes(advantage: str, options: dict[str, object], seed: int) -> int:
        return 16 * train(
            Coins(16),
            ADVANTAGES[advantage].function,
            POLICY_LOSSES["reinforce"].function,
            steps=600,
            episodes=16,
            seed=seed,
            lr=0.02,
            options=options,
            until=Coins.found,
        )

    by_turn = sum(episodes("turn_gae", {"gae_lambda": 0.0, "discount": 0.0, "whiten": False}, s) for s in range(3))
    by_outcome = sum(episodes("rloo", {}, s) for s in range(3))
    assert by_turn < 3 * 2_000 and by_outcome > 2.2 * by_turn
