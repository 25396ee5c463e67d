"""The distribution of the next token, and draws from it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agent.rollout.distribution import draw, token_logprobs
from agent.seeds import uniforms

LOGITS = arrays.arrays(np.float32, (3, 7), elements=st.floats(-30, 30, width=32))
LAST = 1 - 2**-53  # the largest float64 below 1


def reference(logits: np.ndarray, temperature: float, banned: tuple[int, ...]) -> np.ndarray:
    """log softmax(logits / T) over what is not banned, in float64, one sum at a time."""
    out = np.full(logits.shape, -np.inf)
    kept = [i for i in range(logits.shape[1]) if i not in banned]
    for row, values in enumerate(logits.astype(np.float64)):
        scaled = values[kept] / (temperature or 1.0)
        top = scaled.max()
        out[row, kept] = scaled - top - np.log(np.exp(scaled - top).sum())
    return out


@given(LOGITS, st.sampled_from([0.0, 0.3, 0.7, 1.0, 2.5]), st.sets(st.integers(0, 6), max_size=6))
def test_log_probabilities_are_those_of_the_equation(logits: np.ndarray, temperature: float, banned: set[int]) -> None:
    got = token_logprobs(torch.from_numpy(logits), temperature, tuple(banned)).numpy()
    np.testing.assert_allclose(got, reference(logits, temperature, tuple(banned)), atol=2e-5, rtol=2e-6)


@given(LOGITS, st.sets(st.integers(0, 6), max_size=6))
def test_probabilities_of_allowed_tokens_sum_to_one(logits: np.ndarray, banned: set[int]) -> None:
    total = token_logprobs(torch.from_numpy(logits), 1.0, tuple(banned)).double().exp().sum(-1)
    np.testing.assert_allclose(total, 1.0, atol=1e-5)


def test_logits_of_low_precision_are_computed_in_float32() -> None:
    logits = torch.linspace(-4, 4, 300).bfloat16()[None]
    got = token_logprobs(logits, 0.7, ())
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got, reference(logits.float().numpy(), 0.7, ()), atol=1e-5)


@given(
    LOGITS,
    st.sets(st.integers(0, 6), max_size=6),
    st.lists(st.sampled_from([0.0, 2**-60, 0.1, 0.5, 0.999999, LAST]) | st.floats(0, LAST), min_size=3, max_size=3),
)
def test_a_banned_token_is_never_drawn(logits: np.ndarray, banned: set[int], dice: list[float]) -> None:
    logprobs = token_logprobs(torch.from_numpy(logits), 1.0, tuple(banned))
    tokens = draw(logprobs, torch.tensor(dice, dtype=torch.float64))
    assert not set(tokens.tolist()) & banned
    assert (tokens < 7).all()
    assert torch.isfinite(logprobs.gather(1, tokens[:, None])).all()


@pytest.mark.parametrize("dice", [0.0, LAST])
@pytest.mark.parametrize("size", [8, 4096, 151_936])
def test_the_ends_of_the_interval_draw_the_first_and_last_token_that_can_be_drawn(dice: float, size: int) -> None:
    # Thousands of summands round: a sum that stays below 1 - 2**-53 would give a token beyond the last.
    logits = torch.randn(1, size, generator=torch.Generator().manual_seed(0))
    banned = (0, 1, size - 2, size - 1)
    (token,) = draw(token_logprobs(logits, 1.0, banned), torch.tensor([dice], dtype=torch.float64)).tolist()
    assert token == (2 if dice == 0.0 else size - 3)


def test_a_draw_is_the_first_token_whose_cumulative_probability_exceeds_the_uniform() -> None:
    logprobs = torch.tensor([[0.25, 0.0, 0.5, 0.25]], dtype=torch.float64).log()
    for dice, token in [(0.0, 0), (0.24, 0), (0.25, 2), (0.74, 2), (0.75, 3), (LAST, 3)]:
        assert draw(logprobs, torch.tensor([dice], dtype=torch.float64)).tolist() == [token]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_the_probabilities(temperature: float) -> None:
    logits = torch.tensor([1.5, 0.0, -1.0, 0.7, 3.0, 0.2])
    logprobs = token_logprobs(logits, temperature, (4,))
    count = 20_000
    tokens = draw(logprobs.expand(count, -1), torch.from_numpy(uniforms(11, count)))
    expected = np.delete(np.exp(reference(logits[None].numpy(), temperature, (4,))[0]) * count, 4)
    seen = np.bincount(tokens.numpy(), minlength=6)
    assert seen[4] == 0
    # Chi-square with 4 degrees of freedom exceeds 18.5 once in a thousand; the draws are always the same.
    assert ((np.delete(seen, 4) - expected) ** 2 / expected).sum() < 18.5


def test_rows_are_drawn_with_their_own_uniforms() -> None:
    logprobs = torch.log(torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.9, 0.1]]))
    assert draw(logprobs, torch.tensor([0.1, 0.8, 0.8], dtype=torch.float64)).tolist() == [0, 1, 0]
