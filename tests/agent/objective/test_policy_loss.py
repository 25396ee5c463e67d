"""What holds for every registered policy loss, whichever it is."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.objective.aggregation import trajectory_weights, weighted_sum
from agent.objective.plugin import PolicyLoss, check_options
from agent.objective.policy_loss import POLICY_LOSSES
from agent.objective.signature import call
from tests.agent.objective.loss_batches import Tokens, loss_of, random_tokens, selection_of

EVERY = pytest.mark.parametrize("name", sorted(POLICY_LOSSES))
RUBBISH = st.sampled_from([float("nan"), float("inf"), float("-inf"), 1e30])
# Where the gradient is zero wherever the marks say that it is cut; CISPO's marks say that a weight was bounded.
CUTTING = ("ppo_clip", "dapo", "gspo", "gmpo", "clip_cov")
FUNCTIONS = {
    "ppo_clip": "ppo_clip", "dapo": "dapo", "gspo": "gspo", "gmpo": "gmpo", "cispo": "cispo", "clip_cov": "clip_cov",
    "kl_cov": "kl_cov", "sapo": "sapo", "reinforce": "reinforce",
}  # fmt: skip
SOURCES = {
    "ppo_clip": "PPO (arXiv 1707.06347), equation 7",
    "dapo": "DAPO (arXiv 2503.14476), equation 10",
    "gspo": "GSPO (arXiv 2507.18071), equations 5 and 13",
    "gmpo": "GMPO (arXiv 2507.20673), section 3",
    "cispo": "MiniMax-M1 (arXiv 2506.13585), equations 4 and 5",
    "clip_cov": "The entropy mechanism (arXiv 2505.22617), section 4.2",
    "kl_cov": "The entropy mechanism (arXiv 2505.22617), section 4.2",
    "sapo": "SAPO (arXiv 2511.20347), section 3",
    "reinforce": "Williams (1992); GPG (arXiv 2504.02546)",
}


def objective(entry: PolicyLoss, tokens: Tokens, selected: torch.Tensor | None, pieces: list[list[int]], kind: str):
    """The loss of the batch and its gradient, from micro-batches of some rows each."""
    lengths = torch.zeros(3, dtype=torch.long).index_add(0, tokens.sequence, tokens.mask.sum(1))
    weights = trajectory_weights(lengths, torch.ones(3, dtype=torch.bool), kind, 7.0).double()
    logprobs = tokens.logprobs.clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for rows in pieces:
        given = vars(dataclasses.replace(tokens, logprobs=logprobs)) | {"selected": selected}
        given = {key: value[rows] for key, value in given.items() if value is not None}
        losses, _ = call(entry.function, given, {})
        total = total + weighted_sum(losses, given["mask"], weights[given["sequence"]])
    (gradient,) = torch.autograd.grad(total, logprobs)
    return total.detach(), gradient


def everything(entry: PolicyLoss, tokens: Tokens) -> tuple[torch.Tensor | None, list[int]]:
    selected = selection_of(entry, tokens) if entry.select else None
    return selected, list(range(len(tokens.sequence)))


def test_every_name_has_its_function_and_its_source() -> None:
    assert {name: entry.function.__name__ for name, entry in POLICY_LOSSES.items()} == FUNCTIONS
    assert {name: entry.source for name, entry in POLICY_LOSSES.items()} == SOURCES
    selections = {name: entry.select.__name__ for name, entry in POLICY_LOSSES.items() if entry.select}
    assert selections == {"clip_cov": "select_clip_cov", "kl_cov": "select_kl_cov"}


@EVERY
def test_every_entry_declares_options_that_can_be_checked(name: str) -> None:
    entry = POLICY_LOSSES[name]
    options = check_options(entry, {})
    assert options == {key: default for key, (_, default) in entry.options.items()}
    assert "mask" in entry.needs


@EVERY
def test_at_ratio_one_the_gradient_is_that_of_reinforce(name: str) -> None:
    """REINFORCE descends the gradient of -A log pi; here both are taken through a softmax, at the same weights. A token
    that Clip-Cov selects is left out by design."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    actions = torch.randint(7, (3, 5, 1), generator=generator)
    advantages = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    mask = torch.rand(3, 5, generator=generator) < 0.8
    logprobs = logits.log_softmax(-1).gather(-1, actions)[..., 0]
    nothing = torch.zeros_like(mask)
    given = Tokens(logprobs, logprobs.detach(), advantages, mask, torch.tensor([0, 1, 0]))
    losses, clipped = call(POLICY_LOSSES[name].function, vars(given) | {"selected": nothing}, {})
    (ours,) = torch.autograd.grad(losses.sum(), logits, retain_graph=True)
    (plain,) = torch.autograd.grad((-advantages * logprobs * mask).sum(), logits)
    torch.testing.assert_close(ours, plain, atol=1e-12, rtol=1e-12)
    assert float(ours.abs().max()) > 0.1
    assert not clipped.any()


