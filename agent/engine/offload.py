"""Tensors that leave the device while others need it, and come back as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch


class Offload:
    """Moves tensors between the device and host memory, in place: whoever holds one need not know.

    On a CPU there is nowhere to go: then only the account is kept, so that what would fail on another device fails
    here too.

    Args:
        name: For messages.
        tensors: Those that exist at the time of a call; an optimizer makes its own at the first step.
    """

    def __init__(self, name: str, tensors: Callable[[], Iterable[torch.Tensor]]) -> None:
        self.name = name
        self._tensors = tensors
        self._homes: list[tuple[torch.Tensor, torch.device]] = []
        self.away = False

    def leave(self) -> None:
        if self.away:
            return
        self._homes = []
        for tensor in _distinct(self._tensors()):
            if tensor.device.type != "cpu":
                self._homes.append((tensor, tensor.device))
                # Pinned, so that the way back is one transfer without another copy.
                host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.device.type == "cuda")
                tensor.data = host.copy_(tensor.data)
        self.away = True

    def enter(self) -> None:
        for tensor, home in self._homes:
            tensor.data = tensor.data.to(home)
        self._homes, self.away = [], False

    def held(self) -> int:
        """Bytes on the device."""
        return 0 if self.away else sum(tensor.nbytes for tensor in _distinct(self._tensors()))

    def require(self) -> None:
        """Raises RuntimeError while the tensors are away."""
        if self.away:
            raise RuntimeError(f"{self.name}: off the device; enter the phase of updates first")


def _distinct(tensors: Iterable[torch.Tensor]) -> Iterable[torch.Tensor]:
    return {id(tensor): tensor for tensor in tensors}.values()
