"""The processes of a run: one a device, all running the same program on their own share of each step's groups.

There is no server: what is decided from the whole step is decided by each process from the same data (SPMD). A run of
one process has no group, and every exchange here gives back what it was given.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ..errors import ConfigError, ProcessLostError

T = TypeVar("T")
# What gloo and NCCL say of a process that is gone.
GONE = ("Connection closed", "Connection reset", "Broken pipe", "Socket", "socket", "ncclRemoteError", "Gloo connect")
LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
TIMEOUT = timedelta(hours=2)  # a process may wait for another's episodes, however long their tools take


@dataclass(frozen=True)
class Ranks:
    """This process among the others. `rank` 0 is the one that writes."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def mine(self, items: Sequence[T]) -> Sequence[T]:
        """This process's share: every `size`-th, from its own rank on."""
        return items[self.rank :: self.size]

    def spread(self, items: Sequence[T]) -> list[T]:
        """All processes' shares, put back in order: the inverse of `mine`."""
        if self.size == 1:
            return list(items)
        shares = self.gathered(list(items))
        total = sum(map(len, shares))
        return [shares[place % self.size][place // self.size] for place in range(total)]

    def gathered(self, value: T) -> list[T]:
        """What each process gives, by rank. It goes over the wire as Python's pickle: plain data only."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def told(self, value: T) -> T:
        """What rank 0 gives."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over processes of tensors of one shape, on the CPU."""
        if self.size == 1:
            return tensor
        summed = tensor.detach().clone().cpu()
        dist.all_reduce(summed)
        return summed

    def most(self, number: int) -> int:
        """The largest of the processes' numbers."""
        return number if self.size == 1 else max(self.gathered(number))

    def any(self, flag: bool) -> bool:
        return flag if self.size == 1 else any(self.gathered(flag))

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()


ALONE = Ranks()


@contextmanager
def unseen() -> Iterator[None]:
    """Inside, libraries that look for torchrun's environment find a process that is alone."""
    names = [name for name in os.environ if name in LAUNCHER or name.startswith("TORCHELASTIC_")]
    kept = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextmanager
def others_explained(ranks: Ranks) -> Iterator[None]:
    """Inside, what torch raises because another process is gone says so.

    Raises:
        ProcessLostError: instead of torch's own error.
    """
    try:
        yield
    except RuntimeError as error:
        if ranks.size == 1 or not any(word in str(error) for word in GONE):
            raise
        raise ProcessLostError(
            f"process {ranks.rank} of {ranks.size} lost another process of the run, whose own message says why. The "
            f"same command continues from the last checkpoint. ({str(error).splitlines()[0]:.200})"
        ) from error


def join(train: str) -> Ranks:
    """Join the processes that torchrun started; alone without it.

    Args:
        train: The train engine of the recipe.

    Raises:
        ConfigError: several processes, and an engine that knows of one.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1 and train != "fsdp2":
        raise ConfigError(
            f"torchrun started {size} processes, and engine.train: {train} is for one; use --engine.train fsdp2"
        )
    if train != "fsdp2":
        return ALONE
    if not dist.is_initialized():
        # Numbers and objects go by gloo whatever the device; tensors of a GPU by NCCL.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        if "RANK" not in os.environ:  # not started by torchrun: a group of one
            os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
            os.environ.setdefault("MASTER_PORT", "0")
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1, timeout=TIMEOUT)
        else:
            dist.init_process_group(backend, timeout=TIMEOUT)
    return Ranks(dist.get_rank(), dist.get_world_size())
