"""Tokens chosen by covariance over the whole mini-batch, and the losses that hold them back."""

import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.objective.plugin import PolicyLoss
from agent.objective.policy_clip import ppo_clip
from agent.objective.policy_covariance import clip_cov, covariances, kl_cov, select_clip_cov, select_kl_cov
from tests.agent.objective.loss_batches import loss_of, random_tokens
from tests.oracle import losses as oracle

# Log-probabilities -1, -2, -3, -6 (mean -3) and advantages 1, 0, -1, 4 (mean 1) of four action tokens; a fifth, masked
# entry holds rubbish. Centred: (2, 1, 0, -3) * (0, -1, -2, 3) = (0, -1, 0, -9).
LOGPROBS = torch.tensor([[-1.0, -2.0, float("-inf")], [-3.0, -6.0, float("nan")]])
ADVANTAGES = torch.tensor([[1.0, 0.0, float("nan")], [-1.0, 4.0, float("inf")]])
MASK = torch.tensor([[True, True, False], [True, True, False]])


def test_the_covariances_are_those_worked_out_by_hand() -> None:
    assert covariances(LOGPROBS, ADVANTAGES, MASK)[MASK].tolist() == [0.0, -1.0, 0.0, -9.0]


@given(st.integers(0, 2**20))
def test_the_covariances_equal_the_slow_loop(seed: int) -> None:
    tokens = random_tokens(seed)
    found = covariances(tokens.old_logprobs, tokens.advantages, tokens.mask)
    expected = oracle.covariances(tokens.old_logprobs.tolist(), tokens.advantages.tolist(), tokens.mask.tolist())
    flat = [x for row in expected for x in row if x is not None]
    torch.testing.assert_close(found[tokens.mask], torch.tensor(flat, dtype=torch.float64))


def test_one_token_alone_has_no_covariance() -> None:
    alone = torch.tensor([[False, True, False], [False, False, False]])
    assert covariances(LOGPROBS, ADVANTAGES + 3, alone)[alone].tolist() == [0.0]


def test_a_batch_without_action_tokens_selects_nothing() -> None:
    nothing = torch.zeros_like(MASK)
    assert not select_kl_cov(LOGPROBS, ADVANTAGES, nothing).any()
    assert not select_clip_cov(LOGPROBS, ADVANTAGES, nothing, cov_low=-9.0, cov_high=9.0).any()


def test_kl_cov_takes_the_largest_share_and_of_equal_ones_the_first() -> None:
    """Of the four tokens 25% is one: covariance 0, twice; the first. 50% is two: both. 75% is three: -1 as well."""
    by_share = {
        share: select_kl_cov(LOGPROBS, ADVANTAGES, MASK, cov_share=share)[MASK].tolist() for share in (0.25, 0.5, 0.75)
    }
    assert by_share == {
        0.25: [True, False, False, False],
        0.5: [True, False, True, False],
        0.75: [True, True, True, False],
    }


@pytest.mark.parametrize(("share", "count"), [(1e-9, 1), (0.49, 1), (0.5, 2), (0.99, 3), (1.0, 4)])
def test_a_share_is_rounded_down_but_to_one_token_at_least(share: float, count: int) -> None:
    assert int(select_kl_cov(LOGPROBS, ADVANTAGES, MASK, cov_share=share).sum()) == count
    chosen = select_clip_cov(LOGPROBS, ADVANTAGES, MASK, cov_share=share, cov_low=-10.0, cov_high=1.0)
    assert int(chosen.sum()) == count


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-1.0, 1.0, [True, False, True, False]),
        (-1.5, 1.0, [True, True, True, False]),
        (-9.0, 0.0, [False, True, False, False]),
        (-10.0, -2.0, [False, False, False, True]),
        (1.0, 5.0, [False, False, False, False]),
    ],
)
def test_clip_cov_takes_tokens_strictly_between_its_bounds(low: float, high: float, expected: list[bool]) -> None:
    chosen = select_clip_cov(LOGPROBS, ADVANTAGES, MASK, cov_share=1.0, cov_low=low, cov_high=high)
    assert chosen[MASK].tolist() == expected
    assert not chosen[~MASK].any()


