"""What needs wandb or trackio is tested where they are installed; neither reaches for a network or a home folder."""

import os
import tempfile
from importlib.util import find_spec

import pytest

# Both read these once, when they are imported.
os.environ["WANDB_MODE"] = "offline"
for variable in ("TRACKIO_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
    os.environ[variable] = tempfile.mkdtemp(prefix="trackers_")


def _needs(name: str) -> list[pytest.MarkDecorator]:
    spec = find_spec(name)
    missing = (spec is None or spec.origin is None) and "RLLAVA_REQUIRE_TRACKERS" not in os.environ
    reason = f"{name} is not installed (.ci/trackers makes an environment that has it)"
    return [pytest.mark.trackers, pytest.mark.skipif(missing, reason=reason)]


needs_wandb = _needs("wandb")
needs_trackio = _needs("trackio")
