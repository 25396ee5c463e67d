"""What reinforcement learning adds, and whether it is the rewards that do it: the demo of a task over seeds.

    python bench/learning.py [--task counting] [--runs FOLDER] [--seeds 0 1 2] [--jobs 1]

Runs `python -m agent train TASK` once a seed and, for the first seed, controls: the same run with shuffled rewards; as
many more seconds of supervised steps instead of reinforcement learning; for counting also a cold start from a weak
annotator whose labels are wrong half of the time. Writes bench/learning/TASK.json, TASK.md and TASK.png.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from made_on import commit, machine

HERE = Path(__file__).parent / "learning"
TASKS = ("counting", "geometry", "grounding", "search", "coding")
WEAK = '[{"demonstrator": "miscount"}, {"kwargs": {"ask": "describe"}, "weight": 0.5}]'


def run(task: str, runs: Path, name: str, *options: str) -> dict:
    """One training command in a process of its own; its report."""
    command = [sys.executable, "-m", "agent", "train", task, "--run.folder", str(runs), "--run.name", name]
    print("+", " ".join(command[1:]), *options, flush=True)
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    return json.loads((runs / name / "report.json").read_text())


def value(report: dict, name: str, decoding: str) -> dict:
    return next(row for row in report["rows"] if (row["name"], row["decoding"]) == (name, decoding))


def difference(report: dict, decoding: str) -> dict:
    """What reinforcement learning added, on the same tasks."""
    return next(d for d in report["paired_differences"] if d["decoding"] == decoding)


def line(label: str, report: dict) -> str:
    cells = [label]
    for name, decoding in (("before", "greedy"), ("after", "greedy"), ("before", "sampled"), ("after", "sampled")):
        row = value(report, name, decoding)
        cells.append(f"{100 * row['value']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})")
    paired = difference(report, "greedy")
    cells.append(f"{100 * paired['value']:+.1f} ({100 * paired['low']:+.1f} to {100 * paired['high']:+.1f})")
    cells.append(f"{report['seconds']:.0f}")
    return "| " + " | ".join(cells) + " |"


def more(label: str, report: dict) -> list[str]:
    """What the recipe measures beside, before and after, and the score under its variants."""
    found = [r for r in report["rows"] if r["name"].startswith("after, ")] + report.get("measures", [])
    return [
        f"| {label} | {r['name']} | {r['metric']} | {100 * r['value']:.1f} ({100 * r['low']:.1f} to "
        f"{100 * r['high']:.1f}) |"
        for r in found
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, default="counting")
    parser.add_argument("--runs", type=Path, help="folder of the runs (runs/learning/TASK)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, after the first; their seconds are longer")
    parser.add_argument("--no-supervised", action="store_true", help="leave out the control of supervised steps alone")
    parser.add_argument("--note", default="", help="a sentence to be put under the figures, such as what else ran")
    options = parser.parse_args()
    task, runs = options.task, options.runs or Path("runs/learning") / options.task

    # The first run has the machine to itself: its seconds are those of `make demo`.
    seed = ["--run.seed", str(options.seeds[0])]
    first = run(task, runs, f"seed_{options.seeds[0]}", *seed)
    per_step = first["phases"]["cold start"] / first["cold_start_steps"]
    steps = first["cold_start_steps"] + round(first["phases"]["training"] / per_step)
    supervised = ["--optimizer.steps", "0", "--cold_start.stop_at", "1.0", "--cold_start.max_steps", str(steps)]
    weak = ["--cold_start.sources", WEAK, "--cold_start.stop_at", "0.3"]
    others = {f"seed {s}": (f"seed_{s}", "--run.seed", str(s)) for s in options.seeds[1:]}
    if not options.no_supervised:
        others[f"control: supervised only, {steps} steps"] = ("supervised", *seed, *supervised)
    others["control: shuffled rewards"] = ("shuffled", *seed, "--algorithm.shuffle_rewards", "true")
    if task == "counting":
        others["weak annotator"] = ("weak", *seed, *weak)
    with ThreadPoolExecutor(options.jobs) as jobs:
        ended = jobs.map(lambda arguments: run(task, runs, *arguments), others.values())
        reports = {f"seed {options.seeds[0]}": first, **dict(zip(others, ended, strict=True))}

    after = [value(reports[f"seed {s}"], "after", "greedy")["value"] for s in options.seeds]
    metric, episodes = (value(first, "after", "greedy")[key] for key in ("metric", "episodes"))
    gains = [difference(reports[f"seed {s}"], "greedy") for s in options.seeds]
    floor = ", ".join(
        f"{name} {100 * value(first, name, 'none')['value']:.1f}" for name in ("constant", "random", "blind")
    )
    head = [
        f"# {task.capitalize()}: what reinforcement learning adds",
        "",
        f"`make verify-learning TASK={task}` at commit {commit()} on {machine()}. Metric: {metric}, in percent, on "
        f"{episodes} test tasks with 95% bootstrap intervals; gain: the same tasks after minus before. Seconds from "
        f"start to report; the first run alone on the machine, the others {options.jobs} at a time.",
        "",
        f"Greedy after training, over seeds: mean {100 * sum(after) / len(after):.1f}, least {100 * min(after):.1f}. "
        f"Gain by reinforcement learning alone: mean {100 * sum(g['value'] for g in gains) / len(gains):+.1f}, least "
        f"{100 * min(g['value'] for g in gains):+.1f}. Without looking: {floor}.",
        "",
        "| run | before, greedy | after, greedy | before, sampled | after, sampled | gain, greedy | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    lines = [*head, *(line(label, report) for label, report in reports.items())]
    beside = [row for label, report in reports.items() for row in more(label, report)]
    if beside:
        lines += [
            "",
            "Measured beside, greedily:",
            "",
            "| run | policy | measure | mean |",
            "|---|---|---|---|",
            *beside,
        ]
    if options.note:
        lines += ["", options.note]
    text = "\n".join(lines) + "\n"
    HERE.mkdir(exist_ok=True)
    (HERE / f"{task}.md").write_text(text)
    shutil.copyfile(runs / f"seed_{options.seeds[0]}" / "learning_curve.png", HERE / f"{task}.png")
    results = {"commit": commit(), "machine": machine(), "reports": reports}
    (HERE / f"{task}.json").write_text(json.dumps(results, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
