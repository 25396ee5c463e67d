"""A four-bit layer on the meta device: the bytes of `model.four_bit.FourBitLinear`, and what it makes on its way."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

BLOCK, NESTED = 64, 256  # weights that share a scale, and scales that share one


class _Product(torch.autograd.Function):
    """Keeps the packed weight alone, and spells it out in both directions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Tensor, shape: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(packed)
        ctx.shape, ctx.dtype = shape, x.dtype
        return nn.functional.linear(x, torch.empty(shape, dtype=x.dtype, device=x.device))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (packed,) = ctx.saved_tensors
        return gradients[0] @ torch.empty(ctx.shape, dtype=ctx.dtype, device=packed.device), None, None


class MetaFourBitLinear(nn.Module):
    """Takes the place of a linear layer that will be quantized."""

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        self.shape = (plain.out_features, plain.in_features)
        blocks = -(-plain.weight.numel() // BLOCK)
        self.weight = nn.Parameter(_bytes(-(-plain.weight.numel() // 2)), requires_grad=False)
        self.register_buffer("scales", _bytes(blocks))
        # Scales of the scales, and the tables of both codes.
        self.register_buffer("rest", _bytes(4 * (-(-blocks // NESTED) + NESTED + 16 + 1)))
        self.bias = plain.bias

    def forward(self, x: Tensor) -> Tensor:
        out = _Product.apply(x, self.weight, self.shape)
        return out if self.bias is None else out + self.bias


def quantize_on_meta(model: nn.Module) -> None:
    """As `model.four_bit.quantize`."""
    for layer in [module for module in model.modules() if isinstance(module, LoraLinear)]:
        layer.base_layer = MetaFourBitLinear(layer.base_layer)


def _bytes(count: int) -> Tensor:
    return torch.empty(count, dtype=torch.uint8, device="meta")