def test_the_draw_of_clip_cov_depends_on_the_seed_alone_and_favours_no_token() -> None:
    def draw(seed: int) -> list[bool]:
        options = {"cov_share": 0.5, "cov_low": -10.0, "cov_high": 1.0, "seed": seed}
        return select_clip_cov(LOGPROBS, ADVANTAGES, MASK, **options)[MASK].tolist()

    draws = torch.tensor([draw(seed) for seed in range(400)]).float()
    assert draw(7) == draw(7)
    assert draws.sum(1).tolist() == [2.0] * 400
    # Each of four tokens is in half of the draws: 200 of 400 with standard deviation 10.
    assert float((draws.mean(0) - 0.5).abs().max()) < 0.1


def test_padding_changes_no_selection() -> None:
    tokens = random_tokens(5)

    def wider(tensor: torch.Tensor, value: float) -> torch.Tensor:
        return torch.nn.functional.pad(tensor, (0, 3), value=value)

    padded = wider(tokens.old_logprobs, 7.0), wider(tokens.advantages, float("nan")), wider(tokens.mask, False)
    for select, options in (
        (select_kl_cov, {"cov_share": 0.4}),
        (select_clip_cov, {"cov_share": 0.4, "cov_low": -9.0, "cov_high": 9.0, "seed": 3}),
    ):
        narrow = select(tokens.old_logprobs, tokens.advantages, tokens.mask, **options)
        assert torch.equal(select(*padded, **options), wider(narrow, False))
        assert 0 < int(narrow.sum()) < int(tokens.mask.sum())


def test_clip_cov_is_ppo_but_for_the_selected_tokens_which_have_neither_loss_nor_gradient() -> None:
    tokens = random_tokens(1)
    selected = torch.rand(tokens.mask.shape, generator=torch.Generator().manual_seed(2)) < 0.3
    bounds = {"clip_low": 0.1, "clip_high": 0.3}
    losses, clipped, gradient = loss_of(PolicyLoss(clip_cov, ""), tokens, selected, **bounds)
    plain, plain_clipped, plain_gradient = loss_of(PolicyLoss(ppo_clip, ""), tokens, **bounds)
    assert torch.equal(losses, torch.where(selected, 0.0, plain))
    assert torch.equal(gradient, torch.where(selected, 0.0, plain_gradient))
    assert torch.equal(clipped, plain_clipped | (selected & tokens.mask))
    assert int((selected & tokens.mask & ~plain_clipped & (plain != 0)).sum()) > 2


def test_kl_cov_adds_a_penalty_for_leaving_the_old_policy_to_the_selected_tokens() -> None:
    """Log ratios 0.5 and -0.5, A = 2: losses -2 e^0.5 = -3.297443 and -2 e^-0.5 = -1.213061, each its own gradient. A
    selected token has 0.3 * 0.5 = 0.15 more, and a gradient of 0.3 in the direction it left; the third is masked."""
    old = torch.full((1, 3), -1.0)
    logprobs = torch.tensor([[-0.5, -1.5, 4.0]], requires_grad=True)
    mask = torch.tensor([[True, True, False]])
    two = torch.full((1, 3), 2.0)
    plain = torch.tensor([[-3.297443, -1.213061, 0.0]])
    for selected, penalty, slope in (
        ([[False, False, True]], [[0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]),
        ([[True, True, True]], [[0.15, 0.15, 0.0]], [[0.3, -0.3, 0.0]]),
    ):
        losses, clipped = kl_cov(logprobs, old, two, mask, torch.tensor(selected), kl_cov_coef=0.3)
        (gradient,) = torch.autograd.grad(losses.sum(), logprobs)
        torch.testing.assert_close(losses, plain + torch.tensor(penalty), atol=1e-5, rtol=0)
        torch.testing.assert_close(gradient, plain + torch.tensor(slope), atol=1e-5, rtol=0)
        assert not clipped.any()


def test_kl_cov_never_clips() -> None:
    """Ratio e^2 and A = 1: loss -7.389056, whatever bound PPO would have."""
    one = torch.ones(1, 1)
    losses, clipped = kl_cov(2 * one, 0 * one, one, one.bool(), torch.zeros(1, 1).bool())
    assert losses.item() == pytest.approx(-7.389056, abs=1e-5) and not clipped.any()


def test_the_defaults_are_those_of_the_paper() -> None:
    def defaults(function) -> dict[str, float]:
        parameters = inspect.signature(function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    assert defaults(clip_cov) == {"clip_low": 0.2, "clip_high": 0.2}
    assert defaults(select_clip_cov) == {"cov_share": 2e-4, "cov_low": 1.0, "cov_high": 5.0, "seed": 0}
    assert defaults(kl_cov) == {"kl_cov_coef": 1.0}
    assert defaults(select_kl_cov) == {"cov_share": 2e-3}
