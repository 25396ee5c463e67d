"""Weights through a folder that trainer and servers both see: written aside, renamed, then loaded by the servers."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file

from ...errors import CheckpointError

NAME = re.compile(r"weights_(\d+)")
SHARD_BYTES = 2 * 2**30  # what is held in memory besides the model while it is written


class WeightFolder:
    """Numbered folders of safetensors files under `root`, one an update. One run at a time may use a root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> Path:
        """Write weights under their Hugging Face names; returns the new folder, which is whole once it has its name.

        Raises:
            CheckpointError: the folder cannot be written. Earlier ones are untouched.
        """
        partial = self.root / ".partial_weights"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            shard: dict[str, torch.Tensor] = {}
            for name, tensor in tensors:
                # A copy: tied weights are one tensor under two names, which safetensors refuses.
                shard[name] = tensor.detach().to("cpu", copy=True).contiguous()
                if sum(part.nbytes for part in shard.values()) >= SHARD_BYTES:
                    _save(shard, partial)
                    shard = {}
            if shard:
                _save(shard, partial)
            numbers = [int(match[1]) for path in self.root.iterdir() if (match := NAME.fullmatch(path.name))]
            final = self.root / f"weights_{max(numbers, default=0) + 1:06d}"
            partial.rename(final)
            _flush(self.root)
        # safetensors reports a full disk as an exception of its own.
        except Exception as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise CheckpointError(
                f"engine.remote.folder: the weights could not be written to {self.root}: {error}. Free some space, or "
                "choose another folder that the servers see too"
            ) from error
        return final

    def keep_only(self, kept: Path) -> None:
        """Remove all earlier folders: no server reads them any more."""
        for path in self.root.iterdir():
            if NAME.fullmatch(path.name) and path != kept:
                shutil.rmtree(path, ignore_errors=True)


def _save(shard: dict[str, torch.Tensor], folder: Path) -> None:
    path = folder / f"model-{len(list(folder.iterdir())) + 1:05d}.safetensors"
    save_file(shard, path)
    _flush(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
