"""Attention in parts is attention."""

import pytest
import torch

import agent.model.attention_parts
from agent.model.attention_parts import merge, part

SCALE = 0.4


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


@pytest.mark.parametrize("queries", [1, 5, 40])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("at_a_time", [1, 2**26])
def test_parts_of_the_keys_give_together_what_all_give(
    queries: int, fused: bool, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent.model.attention_parts, "SCORES", at_a_time)
    if not fused:
        monkeypatch.setattr(agent.model.attention_parts, "_fused", None)
    query, key, value = random(3, 2, queries, 16), 3 * random(3, 2, 70, 16), random(3, 2, 70, 16)
    hidden = random(3, 1, queries, 70) > 0.5
    hidden[..., [0, 30]] = False  # something to see in either part
    bias = torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)
    scores = SCALE * query @ key.transpose(-1, -2) + bias
    parts = [part(query, key[:, :, cut], value[:, :, cut], SCALE, bias[..., cut]) for cut in (slice(30), slice(30, 70))]
    torch.testing.assert_close(merge(*parts[0], *parts[1]), scores.softmax(-1) @ value, atol=1e-5, rtol=1e-5)
    whole, lse = part(query, key, value, SCALE, bias)
    torch.testing.assert_close(whole, scores.softmax(-1) @ value, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(lse, scores.logsumexp(-1))
    # One bias for all queries, and none.
    free = SCALE * query @ key.transpose(-1, -2)
    for some in (bias[:, :, :1], None):
        seen = free if some is None else free + some
        out, _ = part(query, key, value, SCALE, some)
        torch.testing.assert_close(out, seen.softmax(-1) @ value, atol=1e-5, rtol=1e-5)


def test_the_softmax_of_half_precision_is_taken_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = (random(1, 1, n, 16, seed=n) for n in (4, 900, 900))
    exact, lse = part(query, key, value, SCALE, None)
    for fused in (True, False):
        if not fused:
            monkeypatch.setattr(agent.model.attention_parts, "_fused", None)
        half, half_lse = part(query.bfloat16(), key.bfloat16(), value.bfloat16(), SCALE, None)
        assert half.dtype == torch.bfloat16 and half_lse.dtype == torch.float32
        torch.testing.assert_close(half.float(), exact, atol=2e-2, rtol=0)
        torch.testing.assert_close(half_lse, lse, atol=2e-2, rtol=0)
