"""Weights of four bits under an adapter: the model needs a quarter of the memory, and what is learned is not rounded.

QLoRA (arXiv 2305.14314), section 3: weights that nobody trains are kept as 4-bit NormalFloat in blocks of 64 with one
scale each, the scales as 8-bit numbers in blocks of 256, and are spelled out for the moment of each product. The
kernels are bitsandbytes'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import nn

from ..errors import ConfigError

MISSING = (
    "model.lora.quantize: nf4 needs bitsandbytes, which is not installed: pip install 'rllava-gym[qlora]', or keep the "
    "weights as they are: --model.lora.quantize none"
)


class FourBitLinear(nn.Module):
    """A linear layer whose weight is kept in four bits and is not trained.

    Args:
        plain: The layer that it takes the place of.
        device: Where the weight is quantized and stays.

    Attributes:
        weight: Packed, two values a byte.
    """

    def __init__(self, plain: nn.Linear, device: torch.device | str) -> None:
        super().__init__()
        functional = _library().functional
        self.in_features, self.out_features = plain.in_features, plain.out_features
        packed, self.state = functional.quantize_4bit(
            plain.weight.detach().to(device), blocksize=64, compress_statistics=True, quant_type="nf4"
        )
        self.weight = nn.Parameter(packed, requires_grad=False)
        for name, tensor in self._scales().items():  # so that they are moved, and counted, with the weight
            self.register_buffer(name, tensor, persistent=False)
        self.bias = None if plain.bias is None else nn.Parameter(plain.bias.detach().to(device), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _library().matmul_4bit(x, self.weight, self.state, bias=self.bias)

    def plain_weight(self) -> torch.Tensor:
        """(out, in), in the type that it had before."""
        return _library().functional.dequantize_4bit(self.weight, self.state)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> FourBitLinear:
        super()._apply(fn, recurse)
        nested = self.state.state2
        self.state.absmax, self.state.code, self.state.offset = self.absmax, self.code, self.offset
        nested.absmax, nested.code = self.nested_absmax, self.nested_code
        return self

    def _scales(self) -> dict[str, torch.Tensor]:
        nested = self.state.state2
        own = {"absmax": self.state.absmax, "code": self.state.code, "offset": self.state.offset}
        return own | {"nested_absmax": nested.absmax, "nested_code": nested.code}


def quantize(model: nn.Module, device: torch.device | str) -> None:
    """Put every weight that lies under an adapter into four bits, one after the other on the device: it never holds the
    whole model. The other weights follow.

    Raises:
        ConfigError: bitsandbytes is not installed.
    """
    _library()
    for layer in _adapted(model):
        base = layer.get_base_layer()
        if isinstance(base, nn.Linear):
            layer.base_layer = FourBitLinear(base, device)
    model.to(device)


def base_weight(layer: LoraLinear) -> torch.Tensor:
    """The weight under an adapter, spelled out if it is kept in four bits."""
    base = layer.get_base_layer()
    return base.plain_weight() if isinstance(base, FourBitLinear) else base.weight


def unquantized(layer: LoraLinear, weight: torch.Tensor) -> nn.Linear:
    """An ordinary layer with this weight in place of the one under an adapter."""
    base = layer.get_base_layer()
    if isinstance(base, nn.Linear):
        with torch.no_grad():
            base.weight.copy_(weight)
        return base
    made = nn.Linear(base.in_features, base.out_features, base.bias is not None, device="meta")
    made.weight = nn.Parameter(weight, requires_grad=False)
    made.bias = base.bias
    return made


def _adapted(model: nn.Module) -> Iterator[LoraLinear]:
    return (module for module in list(model.modules()) if isinstance(module, LoraLinear))


def _library() -> Any:
    try:
        import bitsandbytes
    except ImportError:
        raise ConfigError(MISSING) from None
    return bitsandbytes
