"""The lean activation gives what transformers' gives, and keeps less."""

import copy

import pytest
import torch
from torch import nn
from transformers.activations import QuickGELUActivation

from agent.model.activations import LeanQuickGELU, keep_less
from agent.model.load import VLM


@pytest.fixture
def both() -> tuple[nn.Module, nn.Module]:
    plain = QuickGELUActivation()
    lean = copy.deepcopy(plain)
    keep_less(nn.Sequential(lean))
    assert type(lean) is LeanQuickGELU
    return plain, lean


def test_values_are_the_same_bit_for_bit_with_and_without_a_graph(both: tuple[nn.Module, nn.Module]) -> None:
    given = torch.randn(64, 32) * 4
    plain, lean = both
    expected = plain(given)
    assert torch.equal(lean(given.clone().requires_grad_()), expected)
    with torch.no_grad():
        assert torch.equal(lean(given), expected)


def test_the_gradient_is_that_of_the_formula(both: tuple[nn.Module, nn.Module]) -> None:
    given = torch.randn(20, 3, dtype=torch.float64) * 4
    assert torch.autograd.gradcheck(both[1], (given.clone().requires_grad_(),))
    found = []
    for activation in both:
        leaf = given.clone().requires_grad_()
        (activation(leaf) ** 2).sum().backward()
        found.append(leaf.grad)
    torch.testing.assert_close(found[1], found[0])


def test_its_input_is_all_that_a_graph_keeps_of_it(both: tuple[nn.Module, nn.Module]) -> None:
    given = torch.randn(8, 4).requires_grad_()
    kept: list[list[torch.Tensor]] = []
    for activation in both:
        kept.append([])
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept[-1].append(t) or t, lambda t: t):
            activation(given)
    assert [tensor.data_ptr() for tensor in kept[1]] == [given.data_ptr()]
    assert len({tensor.data_ptr() for tensor in kept[0]}) > 1


def test_a_loaded_vision_tower_has_it_where_it_is_of_that_kind(vlm: VLM) -> None:
    found = [module for module in vlm.model.modules() if isinstance(module, QuickGELUActivation)]
    assert bool(found) == (vlm.family == "qwen2_vl")  # the later families have others, which keep little
    assert all(type(module) is LeanQuickGELU for module in found)
