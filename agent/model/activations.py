"""The activation of vision towers of CLIP's kind, which keeps for its gradient what it was given and nothing else.

Written as x sigmoid(1.702 x) (arXiv 1606.08415, section 2) in operations of their own, it keeps the sigmoid beside: a
tensor of the tower's widest shape in every layer, a tenth of all that an update holds where pictures are large.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import QuickGELUActivation

SLOPE = 1.702


class _QuickGelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, given: Tensor) -> Tensor:
        ctx.save_for_backward(given)
        return given * torch.sigmoid(SLOPE * given)

    @staticmethod
    def backward(ctx: Any, *upward: Tensor) -> Tensor:
        (given,) = ctx.saved_tensors
        gate = torch.sigmoid(SLOPE * given)
        # d/dx x s(ax) = s + a x s (1 - s)
        return upward[0] * gate * (1 + SLOPE * given * (1 - gate))


class LeanQuickGELU(QuickGELUActivation):
    """The same numbers as the class that it derives from, gradients up to rounding."""

    def forward(self, input: Tensor) -> Tensor:
        return _QuickGelu.apply(input) if torch.is_grad_enabled() else super().forward(input)


def keep_less(model: nn.Module) -> None:
    """Let every such activation of a model keep its input only."""
    for module in model.modules():
        if type(module) is QuickGELUActivation:
            module.__class__ = LeanQuickGELU
