"""Algorithms side by side on counting: the same cold starts, tasks and steps; what each makes of them.

    python bench/algorithms.py [--families grpo dr_grpo ...] [--seeds 0 1 2] [--steps 150] [--jobs 2] [--runs FOLDER]

For each seed one cold start (`python -m agent train counting` without a step of reinforcement learning); from its
checkpoint each family trains for as many steps on the same tasks, with the settings in SETTINGS. Writes
bench/algorithms.json, algorithms.md and algorithms.png. Runs that are there already are not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from learning import value
from made_on import commit, machine
from rich.progress import track

HERE = Path(__file__).parent
COMMON = ["--optimizer.lr", "1.5e-4", "--optimizer.schedule", "constant", "--optimizer.warmup_steps", "5"]
COMMON += ["--evaluation.validate_every", "20", "--evaluation.test_episodes", "512"]
# By option; a family that is not named has the common ones alone.
SETTINGS: dict[str, list[str]] = {
    "ppo": ["--critic.lr", "4e-4", "--critic.warmup_steps", "10"],
    # Whose ratios are of whole sequences and whose clip is narrow: several updates a rollout, so that they matter.
    "gspo": ["--algorithm.mini_batches", "2"],
}
FAMILIES = ["grpo", "dr_grpo", "rloo", "ppo", "gspo", "reinforce_pp"]


def train(runs: Path, name: str, *options: str, recipe: str = "counting") -> dict[str, Any]:
    """One training command; its report."""
    report = runs / name / "report.json"
    if not report.exists():
        command = [sys.executable, "-m", "agent", "train", recipe, "--run.folder", str(runs), "--run.name", name]
        with (runs / f"{name}.log").open("w") as log:
            subprocess.run([*command, *options], check=True, stdout=log, stderr=subprocess.STDOUT)
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def cold_start(runs: Path, name: str, seed: int, *options: str, recipe: str = "counting") -> Path:
    """A recipe's cold start and nothing else; the checkpoint that it leaves."""
    nothing = ["--run.seed", str(seed), "--optimizer.steps", "0", "--evaluation.test_episodes", "0"]
    train(runs, name, *nothing, *options, recipe=recipe)
    return runs / name / "checkpoints" / "step_0"


def validations(runs: Path, name: str) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (runs / name / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["validation"]) for line in lines if "validation" in line]


def difference(report: dict[str, Any], decoding: str) -> dict[str, float]:
    found: dict[str, float] = next(d for d in report["paired_differences"] if d["decoding"] == decoding)
    return found


def points(found: dict[str, float]) -> str:
    return f"{100 * found['value']:+.1f} ({100 * found['low']:+.1f} to {100 * found['high']:+.1f})"


def table(reports: dict[str, dict[int, dict[str, Any]]], runs: Path, commit: str, steps: int) -> str:
    seeds = sorted(next(iter(reports.values())))
    lines = [
        "# Algorithms side by side",
        "",
        f"`make verify-algorithms` at commit {commit} on {machine()}: counting, {steps} steps of 16 tasks x 8 siblings "
        "from the same cold starts, scores on the same 512 test tasks. Points after - before, with 95% intervals of "
        "the paired differences. Seconds are of runs two at a time.",
        "",
        "| family | "
        + " | ".join(f"greedy, seed {s}" for s in seeds)
        + " | sampled, mean | validation at half | seconds |",
        "|---|" + "---|" * (len(seeds) + 3),
    ]
    for family, by_seed in reports.items():
        cells = [points(difference(by_seed[s], "greedy")) for s in seeds]
        sampled = statistics.mean(difference(by_seed[s], "sampled")["value"] for s in seeds)
        half = statistics.mean(
            min(validations(runs, f"{family}_{s}"), key=lambda pair: abs(pair[0] - steps / 2))[1] for s in seeds
        )
        seconds = statistics.median(by_seed[s]["phases"]["training"] for s in seeds)
        lines.append(
            f"| {family} | " + " | ".join(cells) + f" | {100 * sampled:+.1f} | {100 * half:.1f} | {seconds:.0f} |"
        )
    before = ", ".join(
        f"{100 * value(reports[next(iter(reports))][s], 'before', 'greedy')['value']:.1f}" for s in seeds
    )
    lines += ["", f"Greedy score of the cold starts: {before}. Settings: `bench/algorithms.py`."]
    return "\n".join(lines) + "\n"


def plot(reports: dict[str, dict[int, dict[str, Any]]], runs: Path, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for colour, (family, by_seed) in zip(plt.cm.tab10.colors, reports.items(), strict=False):  # type: ignore[attr-defined]
        curves = [dict(validations(runs, f"{family}_{seed}")) for seed in by_seed]
        steps = [0, *sorted(curves[0])]
        starts = [value(report, "before", "greedy")["value"] for report in by_seed.values()]
        each = [[start, *(curve[s] for s in steps[1:])] for start, curve in zip(starts, curves, strict=True)]
        for line in each:
            axes.plot(steps, line, color=colour, alpha=0.2, linewidth=1)
        mean = [statistics.mean(at) for at in zip(*each, strict=True)]
        axes.plot(steps, mean, color=colour, linewidth=2.2, label=family)
    axes.set_xlabel("step")
    axes.set_ylabel("greedy accuracy (validation)")
    axes.grid(alpha=0.3)
    axes.legend(title="mean of seeds", frameon=False)
    axes.set_title("Counting, from the same cold starts")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=FAMILIES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/algorithms"))
    given = parser.parse_args()
    given.runs.mkdir(parents=True, exist_ok=True)

    def cold(seed: int) -> None:
        cold_start(given.runs, f"cold_{seed}", seed)

    def one(job: tuple[str, int]) -> tuple[str, int, dict[str, Any]]:
        family, seed = job
        start = given.runs / f"cold_{seed}" / "checkpoints" / "step_0"
        options = ["--run.seed", str(seed), "--model.path", str(start), "--cold_start.sources", "[]"]
        options += [
            "--optimizer.steps",
            str(given.steps),
            "--algorithm.family",
            family,
            "--algorithm.aggregation",
            "null",
        ]
        return family, seed, train(given.runs, f"{family}_{seed}", *options, *COMMON, *SETTINGS.get(family, []))

    reports: dict[str, dict[int, dict[str, Any]]] = {family: {} for family in given.families}
    with ThreadPoolExecutor(given.jobs) as pool:
        for _ in track(pool.map(cold, given.seeds), "cold starts", len(given.seeds)):
            pass
        jobs = [(family, seed) for seed in given.seeds for family in given.families]
        for family, seed, report in track(pool.map(one, jobs), "runs", len(jobs)):
            reports[family][seed] = report
    text = table(reports, given.runs, commit(), given.steps)
    print(text)
    (HERE / "algorithms.md").write_text(text)
    (HERE / "algorithms.json").write_text(
        json.dumps({"commit": commit(), "steps": given.steps, "reports": reports}, indent=1) + "\n"
    )
    plot(reports, given.runs, HERE / "algorithms.png")


if __name__ == "__main__":
    main()
