"""What more tasks a step, and larger micro-batches, cost in memory and give in throughput."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

from step_time import OPTIONS

from .finding import Finding, Given
from .measure import measured

SEEDS, STEPS = (0,), 6  # the first step is not counted
SIZES = (1, 2, 4, 8)
WHOLE = 1 << 16  # tokens: more than any step here has, so that a step is one micro-batch
MICRO = (1024, 2048, 4096, 8192)  # tokens of a micro-batch, at the largest of SIZES
MODEL = OPTIONS | {"rollout.max_turn_tokens": "32"}


def find(given: Given) -> Finding:
    def run(tasks: int, tokens: int) -> dict[str, Any]:
        sizes = {"rollout.prompts_per_step": str(tasks), "optimizer.micro_batch_tokens": str(tokens)}
        options = MODEL | sizes | {"run.seed": str(given.seeds[0])}
        return measured(sys.executable, "training", given.steps, "counting", options)

    tasks = {str(size): run(size, WHOLE) for size in SIZES}
    micro = {str(size): run(SIZES[-1], size) for size in MICRO}
    rows = [[size, "one a step", *cells(of)] for size, of in tasks.items()]
    rows += [[str(SIZES[-1]), f"{int(size):,} tokens", *cells(of)] for size, of in micro.items()]
    return Finding(
        "Memory and throughput over the size of a step",
        "Counting at 224 x 224 pixels, 1.6 million parameters, 8 siblings a task, turns of up to 32 tokens, GRPO; each "
        f"line a process of its own, medians of {given.steps - 1} steps with the least and the most. Memory in MiB: at "
        "most during the steps, above what the process had when model and environments were made. The machine did "
        "other work too: computing counts the seconds of a step in which its own threads ran.",
        (
            "tasks",
            "micro-batch",
            "memory",
            "seconds a step",
            "episodes/s",
            "tokens/s",
            "rollout s",
            "update s",
            "computing s",
        ),
        rows,
        [
            "With one micro-batch a step, memory grows with the tasks; a bound on the tokens of a micro-batch "
            "(`optimizer.micro_batch_tokens`) takes most of that away. Gradients are the same either way, as the loss "
            "is weighted over the whole mini-batch."
        ],
        [
            "for n in 1 2 4 8; do",
            "  python -m agent plan paper/counting --model.path Qwen2-VL-2B-Instruct --rollout.prompts_per_step $n \\",
            "    --pictures 320x480 --device-memory 80GiB",
            "  python -m agent train paper/counting --model.path Qwen2-VL-2B-Instruct --rollout.prompts_per_step $n \\",
            "    --optimizer.steps 8 --evaluation.test_episodes 0 --run.name batch_$n",
            "done  # memory/* and seconds/* are in each metrics.jsonl",
        ],
        {"tasks": tasks, "micro": micro},
        next(iter(tasks.values()))["versions"],
    )


def middle(of: dict[str, Any], name: str) -> float:
    """Median over the steps but the first."""
    return statistics.median(each[name] for each in of["rounds"][1:])


def rate(of: dict[str, Any], name: str) -> float:
    """Median a second, likewise."""
    return statistics.median(each[name] / each["seconds"] for each in of["rounds"][1:])


def cells(of: dict[str, Any]) -> list[str]:
    seconds = [each["seconds"] for each in of["rounds"][1:]]
    return [
        f"{of['peak'] - of['resident']:,.0f}",
        f"{middle(of, 'seconds'):.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
        f"{rate(of, 'episodes'):,.1f}",
        f"{rate(of, 'tokens'):,.0f}",
        f"{middle(of, 'rollout'):.2f}",
        f"{middle(of, 'update'):.2f}",
        f"{middle(of, 'cpu'):.2f}",
    ]


def plot(data: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, both = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
    labels = {"tasks": "tasks a step, one micro-batch", "micro": f"tokens of a micro-batch, {SIZES[-1]} tasks"}
    for axes, (name, runs) in zip(both, data.items(), strict=True):
        at = [int(size) for size in runs]
        axes.plot(at, [of["peak"] - of["resident"] for of in runs.values()], marker="o", color="C0")
        axes.set_xscale("log", base=2)
        axes.set_xticks(at, [f"{size:,}" for size in at])
        axes.set_xlabel(labels[name])
        axes.set_ylabel("memory of the steps, MiB", color="C0")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        other = axes.twinx()
        other.plot(at, [rate(of, "episodes") for of in runs.values()], marker="s", color="C1")
        other.set_ylabel("episodes a second", color="C1")
        other.set_ylim(bottom=0)
    figure.suptitle("A step of a tiny model on a CPU")
    figure.savefig(path, dpi=120)
