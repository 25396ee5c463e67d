"""All turns trained, or the last one alone: the same cold starts, tasks and budget.

    python bench/last_turn.py [--tasks search coding] [--seeds 0 1 2] [--jobs 2] [--runs runs/learning]

For each task and seed `python -m agent train TASK` as it is, and with `--algorithm.selection.turns last`. Runs that are
there already (`make verify-learning` makes the first kind) are not repeated. Writes bench/last_turn.json, last_turn.md
and last_turn.png.
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

from agent.evaluate import paired_difference

HERE = Path(__file__).parent
KINDS = {"seed": [], "last": ["--algorithm.selection.turns", "last"]}
LABELS = {"seed": "all turns", "last": "last turn only"}


def run(task: str, runs: Path, kind: str, seed: int) -> dict[str, Any]:
    """One training command, unless it has been run; its report."""
    folder, name = runs / task, f"{kind}_{seed}"
    if not (folder / name / "report.json").exists():
        command = [sys.executable, "-m", "agent", "train", task, "--run.folder", str(folder), "--run.name", name]
        command += ["--run.seed", str(seed), *KINDS[kind]]
        print("+", " ".join(command[1:]), flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.log").open("w") as log:
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
    found: dict[str, Any] = json.loads((folder / name / "report.json").read_text())
    return found


def scores(runs: Path, task: str, kind: str, seed: int) -> list[float | None]:
    """Greedy scores of the trained policy, task by task."""
    path = runs / task / f"{kind}_{seed}" / "evaluations" / "after.json"
    found: list[float | None] = json.loads(path.read_text())["greedy"]
    return found


def curve(runs: Path, task: str, kind: str, seed: int) -> list[tuple[int, float]]:
    lines = (runs / task / f"{kind}_{seed}" / "metrics.jsonl").read_text().splitlines()
    return [(line["step"], line["validation"]) for line in map(json.loads, lines) if "validation" in line]


def interval(found: dict[str, Any]) -> str:
    return f"{100 * found['value']:.1f} ({100 * found['low']:.1f} to {100 * found['high']:.1f})"


def plot(runs: Path, tasks: list[str], seeds: list[int], starts: dict[tuple[str, int], float]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(1, len(tasks), figsize=(5.2 * len(tasks), 4), layout="constrained", squeeze=False)
    for axes, task in zip(grid[0], tasks, strict=True):
        for kind, colour in (("seed", "#1f5fbf"), ("last", "#b5400f")):
            each = [[(0, starts[task, s]), *curve(runs, task, kind, s)] for s in seeds]
            for points in each:
                axes.plot(*zip(*points, strict=True), color=colour, alpha=0.25, linewidth=1)
            steps = [step for step, _ in each[0]]
            mean = [statistics.mean(points[k][1] for points in each) for k in range(len(steps))]
            axes.plot(steps, mean, color=colour, linewidth=2.2, label=LABELS[kind])
        axes.set_title(task)
        axes.set_xlabel("step")
        axes.set_ylabel("F1, greedy (validation)")
        axes.set_ylim(0, 1.02)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="center right")
    figure.savefig(HERE / "last_turn.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=["search", "coding"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/learning"))
    parser.add_argument("--note", default="", help="a sentence to be put under the figures, such as what else ran")
    given = parser.parse_args()
    jobs = [(task, kind, seed) for task in given.tasks for seed in given.seeds for kind in KINDS]
    with ThreadPoolExecutor(given.jobs) as pool:
        ended = list(pool.map(lambda job: run(job[0], given.runs, job[1], job[2]), jobs))
    reports = dict(zip(jobs, ended, strict=True))

    lines = [
        "# All turns, or the last one alone",
        "",
        f"`make verify-last-turn` at commit {commit()} on {machine()}. The recipes of the two tasks of many turns, as "
        "they are and with `--algorithm.selection.turns last`, from the same cold starts, over the same tasks and "
        "steps. F1 in percent, greedy, on the same test tasks; 95% bootstrap intervals, of the difference over pairs.",
        "",
        "| task | seed | before | all turns | last turn only | all minus last |",
        "|---|---|---|---|---|---|",
    ]
    rows = []
    for task in given.tasks:
        for seed in given.seeds:
            every, last = reports[task, "seed", seed], reports[task, "last", seed]
            cells = [interval(value(r, n, "greedy")) for r, n in ((every, "before"), (every, "after"), (last, "after"))]
            told = paired_difference(*(scores(given.runs, task, kind, seed) for kind in ("last", "seed")))
            mean, low, high = (100 * number for number in told)
            lines.append(f"| {task} | {seed} | " + " | ".join(cells) + f" | {mean:+.1f} ({low:+.1f} to {high:+.1f}) |")
            rows.append({"task": task, "seed": seed, "difference": told})
    if given.note:
        lines += ["", given.note]
    text = "\n".join(lines) + "\n"
    print(text)
    (HERE / "last_turn.md").write_text(text)
    kept = {f"{task}, {LABELS[kind]}, seed {seed}": report for (task, kind, seed), report in reports.items()}
    told = {"commit": commit(), "machine": machine(), "differences": rows, "reports": kept}
    (HERE / "last_turn.json").write_text(json.dumps(told, indent=1) + "\n")
    starts = {
        (t, s): value(reports[t, "seed", s], "before", "greedy")["value"] for t in given.tasks for s in given.seeds
    }
    plot(given.runs, given.tasks, given.seeds, starts)


if __name__ == "__main__":
    main()
