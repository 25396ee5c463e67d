"""Losses with one ratio a trajectory: by hand, and against the papers' own objectives, value and gradient."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.objective.plugin import PolicyLoss
from agent.objective.policy_sequence import gmpo, gspo
from tests.agent.objective.loss_batches import Tokens, loss_of, random_tokens
from tests.oracle import losses as oracle

PAPERS = {"gspo": (gspo, oracle.gspo), "gmpo": (gmpo, oracle.gmpo)}


def tokens_of(log_ratios: list[list[float]], advantages: list[list[float]], sequence: list[int]) -> Tokens:
    ratios = torch.tensor(log_ratios, dtype=torch.float64)
    return Tokens(
        ratios - 1,
        torch.full_like(ratios, -1.0),
        torch.tensor(advantages, dtype=torch.float64),
        torch.ones_like(ratios).bool(),
        torch.tensor(sequence),
    )


def test_gspo_gives_the_numbers_worked_out_by_hand() -> None:
    """One trajectory in two rows, log ratios 0.1, 0.3 and 0.2, 0.2: mean 0.2, s = e^0.2 = 1.221403; A = 2.
    Inside wide bounds every token has loss -2 s = -2.442806 and gradient -2 s. Bounds of 0.2 hold s at 1.2: loss -2.4,
    no gradient, although two of the four tokens are inside by themselves."""
    tokens = tokens_of([[0.1, 0.3], [0.2, 0.2]], [[2.0, 2.0]] * 2, [4, 4])
    losses, clipped, gradient = loss_of(PolicyLoss(gspo, ""), tokens, clip_high=0.3)
    torch.testing.assert_close(losses, torch.full((2, 2), -2 * math.exp(0.2)).double())
    torch.testing.assert_close(gradient, losses)
    assert not clipped.any()
    losses, clipped, gradient = loss_of(PolicyLoss(gspo, ""), tokens, clip_high=0.2)
    torch.testing.assert_close(losses, torch.full((2, 2), -2.4).double())
    assert clipped.all() and not gradient.any()


def test_gspo_holds_a_bad_trajectory_below_its_lower_bound() -> None:
    """Mean log ratio -0.3: s = 0.740818 is below 1 - 0.2; A = -1: loss 0.8, no gradient. With 0.3 it is inside."""
    tokens = tokens_of([[-0.2, -0.4]], [[-1.0, -1.0]], [0])
    losses, clipped, gradient = loss_of(PolicyLoss(gspo, ""), tokens, clip_low=0.2)
    torch.testing.assert_close(losses, torch.full((1, 2), 0.8).double())
    assert clipped.all() and not gradient.any()
    losses, clipped, _ = loss_of(PolicyLoss(gspo, ""), tokens, clip_low=0.3)
    torch.testing.assert_close(losses, torch.full((1, 2), math.exp(-0.3)).double())
    assert not clipped.any()


def test_gmpo_gives_the_numbers_worked_out_by_hand() -> None:
    """Log ratios 0.1, 0.7 and -0.5 in two rows, A = 2, bounds 0.4: a good token is held at 0.4 above and not below.
    Mean (0.1 + 0.4 - 0.5) / 3 = 0: every loss is -2; the held token has no gradient, the others -2.
    A = -2: held below only: (0.1 + 0.7 - 0.4) / 3 = 0.133333, losses 2 e^0.133333 = 2.285262."""
    sequence = [1, 1]
    good = tokens_of([[0.1, 0.7, 0.0], [-0.5, 0.0, 0.0]], [[2.0] * 3] * 2, sequence)
    keep = torch.tensor([[True, True, False], [True, False, False]])
    good = Tokens(**vars(good) | {"mask": keep})
    losses, clipped, gradient = loss_of(PolicyLoss(gmpo, ""), good)
    torch.testing.assert_close(losses, -2.0 * keep.double())
    assert clipped.tolist() == [[False, True, False], [False, False, False]]
    torch.testing.assert_close(gradient, torch.tensor([[-2.0, 0, 0], [-2.0, 0, 0]]).double())
    bad = Tokens(**vars(good) | {"advantages": -good.advantages})
    losses, clipped, gradient = loss_of(PolicyLoss(gmpo, ""), bad)
    torch.testing.assert_close(losses, 2.2852619 * keep.double(), atol=1e-6, rtol=0)
    assert clipped.tolist() == [[False, False, False], [True, False, False]]
    torch.testing.assert_close(gradient, torch.tensor([[2.2852619, 2.2852619, 0], [0, 0, 0]]).double())


@pytest.mark.parametrize("name", PAPERS)
@given(seed=st.integers(0, 2**20))
@settings(max_examples=15)
def test_the_sequence_mean_has_the_value_and_gradient_of_the_papers_objective(name: str, seed: int) -> None:
    """Ours: the sum over tokens of loss / length. The paper's: one number a trajectory, differentiated by central
    differences in every log-probability (h = 1e-6: error about 1e-9)."""
    ours, theirs = PAPERS[name]
    tokens = random_tokens(seed, alike=True)
    bounds = {"clip_low": 0.15, "clip_high": 0.2}
    mask, sequence = tokens.mask.tolist(), tokens.sequence.tolist()
    old = tokens.old_logprobs.tolist()

    def objective(logprobs: list[list[float]]) -> float:
        ratios = oracle.trajectories(logprobs, old, mask, sequence)
        advantage = dict(zip(sequence, tokens.advantages[:, 0].tolist(), strict=True))
        return math.fsum(theirs(r, advantage[s], 0.15, 0.2) for s, r in ratios.items())

    losses, _, gradient = loss_of(PolicyLoss(ours, ""), tokens, **bounds)
    lengths = torch.zeros(3, dtype=torch.float64).index_add(0, tokens.sequence, tokens.mask.sum(1).double())
    per_token = 1 / lengths[tokens.sequence][:, None]
    points = tokens.logprobs.tolist()
    assert float((losses * per_token).sum()) == pytest.approx(objective(points), abs=1e-9)
    for r, row in enumerate(points):
        for t, value in enumerate(row):
            row[t] = value + 1e-6
            above = objective(points)
            row[t] = value - 1e-6
            below = objective(points)
            row[t] = value
            assert float((gradient * per_token)[r, t]) == pytest.approx((above - below) / 2e-6, abs=1e-6)


@pytest.mark.parametrize("function", [gspo, gmpo])
def test_credit_of_a_turn_stays_with_its_tokens(function) -> None:
    """Advantages +1 for the first token and 0 for the second of one trajectory: the second gets no gradient."""
    tokens = tokens_of([[0.0, 0.0]], [[1.0, 0.0]], [0])
    _, _, gradient = loss_of(PolicyLoss(function, ""), tokens)
    assert gradient.tolist() == [[-1.0, 0.0]]


@pytest.mark.parametrize("function", [gspo, gmpo])
def test_a_row_alone_is_not_a_sequence(function) -> None:
    """Rows with log ratios 0 and 0.2: as one trajectory both have the ratio e^0.1; as two, each its own."""
    together = tokens_of([[0.0], [0.2]], [[1.0], [1.0]], [0, 0])
    apart = tokens_of([[0.0], [0.2]], [[1.0], [1.0]], [0, 1])
    wide = {"clip_low": 0.9, "clip_high": 0.9}
    losses, _, _ = loss_of(PolicyLoss(function, ""), together, **wide)
    torch.testing.assert_close(losses, torch.full((2, 1), -math.exp(0.1)).double())
    losses, _, _ = loss_of(PolicyLoss(function, ""), apart, **wide)
    torch.testing.assert_close(losses, torch.tensor([[-1.0], [-math.exp(0.2)]]).double())


def test_gmpo_marks_no_token_at_a_bound_or_without_advantage() -> None:
    tokens = tokens_of([[0.5, 2.0, -0.25, -2.0]], [[1.0, 0.0, -1.0, 0.0]], [0])
    _, clipped, _ = loss_of(PolicyLoss(gmpo, ""), tokens, clip_low=0.25, clip_high=0.5)
    assert not clipped.any()


def test_the_defaults_are_those_of_the_papers() -> None:
    for function, low, high in ((gspo, 3e-4, 4e-4), (gmpo, 0.4, 0.4)):
        parameters = inspect.signature(function).parameters
        assert (parameters["clip_low"].default, parameters["clip_high"].default) == (low, high)
