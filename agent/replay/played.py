"""The parts of a run without a model: its roles say what a record says that they said.

`prepare` and `learn` of the trainer are given these in the places of the real ones, so that advantages and losses are
worked out by the very functions that worked them out in training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..algorithm import Algorithm
from ..config import Config
from ..engine.batching import Batch
from ..engine.local import LocalEngine
from ..engine.ranks import ALONE, Ranks
from ..model.processor import ProcessedImage, Processor
from ..roles.critic import Critic
from ..roles.reward import Term
from ..update import Learner, Pass
from .recording import BEFORE, Circumstances


class UnplayableError(Exception):
    """A record's tensors do not fit its trajectories."""

    def __init__(self, what: str, recorded: str, again: str) -> None:
        super().__init__(what)
        self.what, self.recorded, self.again = what, recorded, again


@dataclass(eq=False)
class Tape:
    """What one process recorded, given back in order.

    Attributes:
        tensors: By TIME/NAME/COUNT, see `recording`.
        device: Where the losses are computed.
    """

    tensors: Mapping[str, Tensor]
    device: torch.device
    time: str = BEFORE
    _counts: Counter[str] = field(default_factory=Counter)

    def next(self, name: str, batch: Batch) -> Tensor:
        """What a model said of the batch: (rows, tokens), 0 where no action token is.

        Raises:
            UnplayableError: nothing was recorded here, or of another number of tokens.
        """
        mask = batch.action_mask
        flat = self.flat(name, int(mask.sum()), "action tokens")
        return torch.zeros(mask.shape, dtype=flat.dtype, device=self.device).masked_scatter(mask.to(self.device), flat)

    def flat(self, name: str, count: int, of: str) -> Tensor:
        """The numbers themselves. Raises UnplayableError likewise."""
        kind = f"{self.time}/{name}"
        key = f"{kind}/{self._counts[kind]}"
        self._counts[kind] += 1
        if key not in self.tensors:
            raise UnplayableError(key, "nothing", f"{count} {of}")
        if self.tensors[key].shape != (count,):
            raise UnplayableError(key, f"{tuple(self.tensors[key].shape)} numbers", f"{count} {of}")
        return self.tensors[key].to(self.device)


class SilentModel(nn.Module):
    """Stands where a model would be asked to be in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class StillEngine(LocalEngine):
    """Knows the schedule; moves nothing."""

    def __init__(self, config: Any, updates: int, ranks: Ranks, steps_taken: int) -> None:
        super().__init__(SilentModel(), config, updates=updates)
        self.ranks = ranks
        self.steps_taken = steps_taken

    def backward(self, loss: Tensor, last: bool = True) -> None:
        pass

    def step(self) -> float:
        self.steps_taken += 1
        return float("nan")


@dataclass(frozen=True, eq=False)
class PlayedActor:
    model: nn.Module


@dataclass(frozen=True, eq=False)
class PlayedReference:
    """Asked of micro-batches during an update."""

    tape: Tape

    def logprobs(self, batch: Batch) -> Tensor:
        return self.tape.next("reference_logprobs", batch)


class PlayedCritic(Critic):
    """A critic whose values were recorded."""

    def __init__(self, config: Config, updates: int, tape: Tape, ranks: Ranks, steps_taken: int) -> None:
        self.config = config.critic
        self.shared = config.critic.trunk == "shared"
        self.model = SilentModel()  # type: ignore[assignment]
        own = replace(config.optimizer, lr=config.critic.lr, max_grad_norm=config.critic.max_grad_norm)
        self.engine = None if self.shared else StillEngine(own, updates, ranks, steps_taken)
        self.tape = tape

    def values(
        self, batch: Batch, micro_batch_tokens: int, trunk_engine: Any = None, packed: bool = False, kept: Any = None
    ) -> tuple[Tensor, Tensor]:
        at_tokens = self.tape.next("values", batch).cpu()
        return at_tokens, self.tape.flat("final_values", len(batch), "rows").cpu()

    def _pass(self, micro: Batch | None, kept: Any = None) -> tuple[Tensor, Tensor]:
        assert micro is not None, "no process waits for another here"
        return self.tape.next("values", micro), torch.zeros(0)


@dataclass(frozen=True, eq=False)
class PlayedLearner(Learner):
    """A learner whose models say what they said."""

    tape: Tape = field(kw_only=True)

    def logprobs(self, batch: Batch) -> Tensor:
        return self.tape.next("old_logprobs", batch).cpu()

    def reference_logprobs(self, batch: Batch) -> Tensor:
        return self.tape.next("reference_logprobs", batch).cpu()

    def forward(self, micro: Batch, value_only: bool = False) -> Pass:
        logprobs, entropy = self.tape.next("logprobs", micro), self.tape.next("entropy", micro)
        shared = self.critic is not None and self.critic.shared
        return Pass(logprobs, entropy, self.tape.next("values", micro) if shared else None)


@dataclass(frozen=True, eq=False)
class _Speaker:
    """What `Parts.vlm` is asked for."""

    processor: Processor


@dataclass(frozen=True, eq=False)
class _Pictures:
    """What `Parts.renderer` is asked for."""

    pixels: Callable[[str], ProcessedImage]


@dataclass(eq=False)
class PlayedParts:
    """Stands for `Parts` before rewards, credit and updates. Whether sampler and trainer agree is compared, not judged:
    `max_gap` lets all pass."""

    algorithm: Algorithm
    terms: tuple[Term, ...]
    processor: Processor
    pixels: Callable[[str], ProcessedImage]
    kl_coef: float = 0.0
    ranks: Ranks = ALONE
    train_engine: LocalEngine | None = None
    train_tasks: int | None = None
    max_gap: float = float("inf")

    @property
    def vlm(self) -> _Speaker:
        return _Speaker(self.processor)

    @property
    def renderer(self) -> _Pictures:
        return _Pictures(self.pixels)

    def gradient_norms(self) -> dict[str, float]:
        return {}


def played(
    config: Config, parts: PlayedParts, tape: Tape, around: Circumstances, ranks: Ranks, step: int
) -> tuple[PlayedLearner, PlayedParts]:
    """Learner and parts of one process in step `step` (0 is the first)."""
    algorithm = parts.algorithm
    taken = step * algorithm.updates
    engine = StillEngine(config.optimizer, algorithm.updates, ranks, taken)
    learner = PlayedLearner(
        PlayedActor(SilentModel()),  # type: ignore[arg-type]
        PlayedReference(tape) if algorithm.needs_reference else None,  # type: ignore[arg-type]
        PlayedCritic(config, algorithm.updates, tape, ranks, taken) if algorithm.needs_values else None,
        engine,
        algorithm,
        config.optimizer.micro_batch_tokens,
        around.packed,
        tape=tape,
    )
    return learner, replace(parts, kl_coef=around.kl_coef, ranks=ranks, train_engine=engine)
