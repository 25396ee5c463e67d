"""PPO with an estimator from a user's file (`visual_gae.py`) against plain GAE, where tools return pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .finding import Finding, Given, percent
from .learning_runs import FIRST, Setup, against, data_of, learn, plot_curves

SEEDS, STEPS = (0, 1), 20
TASKS, SIBLINGS = 8, 4
EPISODES = TASKS * SIBLINGS  # of a step
CODING = Setup(
    "coding",
    1,
    True,
    (
        *("--rollout.prompts_per_step", str(TASKS), "--rollout.group_size", str(SIBLINGS)),
        *("--optimizer.lr", "1e-4", "--optimizer.schedule", "constant", "--optimizer.warmup_steps", "2"),
        *("--evaluation.validation_episodes", "64", "--evaluation.test_episodes", "128"),
        *("--evaluation.sampled", "false", "--evaluation.variants", "{}"),
    ),
)
PPO = ["--algorithm.family", "ppo", "--critic.lr", "4e-4", "--critic.warmup_steps", "2"]
WAYS = {
    "gae": PPO,
    "visual_gae": [*PPO, "--algorithm.advantage", "visual_gae:visual_gae"],
}
LABELS = {"gae": "plain GAE", "visual_gae": "GAE over visual segments, a user's file"}


def find(given: Given) -> Finding:
    # What a user has by being in the folder of the file.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    found = learn(given.runs, CODING, given.seeds, given.steps, WAYS)
    rows = []
    for seed in given.seeds:
        for way, by_seed in found.items():
            run = by_seed[seed]
            gain = f"{100 * run.gain['value']:+.1f} ({100 * run.gain['low']:+.1f} to {100 * run.gain['high']:+.1f})"
            rows.append([str(seed), LABELS[way], percent(run.row("before")), percent(run.row("after")), gain])
    pairs = {seed: against(found["gae"][seed], found["visual_gae"][seed]) for seed in given.seeds}
    spelled = "; ".join(
        f"seed {seed} {100 * d['value']:+.1f} ({100 * d['low']:+.1f} to {100 * d['high']:+.1f})"
        for seed, d in pairs.items()
    )
    episodes = found["gae"][given.seeds[0]].row("after")["episodes"]
    return Finding(
        "A user's estimator: GAE with a discount of its own across pictures",
        "Coding, where a program that the policy writes gives the next picture: up to four turns and several pictures "
        f"an episode. PPO with a critic, {given.steps} steps of {EPISODES} episodes from one cold start. Plain "
        "GAE has discount and lambda 1; `visual_gae.py` has 0.9 and 0.9 across a picture and 1 elsewhere. F1 in "
        f"percent, greedy, on {episodes} test tasks with 95% intervals.",
        ("seed", "estimator", "before", "after", "gain"),
        rows,
        [
            f"Visual minus plain at the end, paired over the test tasks, in points: {spelled}. "
            f"{len(given.seeds)} seeds, and short runs: they show that the estimator trains, not which one is better. "
            f"{FIRST}"
        ],
        [
            "cd bench/experiments  # where visual_gae.py is",
            "torchrun --nproc-per-node 8 -m agent train paper/mat_coding --model.path Qwen2.5-VL-3B-Instruct \\",
            "  --engine.train fsdp2 --engine.rollout vllm --env.kwargs.sandbox http://SANDBOX:8000 \\",
            "  --algorithm.family ppo --algorithm.advantage visual_gae:visual_gae --critic.lr 1e-5",
        ],
        {"runs": data_of(found), "visual_minus_plain": {str(seed): pair for seed, pair in pairs.items()}},
    )


def plot(data: dict[str, Any], path: Path) -> None:
    named = {LABELS[way]: by_seed for way, by_seed in data["runs"].items()}
    plot_curves(named, path, "Coding with PPO, from one cold start", "F1", EPISODES)
