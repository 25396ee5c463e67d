"""The Critic: what return may be expected from the state before each action token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from ..config import OptimizerConfig
from ..config_algorithm import CriticConfig
from ..engine.batching import Batch, joined
from ..engine.experience import Experience
from ..engine.local import LocalEngine, assign, whole
from ..engine.offload import Offload
from ..listener import Listener
from ..model.kept_prompts import KeptPrompts
from ..model.value_head import ValueModel, own_trunk, shared_trunk
from ..objective.value import VALUE_LOSSES, explained_variance


class Critic:
    """A value head, on a trunk of its own or on the policy's.

    An own trunk is a copy of the policy's model as it is when the critic is made; it has an engine and a schedule of
    its own. On a shared trunk the head's gradient joins the policy's: give the parameters of `model` to the policy's
    engine, and compute values from the hidden states that the policy computed.
    """

    def __init__(
        self,
        policy: PreTrainedModel,
        config: CriticConfig,
        optimizer: OptimizerConfig,
        updates: int,
        make_engine: Callable[[ValueModel, OptimizerConfig, int], LocalEngine] | None = None,
    ) -> None:
        """make_engine: Of an own trunk, given its optimizer's options and `updates`; None: one for one process."""
        self.config = config
        self.shared = config.trunk == "shared"
        self.model: ValueModel = shared_trunk(policy) if self.shared else own_trunk(policy)
        self.engine: LocalEngine | None = None
        if not self.shared:
            own = replace(optimizer, lr=config.lr, max_grad_norm=config.max_grad_norm)
            make = make_engine or (lambda model, options, count: LocalEngine(model, options, updates=count))
            self.engine = make(self.model, own, updates)
        self.offload = Offload("critic", self._tensors)

    def _tensors(self) -> Iterator[Tensor]:
        """Everything that is the critic's own and stays between updates."""
        yield from self.model.parameters()
        if self.engine is not None:
            yield from self.engine.state_tensors()

    @torch.no_grad()
    def values(
        self,
        batch: Batch,
        micro_batch_tokens: int,
        trunk_engine: LocalEngine | None = None,
        packed: bool = False,
        kept: KeptPrompts | None = None,
    ) -> tuple[Float[Tensor, "rows tokens"], Float[Tensor, " rows"]]:
        """Values before each action token, and at the end of each row, as the critic is now; on the CPU.

        trunk_engine: Of the policy, through which a shared trunk is run.
        packed: How tokens of a micro-batch are counted, see `Batch.spans`.
        kept: Prompts that a shared trunk has run already.
        """
        engine, kept = self.engine or trunk_engine, kept if self.shared else None
        self.offload.require()
        if engine is None:
            pieces = [self.model(micro, kept) for micro in batch.split(micro_batch_tokens, packed=packed)]
        else:
            passes = engine.passes(batch, micro_batch_tokens, packed=packed)
            done = [(micro, engine.run(partial(self._pass, micro, kept))) for micro, _ in passes]
            pieces = [found for micro, found in done if micro is not None]
        final = [piece[1].cpu() for piece in pieces]
        return joined(batch, (piece[0] for piece in pieces)), torch.cat(final) if final else torch.zeros(0)

    def _pass(self, micro: Batch | None, kept: KeptPrompts | None = None) -> tuple[Tensor, Tensor]:
        """Values of a micro-batch; for none a pass that weighs nothing."""
        return self.model.idle() if micro is None else self.model(micro, kept)

    def loss(
        self, micro: Experience, values: Float[Tensor, "rows tokens"], count: float
    ) -> tuple[Tensor, dict[str, float]]:
        """The value loss of a micro-batch, a sum over its valued tokens divided by `count`, and figures to be told.

        values: The critic's, with a graph.
        """
        assert micro.values is not None and micro.returns is not None and micro.valued is not None
        valued = micro.valued.to(values.device)
        options = {} if self.config.loss == "squared" else {"clip": self.config.clip}
        losses = VALUE_LOSSES[self.config.loss](
            values, micro.values.to(values.device), micro.returns.to(values.device), **options
        )
        loss = torch.where(valued, losses, torch.zeros_like(losses)).sum() / count
        return loss, {"value_loss": float(loss.detach())}

    def update(
        self,
        experience: Experience,
        micro_batch_tokens: int,
        listener: Listener | None = None,
        packed: bool = False,
    ) -> dict[str, float]:
        """One step of an own trunk on a mini-batch."""
        assert self.engine is not None and experience.valued is not None
        ranks = self.engine.ranks
        count = max(1, int(ranks.total(experience.valued.sum())))
        sums: Counter[str] = Counter()
        self.model.train()
        for micro, last in self.engine.passes(experience, micro_batch_tokens, packed=packed):
            values, _ = self.engine.run(partial(self._pass, None if micro is None else micro.batch))
            if micro is None:
                self.engine.backward(values, last)
                continue
            loss, told = self.loss(micro, values, count)
            self.engine.backward(loss, last)
            sums.update(told)
            if listener is not None:
                listener.said("values", micro.batch, values)
                listener.lost("value_loss", told["value_loss"])
        shares = ranks.gathered(dict(sums))
        for share in shares[: ranks.rank] + shares[ranks.rank + 1 :]:
            sums.update(share)
        return {**sums, "critic_lr": self.engine.lr, "critic_grad_norm": self.engine.step()}

    def skip(self) -> None:
        """An update with nothing to learn from: the schedule of an own trunk advances."""
        if self.engine is not None:
            self.engine.skip()

    def state_dict(self) -> dict[str, Any]:
        """Everything that a continued run needs; of a critic in shards without its tensors, see the engine."""
        if self.engine is None:
            return {"model": {name: whole(tensor) for name, tensor in self.model.state_dict().items()}}
        state = self.engine.state_dict()
        return {"engine": state, "model": self.model.state_dict() if "tensors" in state else {}}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        own = self.model.state_dict(keep_vars=True)
        for name, tensor in state["model"].items():
            assign(own[name], tensor)
        if self.engine is not None:
            self.engine.take_weights()
            self.engine.load_state_dict(state["engine"])


def told(values: Tensor, returns: Tensor, valued: Tensor) -> dict[str, float]:
    """How well the critic foresaw what happened; all three of one shape."""
    mean = float(values[valued].mean()) if bool(valued.any()) else float("nan")
    return {"explained_variance": float(explained_variance(values, returns, valued)), "value": mean}
