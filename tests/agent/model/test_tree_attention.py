"""Attention over a packed row equals one softmax over all that each token sees, and so do its gradients."""

import pytest
import torch
from torch import Tensor

from agent.model import attention_parts
from agent.model import tree_attention as module
from agent.model.tree_attention import Above, Sight, sight, tree_attention

# A prompt; two answers, of which the first has two continuations; another prompt, with one answer.
PIECES = [(0, 5), (5, 8), (8, 9), (9, 11), (11, 14), (14, 17), (17, 18)]
ABOVE = [Above((5, 14), (0, 5)), Above((8, 11), (5, 8)), Above((17, 18), (14, 17))]
TOKENS, SCALE = 18, 0.4
CPU = torch.device("cpu")


def dense(pieces: list[tuple[int, int]], above: list[Above], outer: int = 0) -> Tensor:
    mask = torch.zeros((TOKENS, outer + TOKENS), dtype=torch.bool)
    for start, stop in pieces:
        mask[start:stop, outer + start : outer + stop] = torch.ones((stop - start,) * 2).tril().bool()
    for part in above:
        mask[slice(*part.queries), slice(*part.keys)] = True
    return mask


def tensors(dtype: torch.dtype, keys: int = TOKENS, key_heads: int = 2) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = [(1, 4, TOKENS, 8), (1, key_heads, keys, 8), (1, key_heads, keys, 8)]
    return [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]


def both(inputs: list[Tensor], seen: Sight, mask: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(found, expected): outputs, and the gradients of queries, keys and values."""
    weights = torch.randn(1, 4, TOKENS, 8, dtype=inputs[0].dtype)
    found = tree_attention(*inputs, seen, SCALE)
    expected = torch.nn.functional.scaled_dot_product_attention(
        *inputs, attn_mask=mask, scale=SCALE, enable_gqa=inputs[1].shape[1] != inputs[0].shape[1]
    )
    gradients = [torch.autograd.grad((each * weights).sum(), inputs) for each in (found, expected)]
    return [(found, expected), *zip(*gradients, strict=True)]


@pytest.fixture(params=["fused", "plain"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr(attention_parts, "_fused", None)
    return str(request.param)


@pytest.mark.parametrize("segment", [module.SEGMENT, 3, 1], ids=["whole", "in segments", "in tokens"])
@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_it_is_one_softmax_over_all_that_is_seen(
    kernel: str, segment: int, key_heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT", segment)
    seen = sight(PIECES, ABOVE, 0, CPU)
    for found, expected in both(tensors(torch.float64, key_heads=key_heads), seen, dense(PIECES, ABOVE)):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("segment", [module.SEGMENT, 2])
def test_outer_keys_come_before_the_rows_own(kernel: str, segment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT", segment)
    outer = 6
    above = [Above((0, 5), (0, 4)), Above((14, 18), (4, 6)), Above((5, 14), (outer, outer + 5))]
    seen = sight(PIECES, above, outer, CPU)
    for found, expected in both(tensors(torch.float64, outer + TOKENS), seen, dense(PIECES, above, outer)):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_scores_in_slices_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_parts, "_fused", None)
    monkeypatch.setattr(attention_parts, "SCORES", 40)  # at most one or two queries
    for found, expected in both(tensors(torch.float64), sight(PIECES, ABOVE, 0, CPU), dense(PIECES, ABOVE)):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_the_gradients_are_those_of_finite_differences() -> None:
    seen = sight(PIECES, ABOVE, 0, CPU)
    assert torch.autograd.gradcheck(lambda *inputs: tree_attention(*inputs, seen, SCALE), tensors(torch.float64))


def test_bfloat16_is_as_near_as_one_softmax_in_bfloat16(kernel: str) -> None:
    inputs, mask = tensors(torch.bfloat16), dense(PIECES, ABOVE)
    exact = both([t.detach().double().requires_grad_() for t in inputs], sight(PIECES, ABOVE, 0, CPU), mask)[0][1]
    found, expected = both(inputs, sight(PIECES, ABOVE, 0, CPU), mask)[0]
    assert found.dtype == torch.bfloat16
    assert (found - exact).abs().max() <= 1.5 * (expected - exact).abs().max()


def test_gradients_in_half_precision_are_as_near_in_many_segments_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    query, key, value, upward = (torch.randn(1, 2, 512, 16) for _ in range(4))

    def gradients(dtype: torch.dtype, segment: int) -> tuple[Tensor, ...]:
        monkeypatch.setattr(module, "SEGMENT", segment)
        inputs = [each.to(torch.bfloat16).to(dtype).requires_grad_() for each in (query, key, value)]
        found = tree_attention(*inputs, sight([(0, 512)], (), 0, CPU), SCALE)
        return torch.autograd.grad(found, inputs, upward.to(torch.bfloat16).to(dtype))

    exact, one, many = gradients(torch.float64, 512), gradients(torch.bfloat16, 512), gradients(torch.bfloat16, 8)
    for name, *found in zip(("query", "key", "value"), exact, one, many, strict=True):
        apart = [float((each.double() - found[0]).norm() / found[0].norm()) for each in found[1:]]
        assert apart[1] <= 1.5 * apart[0], (name, apart)


def test_huge_scores_of_one_set_do_not_drown_in_another() -> None:
    inputs = tensors(torch.float64)
    with torch.no_grad():
        inputs[1][:, :, :5] *= 200  # scores of hundreds, towards the prompt alone
    for found, expected in both(inputs, sight(PIECES, ABOVE, 0, CPU), dense(PIECES, ABOVE)):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_pieces_are_put_together_so_that_little_is_padding() -> None:
    starts = [0, 100, 130, 160, 165, 170]
    lengths = [100, 30, 29, 5, 5, 1]
    seen = sight([(s, s + n) for s, n in zip(starts, lengths, strict=True)], [], 0, CPU)
    assert [sorted(bucket.real.sum(1).tolist()) for bucket in seen.buckets] == [[100], [29, 30], [5, 5], [1]]
    assert seen.buckets[2].places.tolist() == [[160, 161, 162, 163, 164], [165, 166, 167, 168, 169]]


def test_a_long_piece_is_cut_into_segments_each_of_which_sees_those_before_it_once() -> None:
    seen = sight([(0, 300), (300, 400)], [Above((300, 400), (7, 307))], 7, CPU)
    (bucket,) = seen.buckets
    assert bucket.places[:, 0].tolist() == [0, 150, 300] and bucket.real.sum(1).tolist() == [150, 150, 100]
    assert seen.beyond == (Above((150, 300), (7, 157)), Above((300, 400), (7, 307)))
