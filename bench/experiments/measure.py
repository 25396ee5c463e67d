"""One measurement in a process of its own, so that its memory is its own: rollouts, or whole steps, of a recipe.

    python bench/experiments/measure.py rollouts|training ROUNDS RECIPE [--option value ...]

The last line that it prints is JSON: for each round seconds, seconds of computing (`cpu`, all threads together), tokens
and episodes; the memory of the process in MiB when everything was made (`resident`), and at most during the rounds
(`peak`).
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # agent, where it is not installed


def measured(python: str, kind: str, rounds: int, recipe: str, options: dict[str, str]) -> dict[str, Any]:
    """Run this file; what its last line says."""
    flat = [part for name, value in options.items() for part in (f"--{name}", value)]
    command = [python, str(Path(__file__)), kind, str(rounds), recipe, *flat]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def memory(name: str) -> float:
    """ "VmRSS", now, or "VmHWM", the most since `forget_peak`, of this process in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    """The most that this process had begins anew with what it has now."""
    Path("/proc/self/clear_refs").write_text("5")


def rollouts(arguments: Sequence[str], rounds: int) -> dict[str, Any]:
    """The episodes of `rounds` steps, one after the other, without learning from them."""
    from agent.cli import read_config
    from agent.collect import rollout
    from agent.engine.memory import Phase
    from agent.parts import build

    config = read_config("train", list(arguments))
    before = memory("VmRSS")
    with tempfile.TemporaryDirectory() as folder:
        parts = build(config, Path(folder), None)
        parts.memory.enter(Phase.ROLLOUT)
        found, resident = [], memory("VmRSS")
        forget_peak()
        for step in range(rounds):
            started, computing = time.perf_counter(), time.process_time()
            groups = rollout(config, parts, step)
            seconds, cpu = time.perf_counter() - started, time.process_time() - computing
            trajectories = [trajectory for group in groups for trajectory in group.trajectories]
            tokens = sum(trajectory.action_count for trajectory in trajectories)
            found.append({"seconds": seconds, "cpu": cpu, "tokens": tokens, "episodes": len(trajectories)})
            parts.renderer.forget()
            parts.rollout_engine.forget()  # as an update does
        peak, held = memory("VmHWM"), parts.rollout_engine.held()
        parts.close()
    return {"rounds": found, "before": before, "resident": resident, "peak": peak, "held": held}


def training(arguments: Sequence[str], rounds: int) -> dict[str, Any]:
    """`rounds` whole steps."""
    from agent.cli import read_config
    from agent.interrupt import Interrupt
    from agent.parts import build
    from agent.progress import Progress
    from agent.run_directory import RunDirectory
    from agent.train import train

    found: list[dict[str, float]] = []
    computing = time.process_time()

    class Told(Progress):
        def step(self, step: int, metrics: dict[str, float]) -> None:
            nonlocal computing
            cpu, computing = time.process_time() - computing, time.process_time()
            episodes = config.rollout.prompts_per_step * config.rollout.group_size
            tokens = metrics["episode_tokens"] * episodes
            seconds = {name.removeprefix("seconds/"): s for name, s in metrics.items() if name.startswith("seconds/")}
            step_seconds = {"seconds": seconds.pop("step"), "cpu": cpu, **seconds}
            found.append(step_seconds | {"tokens": tokens, "episodes": episodes})

    with tempfile.TemporaryDirectory() as folder:
        config = read_config("train", [*arguments, "--run.folder", folder, "--optimizer.steps", str(rounds)])
        before = memory("VmRSS")
        parts = build(config, Path(folder), None)
        resident = memory("VmRSS")
        forget_peak()
        directory = RunDirectory(config)
        train(config, parts, directory, 0, Told(Console(file=io.StringIO())), Interrupt())
        peak = memory("VmHWM")
        directory.close()
        parts.close()
    return {"rounds": found, "before": before, "resident": resident, "peak": peak}


def main(arguments: Sequence[str]) -> None:
    kinds: dict[str, Callable[[Sequence[str], int], dict[str, Any]]] = {"rollouts": rollouts, "training": training}
    kind, rounds, *recipe = arguments
    import torch
    import transformers

    torch.set_num_threads(1)
    found = kinds[kind](recipe, int(rounds))
    versions = [f"torch {torch.__version__}", f"transformers {transformers.__version__}"]
    if "vllm" in sys.modules:
        versions.append(f"vllm {sys.modules['vllm'].__version__}")
    print("\n" + json.dumps(found | {"versions": versions}))


if __name__ == "__main__":
    main(sys.argv[1:])
