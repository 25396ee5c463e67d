"""Counting is learned from its rewards, and from nothing where the rewards are shuffled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .finding import Finding, Given, percent
from .learning_runs import COUNTING, FIRST, data_of, learn, plot_curves

SEEDS, STEPS = (0, 1, 2), 60
EPISODES = 16 * 8  # of a step
TRAINED = {"grpo": ["--algorithm.family", "grpo"]}
CONTROL = {"shuffled": ["--algorithm.shuffle_rewards", "true"]}
LABELS = {"grpo": "trained", "shuffled": "control: shuffled rewards"}


def find(given: Given) -> Finding:
    found = learn(given.runs, COUNTING, given.seeds, given.steps, TRAINED)
    found |= learn(given.runs, COUNTING, given.seeds[:1], given.steps, CONTROL)
    rows = []
    for way, by_seed in found.items():
        for seed, run in by_seed.items():
            gain = {key: run.gain[key] for key in ("value", "low", "high")}
            signed = f"{100 * gain['value']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"
            rows.append([LABELS[way], str(seed), percent(run.row("before")), percent(run.row("after")), signed])
    first = found["grpo"][given.seeds[0]].report["rows"]
    floor = ", ".join(f"{row['name']} {100 * row['value']:.1f}" for row in first if row["decoding"] == "none")
    episodes = found["grpo"][given.seeds[0]].row("after")["episodes"]
    return Finding(
        "Sanity: counting is learned, and only from its rewards",
        f"From one cold start, {given.steps} steps of GRPO, 16 tasks x 8 siblings each; seeds differ in their tasks "
        f"and in what is sampled. Greedy accuracy in percent on {episodes} test tasks, with 95% intervals; gain: the "
        "same tasks, after minus before.",
        ("run", "seed", "before", "after", "gain"),
        rows,
        [
            f"Without looking, and the expert: {floor}. In the control, for the first seed, the rewards of a step "
            f"change places at random. {FIRST}"
        ],
        [
            "torchrun --nproc-per-node 8 -m agent train paper/counting --model.path Qwen2-VL-2B-Instruct \\",
            "  --engine.train fsdp2 --engine.rollout vllm",
            "torchrun --nproc-per-node 8 -m agent train paper/counting --model.path Qwen2-VL-2B-Instruct \\",
            "  --engine.train fsdp2 --engine.rollout vllm --algorithm.shuffle_rewards true --run.name shuffled",
        ],
        data_of(found),
    )


def plot(data: dict[str, Any], path: Path) -> None:
    named = {LABELS[way]: by_seed for way, by_seed in data.items()}
    plot_curves(named, path, "Counting, from one cold start", "accuracy", EPISODES)
