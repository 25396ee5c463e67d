"""The same world in another process with another processor: NumPy's vector instructions switched off.

Run as `python -m envs.core.elsewhere`, this is that other process: a specification and seeds come in on standard input
as JSON, fingerprints go out.
"""

import json
import os
import subprocess
import sys
from importlib import import_module
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from .subject import fingerprint, hold

PATIENCE = 120  # seconds for the other process


def switchable_features() -> list[str]:
    """What NumPy uses here beyond its baseline, in NumPy's words. Features of the baseline cannot be switched off."""
    core = import_module("numpy._core._multiarray_umath")
    return [f for f in core.__cpu_dispatch__ if core.__cpu_features__.get(f)]


def fingerprints(env: gymnasium.Env[Any, Any], seeds: list[int]) -> list[str]:
    """The fingerprint of the first observation for each seed."""
    return [fingerprint(env.reset(seed=seed)[0]) for seed in seeds]


def fingerprints_elsewhere(spec: EnvSpec, seeds: list[int]) -> tuple[list[str], list[str]]:
    """Fingerprints taken in a fresh process without vector instructions, and the features switched off there.

    Raises:
        BrokenLawError: the process failed; the message holds the end of its output.
        ValueError: the specification cannot be written as JSON.
    """
    features = switchable_features()
    question = json.dumps({"spec": spec.to_json(), "seeds": seeds, "features": features})
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path),
        "PYTHONHASHSEED": "1",
    }
    if features:
        environment["NPY_DISABLE_CPU_FEATURES"] = " ".join(features)
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=question,
        capture_output=True,
        text=True,
        env=environment,
        timeout=PATIENCE,
        check=False,
    )
    hold(done.returncode == 0, f"the other process failed: {done.stderr.strip()[-600:]}")
    return json.loads(done.stdout), features


def _answer() -> None:
    question = json.load(sys.stdin)
    still_on = sorted(set(switchable_features()) & set(question["features"]))
    if still_on:
        raise SystemExit(f"NumPy was asked to leave out {still_on} and did not")
    spec = EnvSpec.from_json(question["spec"])
    json.dump(fingerprints(gymnasium.make(spec, disable_env_checker=True), question["seeds"]), sys.stdout)


if __name__ == "__main__":
    _answer()
