"""The lean norm gives what transformers' gives, and keeps less."""

import copy

import pytest
import torch
from torch import nn
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLRMSNorm

from agent.model.load import VLM
from agent.model.norms import LeanRMSNorm, lean_norms

DTYPES = [torch.float32, torch.bfloat16]
Both = tuple[Qwen2VLRMSNorm, Qwen2VLRMSNorm]


def made(dtype: torch.dtype) -> Both:
    """One of transformers' and ours, of 16 channels, with the same weight."""
    torch.manual_seed(0)
    plain = Qwen2VLRMSNorm(16, eps=1e-3)
    plain.weight.data = torch.randn(16)
    lean = copy.deepcopy(plain)
    lean_norms(nn.Sequential(lean))
    assert isinstance(lean, LeanRMSNorm) and not isinstance(plain, LeanRMSNorm)
    return plain.to(dtype), lean.to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_are_the_same_bit_for_bit_with_and_without_a_graph(dtype: torch.dtype) -> None:
    plain, lean = made(dtype)
    given = torch.randn(2, 5, 16, dtype=dtype) * 3
    expected = plain(given)
    assert torch.equal(lean(given), expected) and lean(given).dtype == dtype
    with torch.no_grad():
        assert torch.equal(lean(given), expected)


def gradients(norm: nn.Module, given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = given.clone().requires_grad_()
    norm.zero_grad()
    (norm(leaf).float() ** 3).sum().backward()
    assert leaf.grad is not None and norm.weight.grad is not None
    return leaf.grad, norm.weight.grad


@pytest.mark.parametrize(("dtype", "within"), list(zip(DTYPES, [1e-5, 2e-2], strict=True)))
def test_gradients_are_those_of_the_operations_of_transformers(dtype: torch.dtype, within: float) -> None:
    plain, lean = made(dtype)
    given = torch.randn(2, 5, 16, dtype=dtype)
    for expected, found in zip(gradients(plain, given), gradients(lean, given), strict=True):
        assert found.dtype == dtype and found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=within, atol=within * float(expected.abs().max()))


def test_a_gradient_by_hand() -> None:
    _, lean = made(torch.float32)
    lean.weight.data = torch.ones(16)
    lean.variance_epsilon = 0.0
    given = torch.zeros(1, 16)
    given[0, :2] = torch.tensor([3.0, 4.0])
    given.requires_grad_()
    lean(given)[0, 0].backward()
    # r = (25 / 16)^-1/2 = 0.8, u = (2.4, 3.2, 0, ...); dx = 0.8 (e_1 - u 2.4 / 16), dw = u in the first channel.
    assert given.grad is not None and lean.weight.grad is not None
    torch.testing.assert_close(given.grad[0, :3], torch.tensor([0.8 * (1 - 2.4 * 0.15), -0.8 * 3.2 * 0.15, 0.0]))
    torch.testing.assert_close(lean.weight.grad[:2], torch.tensor([2.4, 0.0]))


def test_what_is_frozen_gets_no_gradient() -> None:
    _, lean = made(torch.float32)
    lean.weight.requires_grad_(False)
    given = torch.randn(3, 16, requires_grad=True)
    lean(given).sum().backward()
    assert lean.weight.grad is None and given.grad is not None
    lean.weight.requires_grad_(True)
    alone = torch.randn(3, 16)
    lean(alone).sum().backward()
    assert lean.weight.grad is not None and alone.grad is None


def test_its_input_is_all_of_a_tokens_channels_that_a_graph_keeps() -> None:
    kept: list[list[torch.Tensor]] = []
    given = torch.randn(8, 16, dtype=torch.bfloat16, requires_grad=True)
    for norm in made(torch.bfloat16):
        kept.append([])
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept[-1].append(t) or t, lambda t: t):
            norm(given)
    wide = [{t.data_ptr(): t for t in tensors if t.shape == given.shape} for tensors in kept]
    assert list(wide[1]) == [given.data_ptr()]
    assert sum(t.nbytes for t in wide[0].values()) == 6 * given.numel()


def test_a_copy_of_a_lean_norm_is_one() -> None:
    _, lean = made(torch.float32)
    copied = copy.deepcopy(lean)
    copied.weight.data.mul_(2)
    given = torch.randn(3, 16)
    assert type(copied) is type(lean) and torch.equal(copied(given), 2 * lean(given))


def test_a_norm_that_computes_something_else_stays_what_it_is() -> None:
    other = Gemma3RMSNorm(16)
    lean_norms(nn.Sequential(other))
    assert type(other) is Gemma3RMSNorm


def test_every_norm_of_a_loaded_language_model_is_lean(vlm: VLM) -> None:
    language = vlm.model.base_model.language_model
    found = [module for module in language.modules() if hasattr(module, "variance_epsilon")]
    assert len(found) > len(language.layers) and all(isinstance(module, LeanRMSNorm) for module in found)
    for module in found:
        given = torch.randn(4, len(module.weight))
        with torch.no_grad():
            plain = type(module).__mro__[2].forward(module, given)
        assert torch.equal(module(given), plain)
