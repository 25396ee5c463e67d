"""Checkpoints: a Hugging Face folder beside the trainer's state, complete or absent.

A checkpoint is written under another name, flushed to the disk and then renamed, and one that is no longer wanted is
renamed before it is removed. So what bears a checkpoint's name is always whole, whenever the process was killed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch

from ..errors import CheckpointError
from ..model.load import VLM
from .ranks import ALONE

if TYPE_CHECKING:
    from .fsdp2 import ShardedEngine

STATE, SHARDS = "trainer.pt", "shards"
NAME = re.compile(r"step_(\d+)")


def save_checkpoint(
    folder: Path,
    step: int,
    vlm: VLM,
    state: dict[str, Any],
    keep: int,
    sharded: Mapping[str, ShardedEngine] | None = None,
) -> Path:
    """Write `folder/step_N`, then remove all but the `keep` newest; step 0, where training began, always stays.

    sharded: Engines whose tensors are in shards, the policy's under "policy"; then all processes call this together,
    and `folder` is one that all of them see.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written. Earlier checkpoints are untouched.
    """
    final = folder / f"step_{step}"
    partial = folder / f".partial_step_{step}"
    ranks = sharded["policy"].ranks if sharded else ALONE
    failed: Exception | None = None
    try:
        if ranks.first:
            _remove_leftovers(folder)
            partial.mkdir(parents=True)
        ranks.wait()
        written = vlm
        if sharded:
            from .sharded_checkpoint import save_shards

            tensors = {f"{name}.{key}": t for name, engine in sharded.items() for key, t in engine.tensors().items()}
            save_shards(partial, tensors)
            plain = sharded["policy"].plain()
            written = vlm if plain is None else replace(vlm, model=plain)
        if ranks.first:
            written.save(partial)
            torch.save({**state, "step": step}, partial / STATE)
            for path in (*partial.rglob("*"), partial):
                _flush(path)
            _replace(partial, final)
    # safetensors and torch report a full disk as their own exceptions.
    except Exception as error:
        failed = error
    told = next((why for why in ranks.gathered("" if failed is None else str(failed) or repr(failed)) if why), "")
    if told:
        if ranks.first:
            shutil.rmtree(partial, ignore_errors=True)
        kept = latest_checkpoint(folder)
        raise CheckpointError(
            f"the checkpoint of step {step} could not be written to {folder}: {told}. "
            + (f"{kept.name} is whole and the run continues from it. " if kept else "")
            + "Free some space or change run.folder, then start the same command again."
        ) from failed
    for old in _checkpoints(folder)[:-keep] if ranks.first else ():
        if old.name != "step_0":
            _remove(old)
    return final


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None. Leftovers of an interrupted write are not looked at."""
    found = _checkpoints(folder)
    return found[-1] if found else None


def load_state(checkpoint: Path, sharded: Mapping[str, ShardedEngine] | None = None) -> dict[str, Any]:
    """The trainer's state of a checkpoint, whichever engine wrote it (tensors on the CPU).

    sharded: Engines that take their tensors in shards; all processes call this together then.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    try:
        state = torch.load(checkpoint / STATE, map_location="cpu", weights_only=True)
        if (checkpoint / SHARDS).is_dir():
            from .sharded_checkpoint import read_shards, read_whole

            tensors = read_shards(checkpoint, dict(sharded)) if sharded else read_whole(checkpoint)
            for name, of_engine in (("policy", state["engine"]), ("critic", state.get("critic", {}).get("engine"))):
                if of_engine is not None:
                    prefix = f"{name}."
                    of_engine["tensors"] = {
                        key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)
                    }
        return state
    except Exception as error:
        # torch's own words would advise to load the file in a way that runs whatever it says.
        reason = "it is damaged" if isinstance(error, UnpicklingError) else error
        raise CheckpointError(
            f"{checkpoint / STATE} cannot be read ({reason}); delete {checkpoint} to continue from an older one"
        ) from error


def _checkpoints(folder: Path) -> list[Path]:
    found = [
        (int(match[1]), path)
        for path in folder.glob("step_*")
        if (match := NAME.fullmatch(path.name)) and path.is_dir()
    ]
    return [path for _, path in sorted(found)]


def _replace(partial: Path, final: Path) -> None:
    if final.exists():  # a run that was resumed from this checkpoint writes it again
        _remove(final)
    partial.rename(final)
    _flush(final.parent)


def _remove(checkpoint: Path) -> None:
    """Take the name away first: half a folder must not look like a checkpoint."""
    hidden = checkpoint.with_name(f".removed_{checkpoint.name}")
    checkpoint.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """What a killed process left behind."""
    for pattern in (".partial_step_*", ".removed_step_*"):
        for path in folder.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
