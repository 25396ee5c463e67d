"""Where the time of a step goes: model computation, and everything that is outside of it and not overlapped with it.

    python bench/step_time.py [--steps 8]

Counting at 224 x 224 pixels with a model of 1.3 million parameters: a step samples 16 x 8 episodes and trains on them.
Timed in the thread that computes, which is the only one that can keep the model waiting: forward passes, sampling,
backward passes and the optimizer are the model's; environments, pictures, rendering and credit are not. Writes
bench/step_time.json and bench/step_time.md.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from made_on import commit, machine
from rich.console import Console

from agent.cli import read_config
from agent.interrupt import Interrupt
from agent.model.processor import Processor
from agent.parts import Parts, build
from agent.progress import Progress
from agent.rollout.hf_batch import Batch
from agent.rollout.hf_shared import SharedStore
from agent.rollout.stepping import EnvironmentThreads
from agent.run_directory import RunDirectory
from agent.train import train

HERE = Path(__file__).parent
MODEL = ("forward passes of sampling", "sampling", "forward passes of training", "backward passes", "optimizer")
OUTSIDE = ("pictures processed", "waiting for environments")
OPTIONS = {
    "env.kwargs": "{size: [224, 224], objects: [4, 8], shapes: 3, colours: 4, question: [colour], instructions: short}",
    "algorithm.entropy_coef": "0.001",  # so that every episode is trained on, whatever a model without training scores
    "cold_start.sources": "[]",
    "model.tiny.hidden": "128",
    "model.tiny.feed_forward": "384",
    "model.tiny.layers": "3",
    "model.tiny.vision_layers": "2",
    "model.tiny.merge": "2",
    "rollout.max_row_tokens": "256",
    "evaluation.validate_every": "0",
    "run.record_every": "1000",
    "run.save_every": "1000",
}


class Clock:
    """Seconds of the thread that made it, by name; what is timed inside of something else counts once, as what it is
    itself."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self.seconds: Counter[str] = Counter()
        self._inside: list[float] = []

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        self._inside.append(0.0)
        try:
            yield
        finally:
            whole = time.perf_counter() - started
            self.seconds[name] += whole - self._inside.pop()
            if self._inside:
                self._inside[-1] += whole

    def around(self, owner: Any, method: str, name: str) -> None:
        """Time every call of a function or method from now on."""
        plain: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._thread:
                return plain(*args, **kwargs)
            with self.timing(name):
                return plain(*args, **kwargs)

        setattr(owner, method, timed)


def parts_of(folder: Path, steps: int, deterministic: bool) -> tuple[Any, Parts]:
    options = OPTIONS | {
        "optimizer.steps": str(steps),
        "rollout.deterministic": str(deterministic).lower(),
        "run.folder": str(folder),
        "run.name": f"rounds_{deterministic}",
    }
    config = read_config("train", ["counting", *[part for n, v in options.items() for part in (f"--{n}", v)]])
    return config, build(config, folder / config.run.name, None)


def measure(folder: Path, steps: int, deterministic: bool, clock: Clock) -> dict[str, Any]:
    """Medians over the steps but the first."""
    config, parts = parts_of(folder, steps, deterministic)
    for method, name in (("run", MODEL[2]), ("backward", MODEL[3]), ("step", MODEL[4])):
        clock.around(parts.train_engine, method, name)
    told: list[dict[str, float]] = []

    class Told(Progress):
        def step(self, step: int, metrics: dict[str, float]) -> None:
            told.append(dict(clock.seconds) | {"step": metrics["seconds/step"]})
            clock.seconds.clear()

    directory = RunDirectory(config)
    clock.seconds.clear()
    train(config, parts, directory, 0, Told(Console(file=io.StringIO())), Interrupt())
    directory.close()
    parts.close()
    found = {name: statistics.median(step.get(name, 0.0) for step in told[1:]) for name in ("step", *MODEL, *OUTSIDE)}
    outside = [1 - sum(step.get(name, 0.0) for name in MODEL) / step["step"] for step in told[1:]]
    size = sum(weight.numel() for weight in parts.vlm.model.parameters())
    return {"medians": found, "outside": statistics.median(outside), "parameters": size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    steps = parser.parse_args().steps
    clock = Clock()
    clock.around(SharedStore, "join", MODEL[0])
    clock.around(SharedStore, "step", MODEL[0])
    clock.around(Batch, "choose", MODEL[1])
    clock.around(Processor, "process", OUTSIDE[0])
    clock.around(EnvironmentThreads, "answers", OUTSIDE[1])
    clock.around(EnvironmentThreads, "finished", OUTSIDE[1])
    with tempfile.TemporaryDirectory() as folder:
        found = {
            name: measure(Path(folder), steps, deterministic, clock)
            for name, deterministic in (("overlapped", False), ("in rounds", True))
        }
    result = {"commit": commit(), "machine": machine(), "steps": steps, "found": found}
    (HERE / "step_time.json").write_text(json.dumps(result, indent=1) + "\n")
    (HERE / "step_time.md").write_text(page(result))
    print(page(result))


def page(result: dict[str, Any]) -> str:
    found = result["found"]
    size = next(iter(found.values()))["parameters"]
    lines = [
        "# Where the time of a step goes",
        "",
        f"`python bench/step_time.py` at commit {result['commit']} on {result['machine']}. Counting at 224 x 224 "
        f"pixels, {size:,} parameters, 128 episodes a step; medians of {result['steps'] - 1} steps, in seconds.",
        "",
        "| | " + " | ".join(found) + " |",
        "|---|" + "---|" * len(found),
    ]
    lines += [
        f"| {name} | " + " | ".join(f"{of['medians'][name]:.3f}" for of in found.values()) + " |"
        for name in ("step", *MODEL, *OUTSIDE)
    ]
    lines.append(
        "| **outside of the model, not overlapped** | "
        + " | ".join(f"**{of['outside']:.1%}**" for of in found.values())
        + " |"
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
