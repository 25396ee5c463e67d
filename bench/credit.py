"""Credit by turn against credit by outcome: episodes until the one turn that matters is found.

    python bench/credit.py [--seeds 20] [--out FOLDER]

A process of many turns of one token. In one turn the right token pays 1; every other turn pays 0 or 2 by a coin that no
token changes, so that it pays its mean whatever is said. The environment tells each turn's reward. Estimators by
outcome (GRPO, RLOO) see the sum alone, in which the coins drown the one turn; turn-level GAE, with a tabular critic,
sees each turn's own. Counted are the episodes until the right token has 90%. Writes bench/credit.md, .json and .png.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import torch
from rich.progress import track

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # the tabular processes are the tests'

from agent.objective.advantage import ADVANTAGES  # noqa: E402
from agent.objective.policy_loss import POLICY_LOSSES  # noqa: E402
from tests.agent.objective.tabular import Coins, train  # noqa: E402

GROUP, MOST = 16, 50_000
ESTIMATORS: dict[str, tuple[str, dict[str, object]]] = {
    "turn-level GAE, lambda 0": ("turn_gae", {"gae_lambda": 0.0, "discount": 0.0, "whiten": False}),
    "turn-level GAE, lambda 1": ("turn_gae", {"gae_lambda": 1.0, "whiten": False}),
    "RLOO, by outcome": ("rloo", {}),
    "GRPO, by outcome": ("grpo", {}),
}
TURNS = (4, 16, 64)


def episodes_needed(name: str, turns: int, seed: int) -> int:
    """Episodes until the right token has 90%, or MOST."""
    estimator, options = ESTIMATORS[name]
    world = Coins(turns)
    steps = train(
        world,
        ADVANTAGES[estimator].function,
        POLICY_LOSSES["reinforce"].function,
        steps=MOST // GROUP,
        episodes=GROUP,
        seed=seed,
        lr=0.02,
        options=options,
        until=Coins.found,
    )
    return steps * GROUP


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    torch.set_num_threads(1)
    jobs = [(name, turns, seed) for name in ESTIMATORS for turns in TURNS for seed in range(given.seeds)]
    needed: dict[str, dict[int, list[int]]] = {name: {turns: [] for turns in TURNS} for name in ESTIMATORS}
    for name, turns, seed in track(jobs, "worlds"):
        needed[name][turns].append(episodes_needed(name, turns, seed))
    median = {name: {t: statistics.median(found) for t, found in by.items()} for name, by in needed.items()}
    best = median["turn-level GAE, lambda 0"]
    lines = [
        "# Credit by turn against credit by outcome",
        "",
        f"`python bench/credit.py --seeds {given.seeds}`: episodes until the right token of the one turn that matters "
        f"has 90%, median of {given.seeds} seeds (times those of turn-level GAE with lambda 0); at most {MOST:,}.",
        "",
        "| estimator | " + " | ".join(f"{turns} turns" for turns in TURNS) + " |",
        "|---|" + "---|" * len(TURNS),
    ]
    for name, by in median.items():
        lines.append(f"| {name} | " + " | ".join(f"{by[t]:,.0f} ({by[t] / best[t]:.1f}x)" for t in TURNS) + " |")
    text = "\n".join(lines) + "\n"
    print(text)
    (given.out / "credit.md").write_text(text)
    (given.out / "credit.json").write_text(json.dumps(needed) + "\n")
    plot(needed, given.out / "credit.png")


def plot(needed: dict[str, dict[int, list[int]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, by in needed.items():
        middle = [statistics.median(by[t]) for t in TURNS]
        (line,) = axes.plot(TURNS, middle, marker="o", label=name)
        low = [statistics.quantiles(by[t], n=4)[0] for t in TURNS]
        high = [statistics.quantiles(by[t], n=4)[2] for t in TURNS]
        axes.fill_between(TURNS, low, high, color=line.get_color(), alpha=0.15)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(TURNS, [str(turns) for turns in TURNS])
    axes.set_xlabel("turns of an episode, one of which matters")
    axes.set_ylabel("episodes until it is found")
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False, title="median and quartiles")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
