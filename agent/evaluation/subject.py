"""Who plays: a checkpoint, a chat server, or one of an environment's baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from ..engine.checkpoint import latest_checkpoint
from ..errors import CheckpointError, ConfigError
from .options import BASELINES, listed
from .sitting import unique

SAMPLED_BYTES = 1 << 20


@dataclass(frozen=True)
class Subject:
    """Attributes:
    name: As tables call it.
    kind: How it plays.
    where: A checkpoint's folder, a server's URL, or the baseline's name.
    run: The run's folder, if a run was named.
    fingerprint: What says that it is still the same.
    """

    name: str
    kind: Literal["checkpoint", "chat", "baseline"]
    where: str
    run: Path | None = None
    fingerprint: Mapping[str, Any] = field(default_factory=dict)


def subjects(model: str) -> list[Subject]:
    """What `--model` names, under names that differ.

    Raises:
        CheckpointError, ConfigError: something that is neither folder, URL nor baseline.
    """
    found = [_subject(name) for name in listed(model)]
    names = unique([subject.name for subject in found])
    return [
        Subject(name, subject.kind, subject.where, subject.run, subject.fingerprint)
        for name, subject in zip(names, found, strict=True)
    ]


def baseline(name: str) -> Subject:
    """One of the environment's own."""
    return Subject(name, "baseline", name)


def _subject(name: str) -> Subject:
    if name in BASELINES:
        return baseline(name)
    if "://" in name:
        if not name.startswith(("http://", "https://")):
            raise ConfigError(f"--model: {name}: a chat server's URL begins with http:// or https://")
        plain = name.partition("://")[2].rstrip("/").removesuffix("/v1")
        return Subject(plain, "chat", name, fingerprint={"url": name})
    folder = Path(name)
    if not folder.is_dir():
        raise CheckpointError(
            f"--model: {name}: no such folder; give a checkpoint's folder or a run's, a chat server's URL, or one of "
            f"{', '.join(BASELINES)}"
        )
    newest = latest_checkpoint(folder / "checkpoints")
    if newest is None and (folder / "config.yaml").is_file():
        raise CheckpointError(f"--model: {name}: this run has no checkpoint yet; let it train to its first one")
    checkpoint = (newest or folder).resolve()
    # One of a run's checkpoints may be named by itself.
    run = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else None
    told = checkpoint.name if run is None else f"{run.name}/{checkpoint.name}"
    return Subject(told, "checkpoint", str(checkpoint), run, {"weights": weights_of(checkpoint)})


def weights_of(checkpoint: Path) -> str:
    """A hash of a checkpoint's weights: of each file's name, size, and a megabyte at both ends and in its middle, which
    an update changes everywhere; reading all of a large model would take minutes.

    Raises:
        CheckpointError: there are none.
    """
    files = sorted(path for pattern in ("*.safetensors", "*.bin") for path in checkpoint.glob(pattern))
    if not files:
        raise CheckpointError(f"--model: {checkpoint} holds no weights (*.safetensors): it is no checkpoint's folder")
    digest = sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            for start in sorted({0, max(0, size // 2), max(0, size - SAMPLED_BYTES)}):
                file.seek(start)
                digest.update(file.read(SAMPLED_BYTES))
    return digest.hexdigest()[:16]
