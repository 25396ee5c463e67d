"""Pictures come as patches already: to embed them is a matrix product.

The Qwen families embed patches by a convolution whose kernel is as large as a patch and that sees one place of each.
As a product it is the same sum, and its backward pass takes less than half the time on a CPU.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import linear


class PatchConvolution(nn.Conv3d):
    """A convolution that is given inputs as large as its kernel: (patches, channels, frames, rows, columns) to
    (patches, width, 1, 1, 1). For others it is the convolution that it was."""

    def forward(self, input: Tensor) -> Tensor:
        if input.shape[2:] != self.kernel_size or any(self.padding):
            return super().forward(input)
        return linear(input.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None, None]


def embed_by_products(model: nn.Module) -> None:
    """Let every patch embedding of a model be a matrix product. Weights, their names and types stay."""
    for module in model.modules():
        if type(module) is nn.Conv3d and module.kernel_size == module.stride and module.groups == 1:
            module.__class__ = PatchConvolution
