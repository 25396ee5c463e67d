"""Patches are embedded by a product, and by what the convolution says of them."""

import copy

import pytest
import torch
from torch import nn

from agent.model.load import VLM
from agent.model.patches import PatchConvolution, embed_by_products


@pytest.fixture
def layers() -> tuple[nn.Conv3d, nn.Conv3d]:
    """A patch embedding as it was, and as a product."""
    torch.manual_seed(0)
    plain = nn.Conv3d(3, 8, (2, 14, 14), (2, 14, 14)).double()
    product = copy.deepcopy(plain)
    embed_by_products(nn.Sequential(product))
    assert isinstance(product, PatchConvolution)
    return plain, product


def test_values_and_gradients_are_those_of_the_convolution(layers: tuple[nn.Conv3d, nn.Conv3d]) -> None:
    patches, weights = torch.randn(5, 3, 2, 14, 14).double(), torch.randn(5, 8).double()
    found = []
    for layer in layers:
        output = layer(patches)
        (output.flatten(1) * weights).sum().backward()
        found.append((output, layer.weight.grad, layer.bias.grad))
    for plain, product in zip(*found, strict=True):
        torch.testing.assert_close(product, plain)


def test_what_is_larger_than_a_patch_is_still_convolved(layers: tuple[nn.Conv3d, nn.Conv3d]) -> None:
    pictures = torch.randn(1, 3, 2, 28, 42).double()
    plain, product = (layer(pictures) for layer in layers)
    assert product.shape == (1, 8, 1, 2, 3)
    torch.testing.assert_close(product, plain)


def test_other_convolutions_stay_what_they_are() -> None:
    overlapping = nn.Conv3d(3, 8, (2, 14, 14), (1, 7, 7))
    embed_by_products(nn.Sequential(overlapping))
    assert type(overlapping) is nn.Conv3d


def test_a_loaded_model_embeds_by_products_and_its_weights_keep_their_names(vlm: VLM) -> None:
    (embedding,) = [each for each in vlm.model.modules() if isinstance(each, nn.Conv3d)]
    assert type(embedding) is PatchConvolution and type(copy.deepcopy(embedding)) is PatchConvolution
    assert any(name.endswith("patch_embed.proj.weight") for name in vlm.model.state_dict())
