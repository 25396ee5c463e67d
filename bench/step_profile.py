"""Where the time of one of our GRPO steps goes, beside the operations that it cannot do without.

    python bench/step_profile.py [--side 224] [--steps 6] [--out FOLDER]

The step of `make bench`: a tiny Qwen2-VL, 8 prompts x 8 siblings, 32 new tokens, on one thread. Areas are medians over
the steps but the first two, by a clock in the thread that computes; operators are those of one more step under torch's
profiler, which slows it. The rate of operations is that of one large matrix product in the same process. Writes
profile.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from made_on import ROOT, commit, machine

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(ROOT)]  # agent, where it is not installed

from steps import counted  # noqa: E402
from steps.areas import AREAS, Areas  # noqa: E402
from steps.clock import Meter  # noqa: E402
from steps.job import Job  # noqa: E402
from steps.ours import Told, config_of, sizes_of  # noqa: E402

from agent.interrupt import Interrupt  # noqa: E402
from agent.parts import build  # noqa: E402
from agent.run_directory import RunDirectory  # noqa: E402
from agent.train import train  # noqa: E402

WARM, TOP = 2, 15


def gigaflops(width: int = 1024, rounds: int = 20) -> float:
    """Operations a second of one large matrix product, in 10^9: the best of several."""
    one, other = torch.randn(width, width), torch.randn(width, width)
    best = float("inf")
    for _ in range(rounds):
        started = time.thread_time()
        one @ other
        best = min(best, time.thread_time() - started)
    return 2 * width**3 / best / 1e9


class Watching(Told):
    """Areas of every step, and torch's profiler around the last one."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.areas: Areas | None = None
        self.found: list[dict[str, float]] = []
        self.last = steps
        self.profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])

    def step(self, step: int, metrics: dict[str, float]) -> None:
        super().step(step, metrics)
        assert self.areas is not None and self.meter is not None
        self.found.append(self.areas.taken(self.meter.cpu[-1]))
        if step == self.last - 1:
            self.profiler.start()
            self.meter.start()
        elif step == self.last:
            self.profiler.stop()


def profiled(job: Job, folder: Path) -> dict[str, Any]:
    config = config_of(job, folder)
    parts = build(config, folder / "runs", None)
    sizes = sizes_of(parts)
    directory, watching = RunDirectory(config), Watching(config.optimizer.steps)
    watching.areas, watching.meter = Areas(parts), Meter()
    train(config, parts, directory, 0, watching, Interrupt())
    watching.areas.undo()
    directory.close()
    parts.close()
    counted_steps = watching.found[WARM:-1]
    seconds = statistics.median(watching.meter.cpu[WARM:-1])
    events = [event for event in watching.profiler.key_averages() if event.self_cpu_time_total > 0]
    events.sort(key=lambda event: -event.self_cpu_time_total)
    whole = sum(event.self_cpu_time_total for event in events)
    shape = counted.Shape(**sizes["shape"])
    work = counted.Work(job.prompts, job.group, sizes["prompt"], sizes["image_tokens"], job.tokens)
    return {
        "seconds": seconds,
        "areas": {area: statistics.median(step[area] for step in counted_steps) for area in AREAS},
        "operators": [
            (e.key, e.count, e.self_cpu_time_total / 1e6, e.self_cpu_time_total / whole) for e in events[:TOP]
        ],
        "gigaflops": gigaflops(),
        "operations": {
            "rollout": counted.rollout(shape, work, shared=True) / 1e9,
            "update": counted.update(shape, work, shared=True) / 1e9,
            "nothing shared": counted.step(shape, work, shared=False) / 1e9,
        },
    }


def page(found: dict[str, Any], side: int, made_at: str, made_on: str) -> str:
    seconds, rate, operations = found["seconds"], found["gigaflops"], found["operations"]
    least = operations["rollout"] + operations["update"]
    lines = [
        "# Where the time of a step goes",
        "",
        f"`make bench-profile` at commit {made_at} on {made_on}, one thread. A step of GRPO with pictures of {side} "
        f"pixels, 8 prompts x 8 siblings, 32 new tokens: **{seconds:.3f} s** of processor time.",
        "",
        "| area | seconds | share |",
        "|---|---|---|",
        *(f"| {area} | {of:.3f} | {of / seconds:.0%} |" for area, of in found["areas"].items()),
        "",
        f"A product of two matrices of 1,024 x 1,024 runs at {rate:.0f} GFLOP/s here. At that rate the operations of "
        "the step take:",
        "",
        "| | GFLOP | seconds |",
        "|---|---|---|",
        *(f"| {name} | {operations[name]:.2f} | {operations[name] / rate:.3f} |" for name in ("rollout", "update")),
        f"| **both** | {least:.2f} | **{least / rate:.3f}** |",
        f"| both, nothing shared | {operations['nothing shared']:.2f} | {operations['nothing shared'] / rate:.3f} |",
        "",
        f"The step takes {seconds / (least / rate):.1f} times its floor.",
        "",
        "| operator | calls | seconds, itself alone | share |",
        "|---|---|---|---|",
        *(f"| `{name}` | {count:,} | {of:.3f} | {share:.1%} |" for name, count, of, share in found["operators"]),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    if options.steps < 2:
        parser.error(f"--steps: expected at least 2, got {options.steps}")
    torch.set_num_threads(1)
    made_at, made_on = commit(), machine(f"torch {torch.__version__}")  # before anything is written
    job = replace(Job("step", side=options.side), warm=WARM, measured=options.steps - 1)
    with tempfile.TemporaryDirectory() as folder:
        found = profiled(job, Path(folder))
    options.out.mkdir(parents=True, exist_ok=True)
    told = page(found, options.side, made_at, made_on)
    (options.out / "profile.md").write_text(told)
    print(told)


if __name__ == "__main__":
    main()
