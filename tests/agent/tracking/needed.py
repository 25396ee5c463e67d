"""What needs wandb or trackio is tested where they are installed."""

import os
from importlib.util import find_spec

import pytest


def _needs(name: str) -> list[pytest.MarkDecorator]:
    spec = find_spec(name)
    missing = (spec is None or spec.origin is None) and "RLLAVA_REQUIRE_TRACKERS" not in os.environ
    reason = f"{name} is not installed (.ci/trackers makes an environment that has it)"
    return [pytest.mark.trackers, pytest.mark.skipif(missing, reason=reason)]


needs_wandb = _needs("wandb")
needs_trackio = _needs("trackio")
