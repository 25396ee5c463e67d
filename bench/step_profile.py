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
from collections import Counter
from collections.abc import Callable, Iterable
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


LARGE = "two matrices of 1,024 x 1,024"


def fastest(operations: float, call: Callable[[], Any], rounds: int = 20) -> float:
    """Operations a second, in 10^9: the best of several calls."""
    best = float("inf")
    for _ in range(rounds):
        started = time.thread_time()
        call()
        best = min(best, time.thread_time() - started)
    return operations / best / 1e9


def rates(shape: counted.Shape, rows: int, packed: int, heads: int = 4, tokens: int = 256) -> dict[str, float]:
    """Of one large matrix product, of those that a step is made of, and of attention, in 10^9 operations a second.

    Args:
        shape: Of the model.
        rows: That decode together.
        packed: Tokens of an update.
        heads: Of attention.
        tokens: Of a picture, patches that attend to each other.
    """
    width, wide = shape.hidden, 2 * shape.hidden
    square, weight = torch.randn(1024, 1024), torch.randn(width, wide)
    found = {LARGE: fastest(2 * 1024**3, lambda: square @ square)}
    for name, count in (("an update's", packed), ("a decoded token's", rows)):
        given = torch.randn(count, width)
        what = f"{name} {count:,} rows with a weight of {width} x {wide}"
        found[what] = fastest(2 * count * width * wide, lambda given=given: given @ weight, 200)
    query, key, value = torch.randn(3, 1, heads, tokens, width // heads, requires_grad=True)
    operations = 4 * tokens**2 * width
    attend = torch.nn.functional.scaled_dot_product_attention
    what = f"attention of {tokens} patches, {heads} heads of {width // heads} channels"
    found[f"{what}, forward"] = fastest(operations, lambda: attend(query, key, value), 50)
    out = attend(query, key, value)
    upward = torch.ones_like(out)
    found[f"{what}, backward"] = fastest(
        2 * operations, lambda: torch.autograd.grad(out, (query, key, value), upward, retain_graph=True), 50
    )
    return found


KINDS = {"matrix products": ("::mm", "::addmm", "::bmm", "::baddbmm"), "attention": ("attention", "Attention")}


def by_kind(events: Iterable[Any]) -> dict[str, float]:
    """Shares of the operators' own time."""
    seconds: Counter[str] = Counter()
    for event in events:
        kind = next((k for k, names in KINDS.items() if any(n in event.key for n in names)), "everything else")
        seconds[kind] += event.self_cpu_time_total
    return {kind: of / sum(seconds.values()) for kind, of in seconds.items()}


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
        "kinds": by_kind(events),
        "rates": rates(
            shape,
            job.prompts * job.group,
            job.prompts * (sizes["prompt"] + job.group * job.tokens),
            tokens=sizes["image_tokens"] * shape.merge**2,
        ),
        "operations": {
            "rollout": counted.rollout(shape, work, shared=True) / 1e9,
            "update": counted.update(shape, work, shared=True) / 1e9,
            "nothing shared": counted.step(shape, work, shared=False) / 1e9,
        },
    }


def page(found: dict[str, Any], side: int, made_at: str, made_on: str) -> str:
    seconds, rate, operations = found["seconds"], found["rates"][LARGE], found["operations"]
    kinds = sorted(found["kinds"].items(), key=lambda each: each[0] == "everything else")
    products = "; ".join(f"{of:.0%} {kind}" for kind, of in kinds)
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
        f"The step takes {seconds / (least / rate):.1f} times its floor. Why:",
        "",
        "- What it multiplies is small, and smaller products run slower here:",
        *(f"    - {name}: {of:.0f} GFLOP/s" for name, of in found["rates"].items()),
        f"- Not all of it is products. Of the operators' own time: {products} (norms, activations, rotations, copies, "
        "the softmax of logits, and the cost of a call).",
        f"- {found['areas']['outside'] / seconds:.0%} is outside of the model: environments and pictures, rendering, "
        "making batches, credit, checks, the log.",
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
