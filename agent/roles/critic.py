"""The Critic: what return may be expected from the state before each action token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from ..config import OptimizerConfig
from ..config_algorithm import CriticConfig
from ..engine.batching import Batch, joined
from ..engine.experience import Experience
from ..engine.local import LocalEngine
from ..engine.offload import Offload
from ..model.shared_prompt import batch_hidden_states
from ..model.value_head import ValueModel, own_trunk, shared_trunk
from ..objective.value import VALUE_LOSSES, explained_variance


class Critic:
    """A value head, on a trunk of its own or on the policy's.

    An own trunk is a copy of the policy's model as it is when the critic is made; it has an engine and a schedule of
    its own. On a shared trunk the head's gradient joins the policy's: give the parameters of `model` to the policy's
    engine, and call `loss` with the hidden states that the policy computed.
    """

    def __init__(self, policy: PreTrainedModel, config: CriticConfig, optimizer: OptimizerConfig, updates: int) -> None:
        self.config = config
        self.shared = config.trunk == "shared"
        self.model: ValueModel = shared_trunk(policy) if self.shared else own_trunk(policy)
        self.engine: LocalEngine | None = None
        if not self.shared:
            own = replace(optimizer, lr=config.lr, max_grad_norm=config.max_grad_norm)
            self.engine = LocalEngine(self.model, own, updates=updates)
        self.offload = Offload("critic", self._tensors)

    def _tensors(self) -> Iterator[Tensor]:
        """Everything that is the critic's own and stays between updates."""
        yield from self.model.parameters()
        if self.engine is not None:
            yield from self.engine.state_tensors()

    @torch.no_grad()
    def values(
        self, batch: Batch, micro_batch_tokens: int
    ) -> tuple[Float[Tensor, "rows tokens"], Float[Tensor, " rows"]]:
        """Values before each action token, and at the end of each row, as the critic is now; on the CPU."""
        self.offload.require()
        values, final = zip(*map(self.model, batch.split(micro_batch_tokens)), strict=True)
        return joined(batch, values), torch.cat(final).cpu()

    def loss(
        self, micro: Experience, hidden: Float[Tensor, "rows tokens channels"], count: float
    ) -> tuple[Tensor, dict[str, float]]:
        """The value loss of a micro-batch, a sum over its valued tokens divided by `count`, and figures to be told."""
        assert micro.values is not None and micro.returns is not None and micro.valued is not None
        valued = micro.valued.to(hidden.device)
        values, _ = self.model.from_hidden(hidden, micro.batch)
        options = {} if self.config.loss == "squared" else {"clip": self.config.clip}
        losses = VALUE_LOSSES[self.config.loss](
            values, micro.values.to(hidden.device), micro.returns.to(hidden.device), **options
        )
        loss = torch.where(valued, losses, torch.zeros_like(losses)).sum() / count
        return loss, {"value_loss": float(loss.detach())}

    def update(self, experience: Experience, micro_batch_tokens: int) -> dict[str, float]:
        """One step of an own trunk on a mini-batch."""
        assert self.engine is not None and experience.valued is not None
        count = max(1, int(experience.valued.sum()))
        sums: Counter[str] = Counter()
        self.model.train()
        for micro in experience.split(micro_batch_tokens):
            loss, told = self.loss(micro, batch_hidden_states(self.model.trunk, micro.batch), count)
            self.engine.backward(loss)
            sums.update(told)
        return {**sums, "critic_lr": self.engine.lr, "critic_grad_norm": self.engine.step()}

    def skip(self) -> None:
        """An update with nothing to learn from: the schedule of an own trunk advances."""
        if self.engine is not None:
            self.engine.skip()

    def state_dict(self) -> dict[str, Any]:
        """Everything that a continued run needs."""
        state: dict[str, Any] = {"model": self.model.state_dict()}
        return state if self.engine is None else state | {"engine": self.engine.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        if self.engine is not None:
            self.engine.take_weights()
            self.engine.load_state_dict(state["engine"])


def told(experience: Experience) -> Iterator[tuple[str, float]]:
    """How well the critic foresaw what happened."""
    if experience.values is not None and experience.returns is not None and experience.valued is not None:
        valued = experience.valued
        yield "explained_variance", float(explained_variance(experience.values, experience.returns, valued))
        yield "value", float(experience.values[valued].mean()) if bool(valued.any()) else float("nan")
