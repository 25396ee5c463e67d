"""The train engine that a recipe names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ..config import Config, OptimizerConfig
from ..errors import ConfigError
from ..model.forward import Placement
from ..model.load import DTYPES
from ..model.processor import Processor
from .local import LocalEngine
from .ranks import Ranks

Groups = Callable[[], Sequence[Mapping[str, Any]] | None]
COMPANION = np.zeros((56, 56, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class TrainEngines:
    """Makes train engines of one kind, on one device.

    Attributes:
        config: The recipe.
        ranks: The processes.
        device: As torch names it.
        dtype: "float32" or "bfloat16": of the weights, or of the forward pass where shards are float32.
        processor: The model's.
    """

    config: Config
    ranks: Ranks
    device: str
    dtype: str
    processor: Processor

    @property
    def sharded(self) -> bool:
        return self.config.engine.train == "fsdp2"

    def make(
        self,
        model: nn.Module,
        optimizer: OptimizerConfig,
        updates: int,
        groups: Groups = lambda: None,
        beside: nn.Module | None = None,
    ) -> LocalEngine:
        """groups: see LocalEngine; asked for once the parameters are what they stay. beside: a head on the model's
        hidden states that is among them."""
        if not self.sharded:
            return LocalEngine(model, optimizer, groups(), updates)
        from .fsdp2 import ShardedEngine

        options = self.config.engine.fsdp2
        placed = Placement(torch.device(self.device), self.processor.process(COMPANION), DTYPES[self.dtype])
        for module in model.modules():
            if hasattr(module, "config"):  # each that may be asked for its hidden states
                module.rllava_placement = placed  # type: ignore[assignment]
        return ShardedEngine(
            model,
            optimizer,
            self.ranks,
            groups,
            updates,
            DTYPES[self.dtype],
            torch.device(self.device),
            options.offload,
            options.accumulate,
            beside,
        )


def check_sharded(config: Config, ranks: Ranks) -> None:
    """Refuse what cannot be trained in shards.

    Raises:
        ConfigError: named with what to use in its place.
    """
    if config.engine.train != "fsdp2":
        return
    if config.engine.rollout == "remote" and not config.engine.fixed and ranks.size > 1:
        raise ConfigError(
            "engine.rollout: remote is given weights by one process, and there are several; use engine.rollout: vllm"
        )
