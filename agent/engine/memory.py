"""The phase machine: what may live on the device while one generates, takes new weights, or trains.

One device holds generation and training in turn. Each owner of memory says in which phases it may be there, and how it
leaves and comes back; whoever is still there in a phase that is not its own is named.

    ROLLOUT    the sampler's weights and its key-value cache; what the trainer was told to keep there
    SYNC       the sampler's weights and the trainer's, side by side; no cache
    UPDATE     the trainer's weights, gradients, optimizer state, reference and critic; the sampler sleeps
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import torch

from ..errors import DeviceMemoryError, ResidencyError

MIB = 2**20


class Phase(StrEnum):
    ROLLOUT = "rollout"
    SYNC = "sync"
    UPDATE = "update"


EVERY = frozenset(Phase)


@dataclass(frozen=True, eq=False)
class Owner:
    """Something that takes memory on the device.

    Attributes:
        name: As the ledger calls it.
        phases: In which it may be on the device.
        held: Bytes that it has there now.
        leave: Take it off the device; None: it is gone by itself when its phase ends.
        enter: Bring it back; None: it comes by itself.
    """

    name: str
    phases: frozenset[Phase]
    held: Callable[[], int]
    leave: Callable[[], None] | None = None
    enter: Callable[[], None] | None = None


@dataclass(frozen=True)
class Ledger:
    """Bytes on the device by owner, and what the allocator says: in all now, and at most in this phase. What it has
    beyond the owners' are activations, and what nobody here owns. On a CPU there is no such allocator: both are 0."""

    phase: str
    owners: dict[str, int]
    allocated: int
    peak: int

    def __str__(self) -> str:
        listed = [f"{name} {held / MIB:,.1f} MiB" for name, held in self.owners.items() if held] or ["nobody"]
        told = f"; allocated {self.allocated / MIB:,.1f}, at most {self.peak / MIB:,.1f} MiB" if self.peak else ""
        return f"{self.phase}: {', '.join(listed)}{told}"

    @property
    def metrics(self) -> dict[str, float]:
        found = {f"memory/{self.phase}/{name}_mib": held / MIB for name, held in self.owners.items() if held}
        if self.peak:
            found[f"memory/{self.phase}/peak_mib"] = self.peak / MIB
        return found


class PhaseMachine:
    """Leads the owners from phase to phase.

    Args:
        device: Of the run.
        owners: In the order in which they come onto the device; they leave in reverse.
    """

    def __init__(self, device: torch.device, owners: Sequence[Owner]) -> None:
        self.device = device
        self.owners = tuple(owners)
        self.phase: Phase | None = None
        self.last: dict[str, Ledger] = {}

    def enter(self, phase: Phase) -> None:
        """Begin a phase: whoever may not be there leaves first. Nothing happens if it goes on already.

        Raises:
            ResidencyError: an owner holds memory in a phase that is not its own, and cannot leave.
        """
        if phase == self.phase:
            return
        self.account()
        for owner in reversed(self.owners):
            if phase not in owner.phases and owner.leave is not None:
                owner.leave()
        staying = [(owner, owner.held()) for owner in self.owners if phase not in owner.phases]
        culprits = [f"{owner.name} ({held / MIB:,.1f} MiB)" for owner, held in staying if held]
        if culprits:
            raise ResidencyError(
                f"{' and '.join(culprits)} may not be on {self.device} while {phase} goes on, and did not leave. "
                f"Before: {self.ledger()}"
            )
        self.phase = phase
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # what one phase freed, the other's allocator must be able to have
            torch.cuda.reset_peak_memory_stats(self.device)
        for owner in self.owners:
            if phase in owner.phases and owner.enter is not None:
                owner.enter()

    def ledger(self) -> Ledger:
        """Who holds what at this moment."""
        allocated = peak = 0
        if self.device.type == "cuda":
            allocated = torch.cuda.memory_allocated(self.device)
            peak = torch.cuda.max_memory_allocated(self.device)
        return Ledger(
            "start" if self.phase is None else self.phase,
            {owner.name: owner.held() for owner in self.owners},
            allocated,
            peak,
        )

    def account(self) -> None:
        """Note the ledger of the phase that goes on."""
        if self.phase is not None:
            self.last[self.phase] = self.ledger()

    @property
    def metrics(self) -> dict[str, float]:
        """Of each phase, as it was when it ended."""
        return {name: value for ledger in self.last.values() for name, value in ledger.metrics.items()}

    @property
    def peak_mib(self) -> float:
        """The most that the allocator gave in the last round of phases, in MiB; 0 on a CPU."""
        return max((ledger.peak for ledger in self.last.values()), default=0) / MIB

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Inside, running out of memory says who held what.

        Raises:
            DeviceMemoryError: instead of torch's own error.
        """
        try:
            yield
        except torch.OutOfMemoryError as error:
            ledger = self.ledger()
            awake = [o.name for o in self.owners if self.phase not in o.phases and o.held()]
            told = f" Not asleep: {', '.join(awake)}." if awake else ""
            raise DeviceMemoryError(
                f"out of memory on {self.device}. {ledger}.{told} `python -m agent plan` with the same recipe and "
                f"options says which option to change first. ({error})"
            ) from error
