"""GRPO and RLOO side by side: how many episodes each needs, and what each reaches on the same tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .finding import Finding, Given, percent
from .learning_runs import COUNTING, FIRST, against, data_of, learn, needed, plot_curves, told

SEEDS, STEPS = (0, 1, 2), 60
EPISODES = 16 * 8  # of a step
THRESHOLD = 0.7
# The options of "grpo" are those of the sanity check, so that its runs serve here too.
WAYS = {
    "grpo": ["--algorithm.family", "grpo"],
    "rloo": ["--algorithm.family", "rloo", "--algorithm.aggregation", "null"],
}


def find(given: Given) -> Finding:
    found = learn(given.runs, COUNTING, given.seeds, given.steps, WAYS)
    most = given.steps * EPISODES
    rows = []
    for seed in given.seeds:
        for way, by_seed in found.items():
            run = by_seed[seed]
            half = run.curve[len(run.curve) // 2]
            rows.append(
                [
                    str(seed),
                    way,
                    percent(run.row("before")),
                    f"{100 * half[1]:.1f} after {half[0] * EPISODES:,}",
                    told(needed(run.curve, THRESHOLD, EPISODES), most),
                    percent(run.row("after")),
                ]
            )
    pairs = {seed: against(found["grpo"][seed], found["rloo"][seed]) for seed in given.seeds}
    spelled = "; ".join(
        f"seed {seed} {100 * d['value']:+.1f} ({100 * d['low']:+.1f} to {100 * d['high']:+.1f})"
        for seed, d in pairs.items()
    )
    return Finding(
        "GRPO against RLOO: sample efficiency and final score",
        f"Counting from one cold start, {given.steps} steps of 16 tasks x 8 siblings, one update a step, equal rates; "
        "seeds differ in their tasks and in what is sampled. "
        "Accuracy in percent, greedy: validation on 256 tasks every 10 steps, before and after on the same 512 "
        f"test tasks with 95% intervals. Episodes: until the first validation of {100 * THRESHOLD:.0f}%.",
        ("seed", "estimator", "before", "validation, episodes", f"episodes to {100 * THRESHOLD:.0f}%", "after"),
        rows,
        [f"RLOO minus GRPO at the end, paired over the test tasks, in points: {spelled}. {FIRST}"],
        [
            f"torchrun --nproc-per-node 8 -m agent train paper/counting --model.path Qwen2-VL-2B-Instruct \\\n"
            f"  --engine.train fsdp2 --engine.rollout vllm --algorithm.family {family} --run.name {family}"
            for family in WAYS
        ],
        {"runs": data_of(found), "rloo_minus_grpo": {str(seed): pair for seed, pair in pairs.items()}},
    )


def plot(data: dict[str, Any], path: Path) -> None:
    plot_curves(data["runs"], path, "Counting, from one cold start", "accuracy", EPISODES)
