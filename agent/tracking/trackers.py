"""The trackers of a run: which there are, and whose runs they continue."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..config import RunConfig
from ..errors import ConfigError
from .background import Background
from .tensorboard import TensorBoard
from .tracker import Tracker


def check_installed(names: Sequence[str]) -> None:
    """Raises ConfigError, with what installs it, where a tracker's package is missing."""
    # A folder `wandb/` that lies about is a package without a file of its own.
    specs = {name: find_spec(name) for name in names}
    if missing := [name for name, spec in specs.items() if spec is None or spec.origin is None]:
        raise ConfigError(
            f"run.trackers: {', '.join(missing)} not installed; pip install 'rllava-gym[trackers]', or leave it out"
        )


def open_trackers(
    run: RunConfig, folder: Path, step: int, config: Mapping[str, Any], warn: Callable[[str], None]
) -> list[Tracker]:
    """TensorBoard, and those that the recipe names, each in a thread of its own.

    Args:
        folder: Of the run; `trackers.json` in it says which runs of the trackers are continued.
        step: Steps done.
        config: The resolved options.
        warn: Told once of each tracker that fails.
    """
    trackers: list[Tracker] = [TensorBoard(folder / "tensorboard", step, config)]
    names = list(dict.fromkeys(run.trackers))
    for name, identity in _identities(folder, names).items():
        make = _wandb if name == "wandb" else _trackio
        opener = _opener(make, run, folder, identity, config)
        trackers.append(Background(name, opener, warn))
    return trackers


def _opener(
    make: Callable[..., Tracker], run: RunConfig, folder: Path, identity: str, config: Mapping[str, Any]
) -> Callable[[Callable[[str], None]], Tracker]:
    return lambda warn: make(run, folder, identity, config, warn)


def _wandb(
    run: RunConfig, folder: Path, identity: str, config: Mapping[str, Any], warn: Callable[[str], None]
) -> Tracker:
    from .wandb import WandB

    return WandB(folder, run.project, run.name, identity, config, warn)


def _trackio(
    run: RunConfig, folder: Path, identity: str, config: Mapping[str, Any], warn: Callable[[str], None]
) -> Tracker:
    from .trackio import Trackio

    return Trackio(run.project, identity, config)


def _identities(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Of each tracker the id of its run: that of before where the run is continued, else a new one."""
    path = folder / "trackers.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        known = {name: identity for name, identity in known.items() if isinstance(identity, str)}
    except (OSError, ValueError, AttributeError):
        known = {}
    new = {name: f"{folder.name}-{uuid4().hex[:8]}" for name in names if name not in known}
    if new:
        partial = path.with_name(".trackers.json.partial")
        partial.write_text(json.dumps(known | new, indent=1), encoding="utf-8")
        partial.replace(path)
    return {name: (known | new)[name] for name in names}
