"""What a train engine holds, in shards on disk: each process writes its own, and any number of processes reads them.

By torch.distributed.checkpoint, in a folder beside the Hugging Face export. A run of one process reads them too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp

from .fsdp2 import ShardedEngine

SHARDS = "shards"


def save_shards(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write this process's shards; all processes call it together."""
    dcp.save(dict(tensors), checkpoint_id=str(folder / SHARDS))


def read_whole(checkpoint: Path) -> dict[str, torch.Tensor]:
    """All tensors, put together, without any other process."""
    found = {name: torch.empty(size, dtype=dtype) for name, (size, dtype) in _listed(checkpoint).items()}
    dcp.load(found, checkpoint_id=str(checkpoint / SHARDS), no_dist=True)
    return found


def read_shards(checkpoint: Path, engines: dict[str, ShardedEngine]) -> dict[str, torch.Tensor]:
    """This process's share of each tensor, laid out as the engines' weights are, whatever wrote them.

    Args:
        checkpoint: Its folder.
        engines: By the prefix of their tensors' names.
    """
    targets: dict[str, torch.Tensor] = {}
    for name, (size, dtype) in _listed(checkpoint).items():
        prefix, index, kind = name.rsplit(".", 2)
        like = engines[prefix].masters[int(index)]
        targets[name] = torch.empty(size, dtype=dtype) if kind == "step" else torch.empty_like(like)
    dcp.load(targets, checkpoint_id=str(checkpoint / SHARDS))
    return targets


def _listed(checkpoint: Path) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Names of the tensors on disk, with size and type."""
    metadata: Any = dcp.FileSystemReader(str(checkpoint / SHARDS)).read_metadata()
    return {name: (entry.size, entry.properties.dtype) for name, entry in metadata.state_dict_metadata.items()}
