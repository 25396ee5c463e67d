"""What reinforcement learning adds, and whether it is the rewards that do it: the counting demo over seeds.

    python bench/learning.py [--runs FOLDER] [--seeds 0 1 2] [--jobs 1]

Runs `python -m agent train counting` once a seed and, for the first seed, three controls: as many more seconds of
supervised steps instead of reinforcement learning; the same run with shuffled rewards; a cold start from a weak
annotator whose labels are wrong half of the time. Writes bench/learning.json and bench/learning.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
WEAK = '[{"demonstrator": "miscount"}, {"kwargs": {"ask": "describe"}, "weight": 0.5}]'


def run(runs: Path, name: str, *options: str) -> dict:
    """One training command in a process of its own; its report."""
    command = [sys.executable, "-m", "agent", "train", "counting", "--run.folder", str(runs), "--run.name", name]
    print("+", " ".join(command[1:]), *options, flush=True)
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    return json.loads((runs / name / "report.json").read_text())


def value(report: dict, name: str, decoding: str) -> dict:
    return next(row for row in report["rows"] if (row["name"], row["decoding"]) == (name, decoding))


def machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def line(label: str, report: dict) -> str:
    cells = [label]
    for name, decoding in (("before", "greedy"), ("after", "greedy"), ("before", "sampled"), ("after", "sampled")):
        row = value(report, name, decoding)
        cells.append(f"{100 * row['value']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})")
    paired = next(d for d in report["paired_differences"] if d["decoding"] == "greedy")
    cells.append(f"{100 * paired['value']:+.1f} ({100 * paired['low']:+.1f} to {100 * paired['high']:+.1f})")
    cells.append(f"{report['seconds']:.0f}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/learning"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, after the first; their seconds are longer")
    options = parser.parse_args()

    # The first run has the machine to itself: its seconds are those of `make demo`.
    seed = ["--run.seed", str(options.seeds[0])]
    first = run(options.runs, f"seed_{options.seeds[0]}", *seed)
    per_step = first["phases"]["cold start"] / first["cold_start_steps"]
    steps = first["cold_start_steps"] + round(first["phases"]["training"] / per_step)
    supervised = ["--optimizer.steps", "0", "--cold_start.stop_at", "1.0", "--cold_start.max_steps", str(steps)]
    weak = ["--cold_start.sources", WEAK, "--cold_start.stop_at", "0.3"]
    others = {f"seed {s}": (f"seed_{s}", "--run.seed", str(s)) for s in options.seeds[1:]}
    others[f"control: supervised only, {steps} steps"] = ("supervised", *seed, *supervised)
    others["control: shuffled rewards"] = ("shuffled", *seed, "--algorithm.shuffle_rewards", "true")
    others["weak annotator"] = ("weak", *seed, *weak)
    with ThreadPoolExecutor(options.jobs) as jobs:
        ended = jobs.map(lambda arguments: run(options.runs, *arguments), others.values())
        reports = {f"seed {options.seeds[0]}": first, **dict(zip(others, ended, strict=True))}

    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    commit = asked.stdout.strip()
    after = [value(reports[f"seed {s}"], "after", "greedy")["value"] for s in options.seeds]
    head = [
        "# Counting: what reinforcement learning adds",
        "",
        f"`make verify-learning` at commit {commit} on {machine()}. Accuracy in percent on 512 test tasks with 95% "
        "bootstrap intervals; gain: the same tasks after minus before. Seconds from start to report; the first run "
        f"alone on the machine, the others {options.jobs} at a time.",
        "",
        f"Mean greedy accuracy after training over seeds: {100 * sum(after) / len(after):.1f}%, least "
        f"{100 * min(after):.1f}%.",
        "",
        "| run | before, greedy | after, greedy | before, sampled | after, sampled | gain, greedy | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    text = "\n".join([*head, *(line(label, report) for label, report in reports.items())]) + "\n"
    (HERE / "learning.md").write_text(text)
    shutil.copyfile(options.runs / f"seed_{options.seeds[0]}" / "learning_curve.png", HERE / "learning_curve.png")
    results = {"commit": commit, "machine": machine(), "reports": reports}
    (HERE / "learning.json").write_text(json.dumps(results, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