@EVERY
@given(seed=st.integers(0, 2**20), rubbish=RUBBISH)
@settings(max_examples=12)
def test_what_stands_outside_the_mask_reaches_neither_loss_nor_gradient(name: str, seed: int, rubbish: float) -> None:
    entry, tokens = POLICY_LOSSES[name], random_tokens(seed)
    selected, _ = everything(entry, tokens)
    spoiled = {
        key: torch.where(tokens.mask, getattr(tokens, key), rubbish)
        for key in ("logprobs", "old_logprobs", "advantages")
    }
    dirty = dataclasses.replace(tokens, **spoiled)
    clean = dataclasses.replace(tokens, **{key: torch.where(tokens.mask, value, 0.0) for key, value in spoiled.items()})
    ours, theirs = loss_of(entry, dirty, selected), loss_of(entry, clean, selected)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    for outside in ours:
        assert not outside[~tokens.mask].any()
    if entry.select:
        assert torch.equal(selection_of(entry, dirty), selected)


@EVERY
@given(seed=st.integers(0, 2**20))
@settings(max_examples=12)
def test_a_mark_means_that_a_clip_cut_the_gradient(name: str, seed: int) -> None:
    tokens = random_tokens(seed)
    _, clipped, gradient = loss_of(POLICY_LOSSES[name], tokens)
    cut = tokens.mask & (gradient == 0)
    if name in CUTTING:
        assert torch.equal(clipped, cut)
    else:
        assert not cut.any()


@EVERY
@pytest.mark.parametrize("kind", ["token_mean", "sequence_mean", "constant"])
@given(seed=st.integers(0, 2**20))
@settings(max_examples=8)
def test_splits_at_the_borders_of_trajectories_change_neither_loss_nor_gradient(
    name: str, kind: str, seed: int
) -> None:
    entry, tokens = POLICY_LOSSES[name], random_tokens(seed)
    selected, rows = everything(entry, tokens)
    pieces = [[r for r in rows if int(tokens.sequence[r]) == s] for s in set(tokens.sequence.tolist())]
    whole = objective(entry, tokens, selected, [rows], kind)
    split = objective(entry, tokens, selected, pieces, kind)
    torch.testing.assert_close(split, whole, atol=1e-12, rtol=1e-12)


@EVERY
@given(seed=st.integers(0, 2**20), order=st.permutations(range(5)))
@settings(max_examples=12)
def test_the_order_of_rows_changes_neither_loss_nor_gradient(name: str, seed: int, order: list[int]) -> None:
    entry, tokens = POLICY_LOSSES[name], random_tokens(seed)
    selected, rows = everything(entry, tokens)
    loss, gradient = objective(entry, tokens, selected, [rows], "sequence_mean")
    moved = None if selected is None else selected[order]
    other_loss, other = objective(entry, tokens.rows(order), moved, [rows], "sequence_mean")
    torch.testing.assert_close(other_loss, loss, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(other, gradient[order], atol=1e-12, rtol=1e-12)


@EVERY
@given(seed=st.integers(0, 2**20), left=st.integers(0, 2), right=st.integers(0, 3), value=RUBBISH)
@settings(max_examples=12)
def test_padding_changes_neither_loss_nor_gradient(name: str, seed: int, left: int, right: int, value: float) -> None:
    entry, tokens = POLICY_LOSSES[name], random_tokens(seed)
    selected, rows = everything(entry, tokens)

    def pad(tensor: torch.Tensor, filler: float) -> torch.Tensor:
        return torch.nn.functional.pad(tensor, (left, right), value=filler)

    wide = Tokens(
        *(pad(x, value) for x in (tokens.logprobs, tokens.old_logprobs, tokens.advantages)),
        pad(tokens.mask, False),
        tokens.sequence,
    )
    wide_selected = None if selected is None else pad(selected, False)
    loss, gradient = objective(entry, tokens, selected, [rows], "token_mean")
    wide_loss, wide_gradient = objective(entry, wide, wide_selected, [rows], "token_mean")
    torch.testing.assert_close(wide_loss, loss, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(wide_gradient, pad(gradient, 0.0), atol=1e-12, rtol=1e-12)


@EVERY
def test_descending_the_loss_makes_good_tokens_likelier_and_bad_ones_less_likely(name: str) -> None:
    tokens = random_tokens(4, spread=0.0)
    _, _, gradient = loss_of(POLICY_LOSSES[name], tokens, torch.zeros_like(tokens.mask))
    assert torch.equal(-gradient[tokens.mask].sign(), tokens.advantages[tokens.mask].sign())


def test_the_options_of_every_loss_have_these_defaults() -> None:
    told = {name: {option: default for option, (_, default) in e.options.items()} for name, e in POLICY_LOSSES.items()}
    assert told == {
        "ppo_clip": {"clip_low": 0.2, "clip_high": 0.2, "dual_clip": 0.0},
        "dapo": {"clip_low": 0.2, "clip_high": 0.28, "dual_clip": 0.0},
        "gspo": {"clip_low": 3e-4, "clip_high": 4e-4},
        "gmpo": {"clip_low": 0.4, "clip_high": 0.4},
        "cispo": {"clip_low": 1.0, "clip_high": 4.0},
        "clip_cov": {
            "clip_low": 0.2,
            "clip_high": 0.2,
            "cov_share": 2e-4,
            "cov_low": 1.0,
            "cov_high": 5.0,
            "seed": 0,
        },
        "kl_cov": {"kl_cov_coef": 1.0, "cov_share": 2e-3},
        "sapo": {"temperature_positive": 1.0, "temperature_negative": 1.05},
        "reinforce": {},
    }
